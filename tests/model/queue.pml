/* SPDX-FileCopyrightText: The procpool authors */
/* SPDX-License-Identifier: BSL-1.0 */

/* A queue between processes (src/handle/): one store commits a push, one store takes an item out, and what a
 * consumer has taken lies in its hand. Each process may die at each step; another one then takes its place, with a
 * seat of its own. The locks are those of lock.pml, in one step: whoever takes one over from the dead is told.
 *
 * Holds, if items are given again: each item is given until some consumer is done with it. If they are not: each
 * item was either done with, or counted as lost, and never both. The record at head is always whole.
 *
 * Broken on purpose by: COMMIT_FIRST (tail moves before the record is written), HEAD_FIRST (head moves before the
 * hand has the item), NO_SETTLE (a hand that is half full is not looked at when the lock is taken over),
 * CLEAR_FIRST (the hand of the dead is emptied before the own hand is full), COUNT_FIRST (an item is counted before
 * the hand says so), COUNT_AGAIN (whoever finds a hand that says so counts the item).
 */
#ifndef DEATHS
#define DEATHS 2
#endif
#ifndef ITEMS
#define ITEMS 2
#endif
#define LIVES (DEATHS + 1)
#define NUMBERS (3 * LIVES + 1)  /* of threads; 0: none */

mtype = { nothing, taking, item, losing };

byte record[ITEMS + 1];
byte tail = 0;
byte head = 0;
byte lost = 0;
byte producers = 0;  /* who has the lock */
byte consumers = 0;
bool lives[NUMBERS];
mtype hand[NUMBERS] = nothing;
byte number[NUMBERS];  /* of the item in the hand; losing: what lost will be */
byte done[ITEMS];      /* how often a consumer was done with it */
byte deaths = 0;
byte ended = 0;        /* processes */

#ifdef NO_SETTLE
#define is_full(s) (hand[s] == item || (hand[s] == taking && number[s] < head))
#define is_void(s) (!is_full(s) && hand[s] != losing)
#else
#define is_full(s) (hand[s] == item)
#define is_void(s) (hand[s] == nothing)
#endif

inline may_die() {
  if
  :: atomic { deaths < DEATHS -> deaths++; lives[me] = false; me = me + 3; lives[me] = true; goto reborn }
  :: skip
  fi
}

inline lock(word) {
  atomic {
    word == 0 || !lives[word];
    from_the_dead = word != 0;
    word = me
  }
}

/* Decides what the dead were about to do. */
inline settle() {
  seat = 1;
  do
  :: seat < NUMBERS ->
    if
    :: hand[seat] == taking && number[seat] == head -> hand[seat] = nothing
    :: hand[seat] == taking && number[seat] != head -> hand[seat] = item
    :: hand[seat] == losing ->
#ifdef COUNT_AGAIN
      lost++;
#else
      if
      :: number[seat] != lost -> lost++
      :: else
      fi;
#endif
      may_die();
      hand[seat] = nothing
    :: else
    fi;
    may_die();
    seat++
  :: else -> break
  od
}

/* The first item of a dead consumer. */
inline look() {
  seat = 1;
  do
  :: seat < NUMBERS && !(is_full(seat) && !lives[seat]) -> seat++
  :: else -> break
  od
}

proctype Producer() {
  byte me = 1;
  bool from_the_dead;
reborn:
  do
  :: true ->
    lock(producers);
    may_die();
    if
    :: tail == ITEMS -> producers = 0; break
    :: else
    fi;
#ifdef COMMIT_FIRST
    tail++;
    may_die();
    record[tail - 1] = tail;
#else
    record[tail] = tail + 1;
    may_die();
    tail++;
#endif
    may_die();
    producers = 0
  od;
  ended++
}

proctype Consumer(byte me) {
  bool from_the_dead;
  byte seat;
  bool drained;
reborn:
  do
  :: true ->
    /* To ask for the next one ends the hold on the last. */
    atomic {
      if
      :: hand[me] == item -> done[number[me]]++
      :: else
      fi;
      hand[me] = nothing
    }
    may_die();
    lock(consumers);
    may_die();
#ifndef NO_SETTLE
    if
    :: from_the_dead -> settle()
    :: else
    fi;
#endif
    look();
    if
    :: seat < NUMBERS ->
#ifdef AGAIN
#ifdef CLEAR_FIRST
      atomic { number[me] = number[seat]; hand[seat] = nothing };
      may_die();
      hand[me] = item;
#else
      atomic { number[me] = number[seat]; hand[me] = item };
      may_die();
      hand[seat] = nothing;
#endif
#else
#ifdef COUNT_FIRST
      lost++;
      may_die();
      atomic { hand[seat] = losing; number[seat] = lost };
#else
      atomic { hand[seat] = losing; number[seat] = lost + 1 };
      may_die();
      lost++;
#endif
      may_die();
      hand[seat] = nothing;
#endif
    :: else ->
      if
      :: head < tail ->
        assert(record[head] == head + 1);
#ifdef HEAD_FIRST
        head++;
        may_die();
        atomic { number[me] = head - 1; hand[me] = item };
#else
        atomic { number[me] = head; hand[me] = taking };
        may_die();
        head++;
        may_die();
        hand[me] = item;
#endif
      :: else ->
        /* Hands of the living may still come back. */
        drained = head == ITEMS;
        seat = 1;
        do
        :: seat < NUMBERS -> drained = drained && is_void(seat); seat++
        :: else -> break
        od
      fi
    fi;
    may_die();
    consumers = 0;
    if
    :: drained -> break
    :: else
    fi
  od;
  ended++
}

init {
  byte i;
  atomic {
    lives[1] = true; lives[2] = true; lives[3] = true;
    run Producer(); run Consumer(2); run Consumer(3)
  }
  ended == 3;
  byte sum = lost;
  for (i : 0 .. ITEMS - 1) {
#ifdef AGAIN
    assert(done[i] >= 1);
#else
    assert(done[i] <= 1);
#endif
    sum = sum + done[i];
  }
#ifdef AGAIN
  assert(lost == 0 && sum <= ITEMS + deaths)
#else
  assert(sum == ITEMS)
#endif
}
