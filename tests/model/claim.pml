/* SPDX-FileCopyrightText: The procpool authors */
/* SPDX-License-Identifier: BSL-1.0 */

/* Who has an element: the worker's claim against the parent's take-back, with blocks of elements, a death of the
 * worker at any step, and elements that are given again to the same worker.
 *
 * The first record has elements 0..2. At any time the parent revokes everything from an element on; what
 * has not begun is, after the worker has acknowledged, put again as the second record. In the end every
 * element has exactly one outcome: its value, or attributed to a death, or never begun.
 *
 * An element of the second record may overrun its deadline. Between the last that the worker has marked and the
 * first of that record lie serials that were revoked. The parent finds out which element runs, forbids
 * all behind it, looks again, and ends the worker: that element has the deadline as its outcome, unless it has
 * ended by then, and no other is attributed to an end that is the parent's. (Elements with a deadline are claimed one by
 * one, so not with blocks.)
 *
 * Broken on purpose by: CLAIM_LATE (look at the limit, then claim), CUT_LATE (look at the claim, then
 * lower the limit), CLAIM_ORDER, LIMIT_ORDER (weaker than seq_cst), NO_ACK (put again without waiting),
 * DONE_EARLY (marked as done ahead of its result), HEAD_EARLY (the acknowledgement ahead of the outcomes),
 * ACK_LATE (the outcomes looked for ahead of the acknowledgement), NO_LIMIT (no look at it), NO_CLAIM (none is
 * made), GAP_RUNS (what was revoked counts as running), GOES_ON (nothing is forbidden to a worker that is to be
 * ended), ONE_LOOK (what runs is not looked at again).
 *
 * What it judges of memory orders: claim and limit must be seq_cst on both sides. The mark of what is done
 * needs no more than to stand behind the result in the program, since it is read when the worker is dead, by when all that it
 * stored is seen; its release is for the compiler.
 */
#define CLAIM 0
#define LIMIT 1
#define DONE 2   /* elements marked as done */
#define TAIL 3   /* of the outbox: outcomes published, in elements */
#define HEAD 4   /* of the inbox: records taken */
#define PUT 5    /* of the inbox: records put */
#define RESULT 6 /* of each element: its bytes are there */
#define WORDS 12
#include "memory.pml"

#ifndef CLAIM_ORDER
#define CLAIM_ORDER SEQ_CST
#endif
#ifndef LIMIT_ORDER
#define LIMIT_ORDER SEQ_CST
#endif
#ifndef BLOCK
#define BLOCK 1
#endif
#define FIRST 3 /* elements of the first record */
#define MOST 6  /* serials in all */

/* What happened, which no process looks at. By serial. */
bit begun[MOST];
bit finished[MOST];
/* What the parent made of it: 1 value, 2 attributed, 3 never begun, 4 attributed with its deadline. */
byte fate[MOST];
bool worker_gone = false;
/* Of one element, serial + 1: over its deadline, and what the parent has made of that. */
byte overruns = 0;
byte sentence = 0;
bool killed = false; /* by the parent, for that */
bool killed_externally = false;   /* by somebody else */

/* Elements of the second record: as many as came back. */
byte second = 0;
#define MOST_PUT (FIRST + second)

inline resolve(e, what) {
  assert(fate[e] == 0);
  fate[e] = what
}

/* Killed here, or not. */
#define may_die \
  if \
  :: atomic { killed_externally = true; goto gone } \
  :: killed -> goto gone \
  :: skip \
  fi

proctype Worker() {
  byte moved = 0, seen = 0;
  byte record = 0, e = 0, end = 0, claimed = 0, limit = 0, put = 0, published = 0;
  do
  :: record == 2 -> break
  :: else ->
     /* Asleep until there is one: what wakes it is the other model's. */
     if
     :: mem[PUT] > record
     :: goto gone
     fi;
     load(0, PUT, put);
     end = (record == 0 -> FIRST : MOST_PUT);
     do
     :: e == end -> break
     :: else ->
#ifdef CLAIM_LATE
        load(0, LIMIT, limit);
#endif
        if
        :: e >= claimed ->
           claimed = (e + BLOCK < end -> e + BLOCK : end);
           may_die;
#ifndef NO_CLAIM
           store(0, CLAIM, claimed, CLAIM_ORDER)
#endif
        :: else
        fi;
        may_die;
#ifndef CLAIM_LATE
        load(0, LIMIT, limit);
#endif
#ifndef NO_LIMIT
        if
        :: e >= limit -> claimed = e; store(0, CLAIM, e, RELEASE); break
        :: else
        fi;
#endif
        begun[e] = 1;
        may_die;
#if BLOCK == 1
        if
        :: record == 1 && overruns == 0 -> overruns = e + 1; (killed); goto gone /* for ever */
        :: record == 1 && overruns == 0 -> overruns = e + 1 /* or it ends just now */
        :: skip
        fi;
#endif
        /* The element runs, and its result is written. */
#ifdef DONE_EARLY
        finished[e] = 1;
        store(0, DONE, e + 1, RELEASE);
        may_die;
        store(0, RESULT + e, 1, RELAXED);
#else
        store(0, RESULT + e, 1, RELAXED);
        may_die;
        finished[e] = 1;
        store(0, DONE, e + 1, RELEASE);
#endif
        may_die;
        published = e + 1;
        e++
     od;
     may_die;
     record++;
#ifdef HEAD_EARLY
     store(0, HEAD, record, SEQ_CST);
     may_die;
     store(0, TAIL, published, SEQ_CST);
#else
     store(0, TAIL, published, SEQ_CST);
     may_die;
     store(0, HEAD, record, SEQ_CST);
#endif
     e = FIRST
  od;
gone:
  atomic { drain(0); worker_gone = true }
}

/* Which element of the second record runs; none: MOST. */
inline look(which) {
  which = MOST;
  load(1, CLAIM, c);
  load(1, DONE, done);
  load(1, TAIL, t);
#ifndef GAP_RUNS
  done = (done > FIRST -> done : FIRST);
#endif
  if
  :: done >= FIRST && c > done && t <= FIRST -> which = done
  :: else
  fi
}

proctype Parent() {
  byte moved = 0, seen = 0;
  byte r = 0, c = 0, e = 0, t = 0, head = 0, done = 0, cut = 0, taken = 0, result = 0;
  byte first = 0, again = 0, kept = MOST;
  store(1, LIMIT, FIRST, RELAXED);
  store(1, PUT, 1, SEQ_CST);

  /* Revoke, from any element on. */
  select(r : 0 .. 2);
#ifdef CUT_LATE
  load(1, CLAIM, c);
  store(1, LIMIT, r, LIMIT_ORDER);
#else
  store(1, LIMIT, r, LIMIT_ORDER);
  load(1, CLAIM, c);
#endif
  cut = (c > r -> c : r);
  e = cut;
  do
  :: e < FIRST -> resolve(e, 3); second++; e++
  :: else -> break
  od;

#ifndef NO_ACK
#ifdef ACK_LATE
  load(1, TAIL, t);
#endif
  /* Until it has acknowledged, or is dead. */
  (mem[HEAD] >= 1 || worker_gone);
  load(1, HEAD, head);
  if
  :: head >= 1 ->
#ifndef ACK_LATE
     load(1, TAIL, t);
#endif
     do
     :: taken < t -> load(1, RESULT + taken, result); assert(result == 1); resolve(taken, 1); taken++
     :: else -> break
     od;
     e = taken;
     do
     :: e < cut -> resolve(e, 3); second++; e++
     :: else -> break
     od;
     cut = taken
  :: else
  fi;
#endif

  /* What came back is put again, if the worker lives. */
  taken = (taken < cut -> taken : cut);
  store(1, LIMIT, MOST_PUT, RELAXED);
  store(1, PUT, 2, SEQ_CST);

#if BLOCK == 1
  (overruns != 0 || mem[HEAD] >= 2 || worker_gone);
  if
  :: overruns != 0 ->
     look(first);
     if
     :: first + 1 == overruns -> /* the same since its deadline began */
#ifndef GOES_ON
        /* What is behind it comes back at once, but for what is claimed. */
        store(1, LIMIT, first + 1, LIMIT_ORDER);
        load(1, CLAIM, c);
        kept = (c > first + 1 -> c : first + 1);
#endif
#ifdef ONE_LOOK
        again = first;
#else
        look(again);
#endif
        if
        :: again == first -> sentence = first + 1; killed = true
        :: else
        fi
     :: else
     fi
  :: else
  fi;
  (!killed || worker_gone);
#endif

  (mem[HEAD] >= 2 || worker_gone);
  load(1, HEAD, head);
  /* What was published. The first record's rest, then the second's. */
  load(1, TAIL, t);
  e = taken;
  do
  :: e < cut && e < t -> load(1, RESULT + e, result); assert(result == 1); resolve(e, 1); e++
  :: else -> break
  od;
  taken = e;
  /* And what a dead one left: the open record, then the claim. */
  load(1, DONE, done);
  do
  :: taken < cut && taken < done -> load(1, RESULT + taken, result); assert(result == 1); resolve(taken, 1); taken++
  :: else -> break
  od;
  load(1, CLAIM, c);
  if
  :: taken < cut && c > taken && head < 1 -> resolve(taken, 2); taken++
  :: else
  fi;
  do
  :: taken < cut -> resolve(taken, 3); taken++
  :: else -> break
  od;
  /* The second record. */
  e = FIRST;
  do
  :: e < MOST_PUT && e < t -> load(1, RESULT + e, result); assert(result == 1); resolve(e, 1); e++
  :: else -> break
  od;
  do
  :: e < MOST_PUT && e < done -> load(1, RESULT + e, result); assert(result == 1); resolve(e, 1); e++
  :: else -> break
  od;
  if
  :: e < MOST_PUT && sentence == e + 1 && worker_gone -> resolve(e, 4); e++
  :: e < MOST_PUT && sentence != e + 1 && c > e && e < kept && worker_gone && head < 2 -> resolve(e, 2); e++
  :: else
  fi;
  do
  :: e < MOST_PUT -> resolve(e, 3); e++
  :: else -> break
  od;

  /* Nothing is lost, doubled, or told to be what it was not. */
  (worker_gone);
  e = 0;
  do
  :: e < MOST_PUT ->
     assert(fate[e] != 0);
     assert(fate[e] != 1 || finished[e]);
     assert(fate[e] != 3 || !begun[e]);
     assert(fate[e] != 2 || killed_externally);
     assert(fate[e] != 4 || (begun[e] && !finished[e]));
     e++
  :: else -> break
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
