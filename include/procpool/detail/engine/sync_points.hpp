#pragma once

// The steps of the channel's protocol: every store that the other process can see, and every system call
// by which it is told, has a name here. The two ends of a channel, and Run, are templates over a policy that is told behind each of them;
// what ships is told nothing and costs nothing. Tests end or stop a process at each. Any thread.

#include <cstdint>

namespace procpool::inline v0::detail {

enum class SyncPoint : std::uint8_t {
  // ---- the worker
  loaded,            // a record was found, nothing of it taken yet
  received,          // the descriptor of its payload was
  claimed,           // one element, or those of a block
  begun,             // the limit was looked at: the element is ours
  withdrawn,         // it was not, and the claim is put back
  written,           // the result's bytes, behind the open record's others
  marked,            // as done
  header_written,    // of the open record
  published,         // the outbox's tail
  single_sent,       // the descriptor of a large result
  single_written,    // a record for one element
  single_marked,     // as done, after its record was published
  given_back,        // the record's space in the inbox
  rang,              // the parent's event
  retiring,          // was said
  listening,         // was said: the element looks whether it is asked to stop
  parked,            // for want of records
  asleep_for_room,   // in the outbox
  parked_to_retire,  // until what it has is wanted back
  falling_asleep,    // all was looked at; the system call comes next
  woken,             // it is over
  unparked,
  // ---- the parent
  put,             // a record's bytes, behind the tail
  raised,          // the limit
  told,            // the inbox's tail
  doorbell_moved,  // the word that the worker sleeps on
  doorbell_rung,   // the system call
  lowered,         // the limit
  cut,             // the claim was looked at
  taken,           // the space of the outbox's records was given back
  parent_parked,   // or napping
  parent_unparked,
  asked,  // an element, to stop
  stop_doorbell_moved,
  stop_doorbell_rung,
  spin_set,
  leave_said,
};

inline constexpr auto first_of_parent = SyncPoint::put;
inline constexpr unsigned step_count = static_cast<unsigned>(SyncPoint::leave_said) + 1;

// What ships.
struct NoSyncPoints {
  static constexpr void at(SyncPoint) noexcept {}
};

}  // namespace procpool::inline v0::detail
