// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#pragma once

// Outbox: the worker's writing half of its channel. It collects results in an open frame, publishes
// it, notifies the parent, and waits for room.
//
// The worker's loop only. A death at any point leaves the frames published so far, and in the open
// frame the results that the done mark counts.

#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <span>
#include <vector>

#include <procpool/detail/engine/run.hpp>
#include <procpool/detail/engine/sync_points.hpp>
#include <procpool/detail/handle/resource.hpp>

#include "channel/doorbell.hpp"
#include "channel/layout.hpp"
#include "channel/result_memory.hpp"
#include "channel/worker_rings.hpp"
#include "os/event.hpp"
#include "os/fd.hpp"
#include "os/memfd.hpp"

namespace procpool::inline v0_1::channel::inline PROCPOOL_SYNC_BUILD {

class Outbox {
 public:
  // All of these outlive the outbox. `control` is the socket to which descriptors are sent.
  Outbox(WorkerRings const& rings, Doorbell& doorbell, os::Event const& event,
         os::UniqueFd const& control) noexcept
      : rings_(rings), doorbell_(doorbell), event_(event), control_(control) {}

  // The results that come next are those of this frame's elements.
  void begin_frame(InboxHeader const& header) noexcept;

  // How many elements the next run may claim at once.
  std::uint64_t claimed_at_once() const noexcept {
    return claims_one_by_one_ ? 1 : claimed_at_once_;
  }
  // The four of WorkerEnd.
  void reserve(detail::Run& run, std::size_t result_size);
  void append_value(detail::Run& run, std::span<std::byte const> value, bool length_first,
                    detail::Resource::List const& named, std::uint64_t state);
  void append_thrown(detail::Run& run, std::span<std::byte const> exception,
                     detail::Resource::List const& named, std::uint64_t state);
  bool end_run(detail::Run const& run);

  bool has_open_frame() const noexcept { return open_count_ != 0; }
  void close_frame();             // the open one, which is not empty
  void show_results();            // closes the open frame, if there is one, and notifies the parent
  void notify_parent() noexcept;  // something was published
  void notify_before_sleep() noexcept;  // of results that a short poll of the parent made wait
  void notify_now() noexcept;

  // The event or the control socket turned out to be gone: the parent cannot be notified any more.
  bool descriptors_gone() const noexcept { return descriptors_gone_; }
  void say_exit_hint(ExitHint why) noexcept;

  // Where large results are best encoded to.
  ResultMemory& result_memory() noexcept { return results_; }
  std::size_t result_footprint() const noexcept { return results_.footprint(); }

 private:
  // Opens a frame, or shows the open one first, so that there is room for `bytes` of this element.
  void have_room(std::uint64_t serial, std::uint64_t bytes);
  // What the run has done belongs to the open frame.
  void count(detail::Run const& run);
  void look_at_clock();
  // A large payload, ready to be sent: in a block, or in a file that is write-sealed.
  struct OutgoingPayload {
    std::shared_ptr<detail::MessageBlock> block;
    BlockRef ref{};
    os::Memfd file;
  };
  // `prefix`: bytes of the length that stand in front of it, all of them or none.
  OutgoingPayload seal_payload(std::span<std::byte const> payload, std::uint64_t length,
                               std::uint64_t prefix);
  // A resource that the next outcome names.
  struct OutgoingResource {
    ResourceRecord record;
    std::vector<int> descriptors;
  };
  std::vector<OutgoingResource> prepare(detail::Resource::List const& named);
  void put_resource(OutgoingResource const& resource);
  // Waits until there is room for another packet in the control socket.
  void wait_for_packet_room();
  // Never returns without success.
  void send_packet(std::uint64_t number, std::span<int const> descriptors);
  // A frame for the next element of the run alone.
  void put_single(OutboxKind kind, detail::Run& run, std::span<std::byte const> payload,
                  bool length_first, detail::Resource::List const& named, std::uint64_t state);
  void wait_for_room(std::uint64_t bytes);
  void wait_until_taken(std::uint64_t cursor);
  void publish();
  void notify_epoch(std::uint32_t sleep) noexcept;

  WorkerRings const& rings_;
  Doorbell& doorbell_;
  os::Event const& event_;
  os::UniqueFd const& control_;
  ResultMemory results_;

  std::uint64_t tail_ = 0;          // end of the last frame published
  std::uint64_t seen_taken_ = 0;    // the parent's head as loaded last
  std::uint64_t last_serial_ = 0;   // of the inbox frame: behind its last element
  bool claims_one_by_one_ = false;  // the inbox frame asks for it
  std::uint64_t open_first_ = 0;    // the open frame: first serial, elements, payload bytes
  std::uint64_t open_count_ = 0;
  std::uint64_t open_bytes_ = 0;
  std::uint64_t opened_at_ = 0;      // nanoseconds: begin of the inbox frame or of the open frame
  std::uint64_t look_at_clock_ = 0;  // elements until the next look at the clock
  std::uint64_t elements_per_look_ = 1;
  std::uint64_t claimed_at_once_ = 1;
  std::deque<std::uint64_t> large_ends_;  // cursors behind large messages that may not be taken yet
  std::uint32_t notified_epoch_ = 0;      // the parent's sleep that was ended last
  bool untold_ = false;                   // published since, and the parent not notified
  bool descriptors_gone_ = false;
};

}  // namespace procpool::inline v0_1::channel::inline PROCPOOL_SYNC_BUILD
