/* SPDX-FileCopyrightText: The procpool authors */
/* SPDX-License-Identifier: BSL-1.0 */

/* Who sleeps is woken: the doorbells both ways. The parent puts records and sleeps until it has all outcomes; the worker
 * takes records and publishes an outcome for each, sleeps when there is none, and sleeps for room when
 * two outcomes lie in the outbox. Each rings the other once per sleep. The parent may poll shortly instead, which ends by
 * itself; the worker then rings before it sleeps only. Sleeping for ever is an invalid end state.
 *
 * Broken on purpose by: LOOK_LATE (park, then sleep without a look), PARK_LATE (look, then park),
 * PARK_ORDER, TAIL_ORDER (weaker than seq_cst), SAME_NUMBER (sleeps have no numbers of their own),
 * DOORBELL_STILL (the word does not move before the wake), NO_ROOM_WAKE (nobody is woken for room).
 */
#define IN_TAIL 0   /* records put */
#define IN_PARKED 1 /* the parent's sleep; SHORT_POLL added if it ends by itself */
#define DOORBELL 2      /* the worker sleeps on it */
#define OUT_HEAD 3  /* outcomes taken */
#define OUT_TAIL 4  /* outcomes published */
#define OUT_PARKED 5 /* the worker's sleep, odd: for room */
#define WORDS 6
#include "memory.pml"

#ifndef PARK_ORDER
#define PARK_ORDER SEQ_CST
#endif
#ifndef TAIL_ORDER
#define TAIL_ORDER SEQ_CST
#endif
#ifndef RECORDS
#define RECORDS 2
#endif
#define ROOM 1
#define SHORT_POLL 64

bool asleep = false;   /* the worker, in the futex */
byte event = 0;        /* that the parent sleeps on */

/* ---- the worker */

inline park(what_for) {
#ifndef SAME_NUMBER
  number = number + 2;
#endif
  store(0, OUT_PARKED, number + what_for, PARK_ORDER)
}

inline futex_wait(doorbell) {
  atomic {
    drain(0);
    if
    :: mem[DOORBELL] == doorbell -> asleep = true
    :: else -> skip
    fi
  };
  (!asleep)
}

inline ring_parent() {
  untold = 1;
  load(0, IN_PARKED, sleep);
  if
  :: sleep == 0 || sleep == rung || sleep >= SHORT_POLL -> skip
  :: else -> rung = sleep; untold = 0; atomic { drain(0); event = 1 }
  fi
}

inline ring_before_sleep() {
  if
  :: untold ->
     load(0, IN_PARKED, sleep);
     if
     :: sleep >= SHORT_POLL && sleep != rung -> rung = sleep; untold = 0; atomic { drain(0); event = 1 }
     :: else
     fi
  :: else
  fi
}

proctype Worker() {
  byte moved = 0, seen = 0;
  byte head = 0, tail = 0, taken = 0, published = 0, doorbell = 0, number = 2, sleep = 0, rung = 0;
  bit untold = 0;
  do
  :: head == RECORDS -> break
  :: else ->
     load(0, IN_TAIL, tail);
     if
     :: tail == head ->
        load(0, DOORBELL, doorbell);
#ifdef PARK_LATE
        load(0, IN_TAIL, tail);
        park(0);
#else
        park(0);
        ring_before_sleep();
        load(0, IN_TAIL, tail);
#endif
#ifdef LOOK_LATE
        tail = head;
#endif
        if
        :: tail == head -> futex_wait(doorbell)
        :: else
        fi;
        store(0, OUT_PARKED, 0, RELAXED)
     :: else ->
        head++;
        /* The outcome, if there is room. */
        load(0, OUT_HEAD, taken);
        do
        :: published - taken < ROOM -> break
        :: else ->
           load(0, DOORBELL, doorbell);
           park(1);
           ring_before_sleep();
           load(0, OUT_HEAD, taken);
           if
           :: published - taken >= ROOM -> futex_wait(doorbell)
           :: else
           fi;
           store(0, OUT_PARKED, 0, RELAXED);
           load(0, OUT_HEAD, taken)
        od;
        published++;
        store(0, OUT_TAIL, published, TAIL_ORDER);
        ring_parent()
     fi
  od
}

/* ---- the parent */

inline wake_from() {
  if
  :: sleep == 0 || sleep == rung -> skip
  :: else ->
     rung = sleep;
#ifndef DOORBELL_STILL
     atomic { drain(1); mem[DOORBELL] = mem[DOORBELL] + 1 };
#endif
     atomic { drain(1); asleep = false }
  fi
}

proctype Parent() {
  byte moved = 0, seen = 0;
  byte put = 0, taken = 0, tail = 0, sleep = 0, rung = 0, number = 0;
  bit polls = 0;
  byte polls_left = 1;
  do
  :: put < RECORDS ->
     put++;
     store(1, IN_TAIL, put, TAIL_ORDER);
     load(1, OUT_PARKED, sleep);
     wake_from()
  :: taken == RECORDS -> break
  :: taken < put ->
     /* Sleep, or poll shortly, until something is there. */
     number++;
     if
     :: polls_left > 0 -> polls_left--; polls = 1; store(1, IN_PARKED, number + SHORT_POLL, PARK_ORDER)
     :: polls = 0; store(1, IN_PARKED, number, PARK_ORDER)
     fi;
     load(1, OUT_TAIL, tail);
     if
     :: tail == taken ->
        if
        :: event > 0
        :: polls
        fi;
        event = 0
     :: else
     fi;
     polls = 0;
     store(1, IN_PARKED, 0, RELAXED);
     load(1, OUT_TAIL, tail);
     if
     :: tail != taken ->
        taken = tail;
        store(1, OUT_HEAD, taken, SEQ_CST);
        load(1, OUT_PARKED, sleep);
#ifndef NO_ROOM_WAKE
        if
        :: sleep % 2 == 1 -> wake_from()
        :: else
        fi
#endif
     :: else
     fi
  od
}

init {
  atomic {
    run Flusher(0);
    run Flusher(1);
    run Parent();
    run Worker()
  }
}
