// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#pragma once

// A slot whose worker is a real WorkerEnd in this process, over its own mapping of the same memory. A test
// can write whatever a hostile worker could write.

#include <gtest/gtest.h>
#include <poll.h>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <procpool/detail/handle/share.hpp>

#include "os/event.hpp"
#include "os/fd.hpp"
#include "os/mapping.hpp"
#include "os/socket.hpp"
#include "parent/slot.hpp"
#include "support/one_by_one.hpp"

namespace procpool::parent {

using channel::InboxKind;
using detail::Resource;
using detail::Share;

inline constexpr std::size_t ring_bytes = 64 * 1024;

inline void trampoline(detail::Operation&) {}
inline void another_trampoline(detail::Operation&) {}

inline std::shared_ptr<Share> share_of(std::size_t size, char fill = 's') {
  return Share::create(detail::Bytes(size, static_cast<std::byte>(fill)), {}, typeid(std::string));
}

inline std::uint64_t elements_of(Chunks const& chunks) {
  std::uint64_t elements = 0;
  for (Chunk const& chunk : chunks) elements += chunk.count;
  return elements;
}

class SlotTest : public testing::Test {
 protected:
  SlotTest() { open(); }
  ~SlotTest() override { wakened_ = nullptr; }

  // A worker, or its replacement.
  void open() {
    auto [ours, theirs] = os::socket_pair();
    auto channel = std::make_unique<channel::ParentEnd>(ring_bytes);
    control_ = os::duplicate(theirs.get());
    outbox_.emplace(channel->outbox(), channel::outbox_control_bytes, ring_bytes,
                    os::Access::read_write);
    worker_.emplace(channel->inbox(), channel->outbox(), ring_bytes,
                    os::Event(os::duplicate(event_.fd())), std::move(theirs));
    slot_.open(std::move(channel), std::move(ours), 1);
  }

  static Chunk chunk_with(Resource::List shares, Resource::List of_function = {}) {
    detail::Function function;
    function.code = trampoline;
    function.argument_size = 1;
    function.returns_nothing = true;
    function.resources = std::move(of_function);
    auto task = std::make_shared<detail::Task>(std::move(function));
    auto input = std::make_shared<SharedInput>(
        detail::InputBuffer{0, 1, detail::Bytes(1), {}, std::move(shares)}, 1);
    return Chunk{std::move(task), std::move(input), 0, 1};
  }

  // Elements of a byte each, whose results have four, or any number of them (0).
  static Chunk chunk_of(std::uint64_t count, std::size_t result_size = 4,
                        detail::TaskOptions options = {}, detail::Trampoline code = trampoline) {
    detail::Function function;
    function.code = code;
    function.argument_size = 1;
    function.result_size = result_size;
    auto task = std::make_shared<detail::Task>(std::move(function), std::move(options));
    auto input = std::make_shared<SharedInput>(
        detail::InputBuffer{0, count, detail::Bytes(count), {}, {}}, 1);
    return Chunk{std::move(task), std::move(input), 0, count};
  }

  // Takes all records as a worker would. The last one is a chunk.
  void take() {
    taken_.clear();
    do {
      ASSERT_TRUE(worker_->wait());
      take_one();
    } while (taken_.back() != InboxKind::chunk);
  }
  void take_one() {
    channel::InboxHeader const header = worker_->header();
    taken_.push_back(header.kind);
    if (header.kind == InboxKind::resource) {
      auto const payload = worker_->payload();
      shares_[header.task] = {reinterpret_cast<char const*>(payload.data()), payload.size()};
      ++arrivals_;
    } else if (header.kind == InboxKind::forget) {
      for (auto ids = worker_->payload(); !ids.empty(); ids = ids.subspan(8)) {
        std::uint64_t id = 0;
        std::memcpy(&id, ids.data(), sizeof id);
        EXPECT_EQ(shares_.erase(id), 1u);
      }
    } else if (header.kind == InboxKind::chunk) {
      ASSERT_TRUE(worker_->begin(header.serial));
      worker_->append_value(header.serial, {}, false);
    }
    worker_->finish_frame();
  }

  // Puts a chunk and takes everything up to it, which is then the worker's record.
  void give(Chunk chunk) {
    ASSERT_EQ(slot_.put(chunk), Slot::Put::sent);
    take_chunk();
  }
  void take_chunk() {
    taken_.clear();
    for (;;) {
      ASSERT_TRUE(worker_->wait());
      taken_.push_back(worker_->header().kind);
      if (taken_.back() == InboxKind::chunk) return;
      worker_->finish_frame();
    }
  }
  // Begins an element and answers it.
  void answer(std::uint64_t serial, std::string_view value = "four") {
    ASSERT_TRUE(worker_->begin(serial));
    worker_->append_value(serial, std::as_bytes(std::span(value)), false);
  }

  // The worker has acknowledged a revocation, and this look is the first to see it.
  bool acknowledged() {
    Load const load = slot_.collect().load;
    return load.version != 0 && !load.revoking;
  }

  // Gives so many elements and revokes them before one has begun, so that their serials are skipped.
  void skip(std::uint64_t elements) {
    if (elements == 0) return;
    give(chunk_of(elements));
    std::uint64_t const serial = worker_->header().serial;
    ASSERT_EQ(elements_of(slot_.revoke(elements).returned), elements);
    ASSERT_FALSE(worker_->begin(serial));
    worker_->finish_frame();
    ASSERT_TRUE(acknowledged());
  }

  // Has the worker notified since this was asked last?
  bool rung() {
    pollfd ready{event_.fd(), POLLIN, 0};
    bool const yes = ::poll(&ready, 1, 0) == 1;
    event_.drain();
    return yes;
  }

  // A hostile worker can write to these.
  channel::OutboxWords& words() {
    return *reinterpret_cast<channel::OutboxWords*>(outbox_->control());
  }
  // Publishes a record as it stands.
  void publish(channel::OutboxHeader const& header, std::uint64_t inside) {
    std::uint64_t const tail = words().tail.load();
    std::memcpy(outbox_->ring() + tail % ring_bytes, &header, sizeof header);
    words().tail.store(tail + channel::aligned(sizeof header + inside));
  }

  // As the worker does, whose record then has this number.
  void send(std::uint64_t number, std::vector<int> const& descriptors) {
    ASSERT_EQ(
        os::send_packet(control_.get(), std::as_bytes(std::span(&number, 1)), descriptors, false),
        os::SendResult::sent);
  }
  // The worker is not believed any more, for this reason.
  void expect_refused(char const* words) {
    auto const collected = slot_.collect();
    EXPECT_TRUE(collected.items.empty());
    EXPECT_NE(collected.bad.find(words), std::string::npos) << collected.bad;
    // Once is for ever, and it is given nothing more.
    auto const again = slot_.collect();
    EXPECT_TRUE(again.items.empty());
    EXPECT_EQ(again.bad, collected.bad);
    EXPECT_EQ(slot_.put(chunk_of(1)), Slot::Put::gone);
  }

  os::Event event_;
  std::function<void()> wakened_;  // once, when there is memory to trim
  // Hardened, so that a message is copied when it goes to another worker.
  std::shared_ptr<BufferPool> buffer_pool_ =
      std::make_shared<BufferPool>(true, std::make_shared<Trimmer>([this] {
                                     if (wakened_) std::exchange(wakened_, {})();
                                   }));
  // The time as this test has it, and what passes behind each look at it.
  static inline Slot::TimePoint time_;
  static inline std::chrono::milliseconds sleeps_{0};
  static Slot::TimePoint clock() { return std::exchange(time_, time_ + sleeps_); }
  std::optional<Slot::Running> running(Slot::TimePoint time) {
    time_ = time;
    sleeps_ = std::chrono::milliseconds(0);
    return slot_.running();
  }
  Slot slot_{0, buffer_pool_, &clock};
  os::UniqueFd control_;  // the worker's end
  std::optional<os::RingMapping> outbox_;
  std::optional<channel::OneByOne> worker_;
  std::vector<InboxKind> taken_;
  std::map<std::uint64_t, std::string> shares_;
  std::size_t arrivals_ = 0;
};

}  // namespace procpool::parent
