// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#pragma once

// The sync points of the protocols between processes; those of the channel come first, in the order
// of the event log. Sources that see classes with their points include support/observed.hpp.

#include <cstdint>
#include <functional>

namespace procpool::sync_points {

enum class SyncPoint : std::uint8_t {
  // ---- the worker
  loaded,            // a frame was found, and nothing of it taken yet
  received,          // the descriptor of its payload
  claimed,           // one element, or several at once
  begun,             // the limit was loaded: the element is the worker's
  withdrawn,         // the limit was lower, and the claim is put back
  written,           // the bytes of the result, in the open frame
  marked,            // as done
  header_written,    // of the open frame
  published,         // the outbox's tail
  single_sent,       // the descriptor of a large result
  resource_sent,     // the descriptors of a resource that a result names
  single_written,    // a frame for one element
  single_marked,     // as done, after its frame was published
  frame_released,    // the space of the frame in the inbox
  rang,              // the parent's event
  retiring,          // was said
  listening,         // was said: the element looks for requests to stop
  parked,            // for want of frames
  parked_for_room,   // in the outbox
  parked_to_retire,  // until the rest is revoked
  falling_asleep,    // after the last look; the system call comes next
  woken,
  unparked,
  // ---- the parent
  put,             // the bytes of a frame, behind the tail
  raised,          // the limit
  told,            // the inbox's tail
  doorbell_moved,  // the word that the worker sleeps on
  doorbell_rung,   // the system call
  lowered,         // the limit
  cut,             // the claim was loaded
  taken,           // the space of the outbox's frames was released
  parent_parked,   // also for a short poll
  parent_unparked,
  asked,  // an element, to stop
  stop_doorbell_moved,
  stop_doorbell_rung,
  spin_set,
  leave_said,
  // ---- a lock between processes
  lock_taken,
  lock_awaited,         // the word says that somebody waits
  lock_falling_asleep,  // the system call comes next
  lock_woken,
  lock_holder_missed,  // the number is of nobody who maps the file; taking over comes next
  lock_released,
  lock_waiter_woken,  // the system call
  // ---- a queue between processes: a producer
  queue_tray_filled,     // the packet with the descriptors of an item
  queue_record_written,  // behind the tail
  queue_committed,       // the tail
  queue_ring_copied,     // the records that have a new place
  queue_ring_grown,      // the span
  queue_ring_shrunk,     // the span
  queue_closed,
  // ---- a consumer
  queue_seated,
  queue_hand_taking,
  queue_taken,  // the head
  queue_hand_full,
  queue_hand_cleared,
  queue_settled,  // a hand that another consumer left half full
  queue_losing,   // the hand of a dead consumer says what the count will be
  queue_lost,     // the count
  queue_orphan_cleared,
  queue_seat_freed,
  // ---- sleepers, and those who wake them
  queue_parked,
  queue_woken,
  queue_unparked,
  queue_rung,  // the word that they sleep on; the system call comes next
};

inline constexpr auto first_of_parent = SyncPoint::put;
inline constexpr unsigned point_count =  // of the channel
    static_cast<unsigned>(SyncPoint::leave_said) + 1;

// Called at each point, on the thread that passes it.
inline std::function<void(SyncPoint)> observer;

inline void pass(SyncPoint point) {
  if (observer) observer(point);
}

}  // namespace procpool::sync_points
