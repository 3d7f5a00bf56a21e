// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#pragma once

// WorkerEnd: the worker's end of its channel. It waits for frames, claims elements, and hands their
// outcomes to the outbox.
//
// Used by the worker's loop alone, on one thread, unless a function says otherwise. The worker
// trusts the parent. It may be killed between any two instructions: it holds no lock, and
// docs/architecture.md, "What each death leaves", lists the consequences.

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <procpool/detail/engine/mutex.hpp>
#include <procpool/detail/engine/run.hpp>
#include <procpool/detail/engine/sync_points.hpp>

#include "channel/doorbell.hpp"
#include "channel/incoming_payloads.hpp"
#include "channel/layout.hpp"
#include "channel/outbox.hpp"
#include "channel/worker_rings.hpp"
#include "os/event.hpp"
#include "os/fd.hpp"
#include "os/mapping.hpp"
#include "os/memfd.hpp"

namespace procpool::inline v0_1::channel::inline PROCPOOL_SYNC_BUILD {

class WorkerEnd {
 public:
  // Throws if there is no memory or address space for the rings; the caller then keeps `control`.
  WorkerEnd(os::Memfd const& inbox, os::Memfd const& outbox, std::size_t ring_bytes,
            os::Event event, os::UniqueFd&& control);
  WorkerEnd(WorkerEnd const&) = delete;
  WorkerEnd& operator=(WorkerEnd const&) = delete;

  // Blocks until there is a frame, which stays in the ring until finish_frame(). False: the inbox is
  // empty, and the parent wants this worker to leave or can no longer be reached.
  bool wait();
  // True if a frame is there. Cheap.
  bool has_frame() const noexcept {
    // Relaxed: wait() loads it again, with acquire.
    return rings_.in().tail.load(std::memory_order_relaxed) != head_;
  }
  InboxHeader const& header() const noexcept { return header_; }
  std::span<std::byte const> payload() const noexcept { return payloads_.bytes(); }
  // The reason why the payload, which is then empty, could not be received or mapped. Else empty.
  std::string const& unreadable() const noexcept { return payloads_.unreadable(); }
  // Hands over the mapping of a payload in a file, to keep it beyond finish_frame().
  os::Mapping take_file() noexcept { return payloads_.take_file(); }
  // Hands over the descriptors of a resource.
  std::vector<os::UniqueFd> take_descriptors() noexcept { return payloads_.take_descriptors(); }
  // Publishes the open outcomes, gives the space of the frame back, and notifies the parent.
  void finish_frame();

  // ---- elements of the frame

  // Starts a run of at most `max_elements` elements, from this serial on. `task` has the
  // words of the task. A retiring worker blocks until the elements are revoked, except for internal chunks.
  detail::Run start_run(std::uint64_t serial, std::uint64_t max_elements,
                        detail::RunWords const& task);
  // True if a result of this size has room in the open frame.
  bool fits(std::size_t result_size) const noexcept {
    return result_size <= inline_limit(rings_.outbox.ring_bytes());
  }
  // Reserves the place of results of this size, which fits, and shortens the run to the elements that
  // have room. Before the run's first element is done. Blocks while the outbox is full.
  void reserve(detail::Run& run, std::size_t result_size) { outbox_.reserve(run, result_size); }
  // The outcome of a run of one, whose element has begun. Blocks while the outbox is full. A length
  // precedes values of varying size. `named`: at most max_named resources that the bytes name; each is
  // sent ahead. `state`: how many bytes at the end of `value` are not the value, but the state of an
  // actor, which arrives with the outcome or not at all. If it throws, nothing has been appended.
  void append_value(detail::Run& run, std::span<std::byte const> value, bool length_first,
                    detail::Resource::List const& named = {}, std::uint64_t state = 0) {
    outbox_.append_value(run, value, length_first, named, state);
  }
  // The outcome of the run's next element, which has thrown and ends the run. As append_value.
  void append_thrown(detail::Run& run, std::span<std::byte const> exception,
                     detail::Resource::List const& named = {}, std::uint64_t state = 0) {
    outbox_.append_thrown(run, exception, named, state);
  }
  // The elements that are done belong to the open frame. False: the rest of the frame was revoked.
  bool end_run(detail::Run const& run) { return outbox_.end_run(run); }

  // Tells the parent, with the next outcome, that this worker begins nothing more.
  void retire() noexcept;

  // ---- for the task that runs; any thread
  bool asked_to_stop(std::uint64_t serial) const noexcept;
  void listen(std::uint64_t serial) noexcept;
  // Puts a line into the log. Any thread. Blocks for some milliseconds while there is no room, and
  // drops the line then.
  void log(std::uint64_t claim, std::uint32_t level, std::string_view text) noexcept;
  // Tells how far the element has come. Any thread.
  void tell_progress(std::uint64_t serial, std::uint64_t done, std::uint64_t total) noexcept;
  // Blocks until an element is asked to stop that was not `seen`. Returns its serial + 1.
  std::uint64_t wait_until_asked(std::uint64_t seen) const;

  // Where large results are best encoded to.
  ResultMemory& result_memory() noexcept { return outbox_.result_memory(); }
  // The part of this process's mapped memory that is kept for messages to come, in bytes.
  std::size_t kept_bytes() const noexcept;

  std::atomic<std::uint32_t>& stage() noexcept { return rings_.out().stage; }
  void say_exit_hint(ExitHint why) noexcept { outbox_.say_exit_hint(why); }
  // The last word: nothing comes from this worker any more. Notifies the parent.
  void leave() noexcept;
  // Keeps an earlier hint, unless that is `retiring`.
  void say_exiting() noexcept;

  // A descriptor was lost, so the contents of its file are never readable here.
  bool lost() const noexcept { return payloads_.lost(); }

  // The event or the control socket turned out to be gone. The worker cannot notify the parent any
  // more and should leave.
  bool descriptors_gone() const noexcept { return descriptors_gone_ || outbox_.descriptors_gone(); }

  // The outbox's control page, for a forked child to cover with memory of its own.
  std::span<std::byte> control_page() noexcept { return {rings_.outbox.control(), control_bytes}; }

 private:
  bool load_frame();
  bool cursor_is_awaited() const noexcept;  // the one that was just moved behind the frame
  void apply_memory_notice();
  bool spin() const noexcept;
  void wait_until_revoked(std::uint64_t serial);

  WorkerRings rings_;
  os::Event event_;
  detail::Mutex log_mutex_;
  std::uint64_t log_tail_ PROCPOOL_GUARDED_BY(log_mutex_) = 0;
  std::uint64_t log_lost_ PROCPOOL_GUARDED_BY(log_mutex_) = 0;  // since the last line
  os::UniqueFd control_;
  Doorbell doorbell_{rings_};
  IncomingPayloads payloads_{control_};
  Outbox outbox_{rings_, doorbell_, event_, control_};

  std::uint64_t head_ = 0;  // end of the last frame taken
  InboxHeader header_{};
  bool descriptors_gone_ = false;
  bool retiring_ = false;
};

}  // namespace procpool::inline v0_1::channel::inline PROCPOOL_SYNC_BUILD
