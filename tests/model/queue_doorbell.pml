/* SPDX-FileCopyrightText: The procpool authors */
/* SPDX-License-Identifier: BSL-1.0 */

/* The sleep of a queue's consumers (src/handle/shared_doorbell.hpp), by its doorbell alone: nobody dies, and no sleep
 * ends by itself. Two consumers take one item each, and a producer pushes two. A consumer that sleeps for ever is
 * an invalid end state.
 *
 * Broken on purpose by: NO_LOOK (park, then sleep without a look), DOORBELL_STILL (the doorbell does not move before the
 * wake), FLAG_STAYS_DOWN (whoever was woken does not park for the others), NO_HANDOVER (whoever leaves items behind
 * wakes nobody).
 */
#define ITEMS 2

byte tail = 0;
byte head = 0;
byte doorbell = 0;
bool parked = false;
bool asleep[2] = false;

inline notify() {
  if
  :: parked ->
    parked = false;
#ifndef DOORBELL_STILL
    doorbell++;
#endif
    atomic {
      if
      :: asleep[0] -> asleep[0] = false
      :: asleep[1] -> asleep[1] = false
      :: !asleep[0] && !asleep[1]
      fi
    }
  :: else
  fi
}

proctype Producer() {
  do
  :: tail < ITEMS -> tail++; notify()
  :: else -> break
  od
}

proctype Consumer(byte me) {
  byte seen;
  bool more;
  do
  :: true ->
    /* Under the lock of the consumers. */
    atomic {
      if
      :: head < tail -> head++; more = head < tail; goto taken
      :: else
      fi
    }
    seen = doorbell;
    parked = true;
#ifndef NO_LOOK
    if
    :: head < tail -> goto again
    :: else
    fi;
#endif
    atomic {
      if
      :: doorbell == seen -> asleep[me] = true
      :: else
      fi
    }
    !asleep[me];
#ifndef FLAG_STAYS_DOWN
    parked = true;
#endif
again:
    skip
  od;
taken:
#ifndef NO_HANDOVER
  if
  :: more -> notify()
  :: else
  fi;
#endif
  skip
}

init {
  atomic { run Producer(); run Consumer(0); run Consumer(1) }
}
