// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#pragma once

// Ledger: the elements that one worker was sent and has not answered, in the order of their serials.
// An element leaves the ledger exactly once: by its outcome, by a revocation, or by the death of the
// worker. The words of a worker are checked against the ledger before anything is done with them.
//
// Pure: no lock, no I/O, no clock. The slot of the worker guards its ledger.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string_view>
#include <utility>

#include <boost/circular_buffer.hpp>

#include "channel/parent_end.hpp"
#include "parent/chunk.hpp"
#include "parent/load.hpp"

namespace procpool::inline v0_1::parent {

class Ledger {
 public:
  using Remains = channel::ParentEnd::Remains;

  // Deaths of workers after which an element counts as their cause, although the marks of each worker
  // said that the element had not begun. Such marks may be lies of the element itself, which must not
  // end one worker after the other for ever.
  static constexpr unsigned max_attempt_deaths = 8;

  struct Entry {
    std::uint64_t serial;  // of the first element
    Chunk chunk;
    std::shared_ptr<detail::MessageBlock> block;  // holds the arguments; null: they lie in the ring

    std::uint64_t end() const noexcept { return serial + chunk.count; }
  };

  bool empty() const noexcept { return entries_.empty(); }
  std::size_t size() const noexcept { return entries_.size(); }
  Entry const& front() const noexcept { return entries_.front(); }
  Entry const& back() const noexcept { return entries_.back(); }
  auto begin() const noexcept { return entries_.begin(); }
  auto end() const noexcept { return entries_.end(); }
  // The serials lie in [first_serial(), end_serial()); both are 0 when the ledger is empty.
  std::uint64_t first_serial() const noexcept { return empty() ? 0 : front().serial; }
  std::uint64_t end_serial() const noexcept { return empty() ? 0 : back().end(); }
  bool holds(detail::Task const& task) const noexcept;

  // A worker has begun its life, or ended it.
  void reset() noexcept;

  std::uint64_t returned() const noexcept { return returned_; }  // see Load

  // What the ledger says of the load, in the next version.
  Load load(bool revoking, bool writable) noexcept {
    return {++version_, held_, offered_, given_, answered_, returned_, revoking, writable};
  }

  // ---- sending
  // A chunk is to be put into the slot. It may be sent or not.
  void offer(Chunk const& chunk) noexcept { offered_ += chunk.amount(); }
  // It was not sent, and goes back to the queue.
  void return_unsent(Chunk const& chunk) noexcept { returned_ += chunk.amount().elements; }
  // Makes room for one entry, so that the next add() cannot fail. Throws std::bad_alloc.
  void reserve();
  void add(std::uint64_t serial, Chunk&& chunk,
           std::shared_ptr<detail::MessageBlock>&& block = nullptr) noexcept;

  // ---- outcomes
  // Throws BadFrame unless the worker owes exactly such an outcome.
  void check(channel::OutboxHeader const& header) const;
  struct Resolved {
    std::shared_ptr<detail::Task> task;
    std::uint64_t element = 0;  // of the task: the first of them
    std::uint64_t serial = 0;   // of the same one
    // Of an entry that has ended, if it names resources: their end may run code of the user's, which has to
    // run outside the mutex of the slot.
    std::shared_ptr<SharedInput> input{};
    SharedInput::Queued queued{};
  };
  // The first `count` elements of the front entry have their outcome. At least one, at most all of them.
  Resolved resolve(std::uint64_t count) noexcept;

  // ---- revocation
  // The first serial of the last `elements` elements, or of all if the ledger has fewer. Nothing for
  // no elements.
  std::optional<std::uint64_t> serial_of_last(std::uint64_t elements) const noexcept;
  // The serial behind the last element of the pool's own, such as an initializer. 0: there is none.
  std::uint64_t end_of_internal() const noexcept;
  // The elements from `serial` on will never begin at this worker: out of the ledger, in their order.
  Chunks revoke_from(std::uint64_t serial);
  Chunks revoke_all() { return revoke_from(0); }

  // ---- the death of the worker
  // Why the size of the results that the worker counted last cannot be true. Empty: it can.
  std::string_view doubt(Remains const& remains) const noexcept;
  struct Attribution {
    Chunks chunks;        // the cause of the death: out of the ledger, to end with its reason
    bool poison = false;  // the cause had not begun, but too many workers died with it next in turn
  };
  enum class Belief : std::uint8_t {
    honest,
    stalled,  // did nothing until it was killed: the element next in turn is half of a cause
    liar      // wrote what cannot be true
  };
  // `killed`: the worker was killed for its front element.
  Attribution attribute(Remains const& remains, Belief belief, bool killed);

 private:
  boost::circular_buffer<Entry> entries_;  // grows by hand, and keeps its memory
  Amount held_;                            // of all entries
  std::uint64_t given_ = 0;
  std::uint64_t answered_ = 0;
  // Of all workers of the slot:
  Amount offered_;
  std::uint64_t returned_ = 0;
  std::uint64_t version_ = 0;
};

}  // namespace procpool::inline v0_1::parent
