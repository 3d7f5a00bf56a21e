/* SPDX-FileCopyrightText: The procpool authors */
/* SPDX-License-Identifier: BSL-1.0 */

/* The memory that two processes share, as the channel's models see it.
 *
 * ORDER 0: sequentially consistent: every store is seen at once.
 * ORDER 1: TSO (x86): each process has a store buffer, in order; its own loads look there first.
 * ORDER 2: weaker: relaxed stores leave the buffer in any order (but for those to one word), release stores
 *          only when all before them have.
 * Loads are done in the order of the program (an acquire load on hardware that reorders loads is taken to
 * be one). A seq_cst store empties the buffer, itself last, before anything else happens; so do a
 * read-modify-write and a system call. A death empties it too: what a killed process has stored is seen.
 */
#define SLOTS 4

byte mem[WORDS];

typedef Buffer {
  byte count;
  byte word[SLOTS];
  byte value[SLOTS];
  bit release[SLOTS];
}
Buffer buffer[2]; /* of the worker (0) and the parent (1) */

#define RELAXED 0
#define RELEASE 1
#define SEQ_CST 2

/* Entry i leaves the buffer. */
inline flush(who, i) {
  mem[buffer[who].word[i]] = buffer[who].value[i];
  moved = i + 1;
  do
  :: moved < buffer[who].count ->
     buffer[who].word[moved - 1] = buffer[who].word[moved];
     buffer[who].value[moved - 1] = buffer[who].value[moved];
     buffer[who].release[moved - 1] = buffer[who].release[moved];
     moved++
  :: else -> break
  od;
  buffer[who].count--;
  /* Equal states look equal. */
  buffer[who].word[buffer[who].count] = 0;
  buffer[who].value[buffer[who].count] = 0;
  buffer[who].release[buffer[who].count] = 0;
  moved = 0
}

inline drain(who) {
  do
  :: buffer[who].count > 0 -> flush(who, 0)
  :: else -> break
  od
}

inline store(who, w, v, order) {
  if
  :: ORDER == 0 || order == SEQ_CST -> d_step { drain(who); mem[w] = v }
  :: else ->
     atomic {
       buffer[who].count < SLOTS ->
       d_step {
         buffer[who].word[buffer[who].count] = w;
         buffer[who].value[buffer[who].count] = v;
         buffer[who].release[buffer[who].count] = order;
         buffer[who].count++
       }
     }
  fi
}

inline load(who, w, x) {
  d_step {
    x = mem[w];
    seen = 0;
    do
    :: seen < buffer[who].count ->
       if
       :: buffer[who].word[seen] == w -> x = buffer[who].value[seen]
       :: else
       fi;
       seen++
    :: else -> break
    od;
    seen = 0
  }
}

/* Entry i may leave before those ahead of it. */
#define may_pass(who, i) \
  (!buffer[who].release[i] && (i < 1 || buffer[who].word[0] != buffer[who].word[i]) && \
   (i < 2 || buffer[who].word[1] != buffer[who].word[i]) && \
   (i < 3 || buffer[who].word[2] != buffer[who].word[i]))

proctype Flusher(byte who) {
  byte moved = 0;
end_idle:
  do
  :: d_step { buffer[who].count > 0 -> flush(who, 0) }
  :: d_step { ORDER == 2 && buffer[who].count > 1 && may_pass(who, 1) -> flush(who, 1) }
  :: d_step { ORDER == 2 && buffer[who].count > 2 && may_pass(who, 2) -> flush(who, 2) }
  :: d_step { ORDER == 2 && buffer[who].count > 3 && may_pass(who, 3) -> flush(who, 3) }
  od
}
