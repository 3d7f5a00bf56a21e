/* SPDX-FileCopyrightText: The procpool authors */
/* SPDX-License-Identifier: BSL-1.0 */

/* The lock between processes (src/os/process_lock.cpp): its word, the sleep on it, and what becomes of it when
 * processes die. Three processes take the lock and give it back; a process may die at each step, and another one
 * may begin with its number. At first the word may have the number of nobody.
 *
 * No number is given anew between a look that finds nobody and the exchange of the word behind it, which are some
 * instructions; the system gives all other numbers first.
 *
 * Every change of the word is a read-modify-write, so there is one order of them all. A wait that ends by itself
 * (the slice) is modelled where it is needed only: the holder is dead, or the word has changed. So a process that
 * would wait for ever is an invalid end state.
 *
 * Holds: one at a time is inside; whoever takes a lock whose holder has died inside is told; nobody waits for ever.
 *
 * Broken on purpose by: NO_MARK (a waiter does not say that it waits), PLAIN_TAKE (who has waited takes the lock
 * as if nobody else did), NO_WAKE, TAKE_BY_STORE (over whatever the word has become since the look), UNTOLD (the
 * death is not told), OWN_NUMBER (a thread waits for its own number), NO_SLICE (a sleep ends by a wake only).
 */
#ifndef DEATHS
#define DEATHS 2
#endif
#define PROCESSES 3
#define NOBODY 7
#define WAITERS 8

byte word = 0;
bool lives[9] = false;   /* by number; what maps the file */
bool asleep[9] = false;
byte looked_at[4] = 0;   /* whom this process has found dead, and is about to take over from */
byte deaths = 0;
byte inside = 0;         /* the number of who is inside */
bool half_done = false;  /* somebody has begun something inside, and has not ended it */

#define number_in(w) ((w) & 7)
#ifdef OWN_NUMBER
#define is_mine(w) false
#else
#define is_mine(w) (number_in(w) == me)
#endif

/* The kernel compares and goes to sleep in one step. */
inline sleep_while(expected) {
  atomic {
    if
    :: word == expected -> asleep[me] = true
    :: else
    fi
  }
  if
  :: atomic { !asleep[me] }
#ifndef NO_SLICE
  :: atomic { asleep[me] && (word != expected || !lives[number_in(word)]) -> asleep[me] = false }
#endif
  fi
}

inline wake_one() {
#ifdef NO_WAKE
  skip
#else
  atomic {
    if
    :: asleep[1] -> asleep[1] = false
    :: asleep[2] -> asleep[2] = false
    :: asleep[3] -> asleep[3] = false
    :: !asleep[1] && !asleep[2] && !asleep[3]
    fi
  }
#endif
}

/* Taking and noting that one is inside are one step here: nobody else could see the state between them. */
inline take(expected, desired) {
  atomic {
    if
#ifdef TAKE_BY_STORE
    :: expected != 0 || word == expected ->
#else
    :: word == expected ->
#endif
       word = desired;
       held = true
    :: else
    fi
  }
}

#define MAY_DIE() \
  if \
  :: atomic { deaths < DEATHS -> deaths++; goto died } \
  :: true \
  fi

proctype Process(byte me) {
  byte seen = 0;
  bool held, told;
  byte rounds = 0;

begin:
  lives[me] = true;
  do
  :: rounds == 2 -> break
  :: rounds < 2 ->
     rounds++;
     held = false;
     told = false;
     take(0, me);
     do
     :: held -> break
     :: !held ->
        MAY_DIE();
        seen = word;
        if
        :: seen == 0 ->
#ifdef PLAIN_TAKE
           take(0, me)
#else
           take(0, me | WAITERS)
#endif
        :: seen != 0 && is_mine(seen) ->
           take(seen, me | WAITERS);
           told = held
        :: seen != 0 && !is_mine(seen) ->
           if
           :: seen < WAITERS ->
#ifndef NO_MARK
              atomic {
                if
                :: word == seen -> word = seen | WAITERS; seen = word
                :: else -> seen = 0
                fi
              }
#endif
              MAY_DIE()
           :: else
           fi;
           if
           :: seen == 0
           :: atomic { seen != 0 && !lives[number_in(seen)] -> looked_at[me] = number_in(seen) }
              MAY_DIE();
              take(seen, me | WAITERS);
              told = held;
              looked_at[me] = 0
           :: seen != 0 && lives[number_in(seen)] ->
              MAY_DIE();
              sleep_while(seen)
           fi
        fi
     od;
#ifdef UNTOLD
     told = false;
#endif
     MAY_DIE();
     d_step {
       assert(inside == 0);
       inside = me;
       assert(!half_done || told);
       half_done = true
     }
     MAY_DIE();
     d_step { half_done = false; inside = 0 }
     MAY_DIE();
     atomic {
       if
       :: word == me -> word = 0; seen = 0
       :: word == (me | WAITERS) -> word = 0; seen = WAITERS
       :: else -> seen = 0; assert(false)
       fi
     }
     MAY_DIE();
     if
     :: seen == WAITERS -> wake_one()
     :: else
     fi;
     seen = 0
  od;
  goto end;

died:
  /* Its number is free for another. */
  atomic {
    lives[me] = false;
    asleep[me] = false;
    looked_at[me] = 0;
    if
    :: inside == me -> inside = 0
    :: else
    fi;
    seen = 0
  }
  /* Another process may get its number, which takes the lock at least once. */
  if
  :: atomic {
       looked_at[1] != me && looked_at[2] != me && looked_at[3] != me ->
       lives[me] = true;
       rounds = 1;
       goto begin
     }
  :: skip
  fi;

end:
  skip
}

init {
  atomic {
    if
    :: word = 0
    :: word = NOBODY
    fi;
    run Process(1);
    run Process(2);
    run Process(3)
  }
}
