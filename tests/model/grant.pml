/* SPDX-FileCopyrightText: The procpool authors */
/* SPDX-License-Identifier: BSL-1.0 */

/* Elements between the client of a cluster and its hosts: give, grant, withdraw, lose, late outcomes
 * (src/cluster/cluster_engine.cpp, host_ledger.cpp, hosted_pool.cpp).
 *
 * A host begins what it was given and granted. The client may withdraw what is not granted, without asking. It
 * may call a host lost at any time, also a host that lives: that one goes on, and its outcomes come late. The
 * order of the messages to one host, and from it, is kept.
 *
 * Each element has one outcome at the client, and no element begins twice. With AGAIN the elements that a lost
 * host had been granted run once more: they may begin twice, and have one outcome all the same.
 *
 * Mistakes: BEGIN_AT_GIVE, WITHDRAW_GRANTED, LATE_COUNTS, LOST_AGAIN, LOST_FORGOTTEN.
 */
#define QUEUE 0
#define DONE 9
#define MAX_WITHDRAWALS 2
#ifdef AGAIN
#define MAX_BEGUN 2
#else
#define MAX_BEGUN 1
#endif

mtype = { give, grant, withdraw, outcome, stop };

chan to[2] = [8] of { mtype, byte };
chan from[2] = [4] of { mtype, byte };

/* Of the client's two elements, and two hosts. */
byte where[2]; /* QUEUE, the host + 1, DONE */
bit granted[2];
byte outcomes[2];
byte begun[2];
byte withdrawals;
bit lost[2];

inline end_element(e) {
  outcomes[e]++;
  assert(outcomes[e] == 1);
  where[e] = DONE;
  granted[e] = 0
}

inline begin_element(e) {
  begun[e]++;
  assert(begun[e] <= MAX_BEGUN)
}

inline lose_element(h, e) {
  if
  :: where[e] == h + 1 && granted[e] ->
#if defined(AGAIN) || defined(LOST_AGAIN)
     where[e] = QUEUE;
     granted[e] = 0
#else
     end_element(e)
#endif
#ifndef LOST_FORGOTTEN
  :: where[e] == h + 1 && !granted[e] -> where[e] = QUEUE
#endif
  :: else -> skip
  fi
}

#ifdef WITHDRAW_GRANTED
#define may_withdraw(h, e) (where[e] == h + 1 && withdrawals < MAX_WITHDRAWALS)
#else
#define may_withdraw(h, e) (where[e] == h + 1 && !granted[e] && withdrawals < MAX_WITHDRAWALS)
#endif

/* What the client may do with one element and one host. */
#define MOVES(h, e) \
  :: atomic { where[e] == QUEUE && !lost[h] && nfull(to[h]) -> to[h]!give(e); where[e] = h + 1 } \
  :: atomic { where[e] == h + 1 && !granted[e] && nfull(to[h]) -> to[h]!grant(e); granted[e] = 1 } \
  :: atomic { may_withdraw(h, e) && nfull(to[h]) -> to[h]!withdraw(e); where[e] = QUEUE; \
              granted[e] = 0; withdrawals++ }

inline arrive(h) {
  if
#ifndef LATE_COUNTS
  :: lost[h] -> skip /* late */
#endif
  :: else ->
     assert(lost[h] || (where[arrived] == h + 1 && granted[arrived]));
     end_element(arrived)
  fi;
  arrived = 0
}

active proctype client() {
  byte arrived;
  do
  MOVES(0, 0)
  MOVES(0, 1)
  MOVES(1, 0)
  MOVES(1, 1)
  :: atomic { !lost[0] && where[0] + where[1] < 2 * DONE ->
              lost[0] = 1; lose_element(0, 0); lose_element(0, 1) }
  :: atomic { !lost[1] && where[0] + where[1] < 2 * DONE ->
              lost[1] = 1; lose_element(1, 0); lose_element(1, 1) }
  :: atomic { lost[0] && lost[1] && where[0] == QUEUE -> end_element(0) }
  :: atomic { lost[0] && lost[1] && where[1] == QUEUE -> end_element(1) }
  :: atomic { from[0]?outcome(arrived) -> arrive(0) }
  :: atomic { from[1]?outcome(arrived) -> arrive(1) }
  :: where[0] == DONE && where[1] == DONE -> break
  od;
  to[0]!stop(0);
  to[1]!stop(0)
}

proctype host(byte h) {
  byte e;
  bit held[2];
  do
  :: atomic { to[h]?give(e) ->
#ifdef BEGIN_AT_GIVE
              begin_element(e);
#endif
              held[e] = 1 }
  :: atomic { to[h]?withdraw(e) -> held[e] = 0 }
  :: atomic { to[h]?grant(e) ->
              assert(held[e]);
              held[e] = 0;
#ifndef BEGIN_AT_GIVE
              begin_element(e)
#endif
     }
     from[h]!outcome(e)
  :: to[h]?stop(e) -> break
  od
}

init { atomic { run host(0); run host(1) } }
