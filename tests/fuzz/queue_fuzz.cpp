// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// A queue between processes whose memory and tray a hostile process writes to. Each call returns in
// time, with what it may; items that nobody has touched arrive in their order.

#include <algorithm>
#include <chrono>
#include <deque>
#include <memory>
#include <new>
#include <optional>
#include <stdexcept>
#include <system_error>

#include "fuzz/descriptors.hpp"
#include "handle/byte_queue.hpp"
#include "os/mapping.hpp"

namespace {

using procpool::handle::ByteQueue;
namespace handle = procpool::handle;
namespace os = procpool::os;
using procpool::detail::Bytes;
using Clock = std::chrono::steady_clock;

constexpr int max_acts = 60;
// The lock of somebody who lives is waited for, but not for so long.
constexpr std::chrono::milliseconds lock_patience{5};
constexpr std::chrono::seconds max_call{3};
// The words, the seats, and what the ring of a new queue has.
constexpr std::size_t bytes = handle::ring_offset + handle::min_span;

class Harness {
 public:
  explicit Harness(fuzz::Input& in)
      : queue_(ByteQueue::create({.type = 1,
                                  .items = 1u + in.take() % 64u,
                                  .bytes = (2u + in.take<std::uint16_t>()) * std::uint64_t{16},
                                  .redeliver = in.take() % 3u,
                                  .tray = in.take() % 2u})),
        view_(queue_->file(), os::Access::read_write, 0, bytes) {
    std::vector<os::UniqueFd> descriptors;
    for (int const each : queue_->descriptors()) descriptors.push_back(os::duplicate(each));
    other_ = ByteQueue::adopt(descriptors);
    for (auto const& each : {queue_, other_}) each->set_patience(lock_patience);
  }

  void act(std::uint8_t what, fuzz::Input& in) {
    auto const begin = Clock::now();
    try {
      call(what, in);
    } catch (procpool::QueueBroken const&) {
      fuzz::require(touched_, "nothing breaks a queue but a faulty process");
      if (in.take() % 4 != 0) words().broken = 0;  // mended, to see more
    } catch (procpool::SetupError const&) {        // all seats look taken
    } catch (std::bad_alloc const&) {
    } catch (std::length_error const&) {
    } catch (std::system_error const&) {  // of the tray
    }
    fuzz::require(Clock::now() - begin < max_call, "each call returns in time");
  }

 private:
  handle::QueueWords& words() { return *reinterpret_cast<handle::QueueWords*>(view_.data()); }
  ByteQueue& any(std::uint8_t what) { return what % 2 == 0 ? *queue_ : *other_; }

  void call(std::uint8_t what, fuzz::Input& in) {
    switch (what % 11) {
      case 0:
      case 1: push(any(in.take()), in.take<std::uint16_t>() % 3'000, in.take()); break;
      case 2:
      case 3: pop(any(in.take())); break;
      case 4: look(any(in.take()), in.take()); break;
      case 5: any(in.take()).done(); break;
      case 6: set_word(in.take(), value(in)); break;
      case 7: set_seat(in); break;
      case 8: forge_record(in); break;
      case 9: send_packet(in); break;
      default: {
        std::size_t const at = in.take<std::uint32_t>() % bytes;
        auto const some = in.take_bytes(std::min<std::size_t>(in.take(), bytes - at));
        if (!some.empty()) std::memcpy(view_.data() + at, some.data(), some.size());
        touched_ = true;
      }
    }
  }

  void push(ByteQueue& queue, std::size_t size, std::uint8_t form) {
    fuzz::Bytes const item(size, static_cast<std::byte>(next_));
    bool const brings = form % 4 == 3 && queue.shape().tray != 0;
    int const file = queue_->file().fd();
    auto const pushed = queue.push(item, ByteQueue::at_once, std::span(&file, brings ? 1u : 0u));
    if (pushed != ByteQueue::Push::done) return;
    ++next_;
    expected_.push_back(item);
  }

  void pop(ByteQueue& queue) {
    Bytes item;
    std::vector<os::UniqueFd> descriptors;
    if (queue.pop(item, ByteQueue::at_once, &descriptors) != ByteQueue::Pop::item) return;
    fuzz::require(item.size() <= queue.shape().bytes, "no item is larger than its queue");
    fuzz::require(descriptors.size() <= os::max_packet_fds, "no item has too many descriptors");
    if (touched_) return;
    fuzz::require(!expected_.empty() && std::ranges::equal(item, expected_.front()),
                  "items come as they were sent");
    expected_.pop_front();
  }

  void look(ByteQueue& queue, std::uint8_t what) {
    switch (what % 8) {
      case 0: queue.close(); break;
      case 1: static_cast<void>(queue.closed()); break;
      case 2: static_cast<void>(queue.lost()); break;
      case 3: static_cast<void>(queue.attempts()); break;
      case 4: static_cast<void>(queue.drained()); break;
      default: fuzz::require(queue.size() <= queue.shape().items, "no more are there than may be");
    }
  }

  // Small, or near what is there, or anything.
  std::uint64_t value(fuzz::Input& in) {
    switch (in.take() % 4) {
      case 0: return in.take();
      case 1: return words().head + in.take();
      case 2:
        return handle::pack(handle::Position{in.take<std::uint16_t>(), in.take<std::uint16_t>()});
      default: return in.take<std::uint64_t>();
    }
  }

  void set_word(std::uint8_t which, std::uint64_t value) {
    touched_ = true;
    auto& all = words();
    auto const small = static_cast<std::uint32_t>(value);
    switch (which % 15) {
      case 0: all.closed = small; break;
      case 1: all.producers = small; break;
      case 2: all.head_seen = value; break;
      case 3: all.packets = small; break;
      case 4: all.tail = value; break;
      case 5: all.span = value; break;
      case 6: all.consumers = small; break;
      case 7: all.tail_seen = value; break;
      case 8: all.lost = value; break;
      case 9: all.seats = small; break;
      case 10: all.head = value; break;
      case 11: all.span = handle::min_span << value % 32; break;
      case 12: all.items.parked = small; break;
      case 13: all.room.parked = small; break;
      default: all.items.doorbell = small; break;
    }
  }

  void set_seat(fuzz::Input& in) {
    touched_ = true;
    constexpr std::uint32_t dead = 0x7fff'fff0;
    auto& seat =
        reinterpret_cast<handle::SeatWords*>(view_.data() + handle::seats_offset)[in.take() % 4];
    if (in.take() % 4 != 0) seat.thread = in.take() % 2 == 0 ? dead : in.take<std::uint16_t>();
    if (in.take() % 4 == 0) seat.start = in.take<std::uint64_t>();
    seat.size = in.take() % 4 == 0 ? in.take<std::uint64_t>() : in.take();
    seat.hand =
        handle::pack(handle::HandState{static_cast<handle::Hold>(in.take() % 5),
                                       static_cast<std::uint16_t>(in.take() % 4), in.take()});
    if (in.take() % 2 == 0) words().seats = 1u + in.take() % 8u;
  }

  void forge_record(fuzz::Input& in) {
    touched_ = true;
    auto const head = handle::unpack(words().head);
    handle::RecordHeader const header{
        in.take() % 4 == 0 ? in.take<std::uint64_t>() : in.take<std::uint16_t>(),
        in.take() % 4 == 0 ? in.take<std::uint32_t>() : head.items, in.take() % 4u};
    std::size_t const at = std::uint64_t{head.units} * handle::unit % handle::min_span;
    std::memcpy(view_.data() + handle::ring_offset + at, &header, sizeof header);
  }

  void send_packet(fuzz::Input& in) {
    if (queue_->shape().tray == 0 || packets_++ == 30) return;
    touched_ = true;
    auto const came = fuzz::descriptors(in);
    std::vector<int> numbers;
    for (auto const& each : came) numbers.push_back(each.get());
    std::uint32_t const number = in.take() % 8;
    fuzz::Bytes packet(in.take() % 4 == 0 ? 1 + in.take() : sizeof number);
    std::memcpy(packet.data(), &number, std::min(packet.size(), sizeof number));
    os::send_packet(queue_->descriptors()[1 + in.take() % 2], packet, numbers, false);
  }

  std::shared_ptr<ByteQueue> queue_;
  std::shared_ptr<ByteQueue> other_;
  os::Mapping view_;
  bool touched_ = false;
  std::size_t packets_ = 0;
  std::uint8_t next_ = 0;
  std::deque<fuzz::Bytes> expected_;
};

}  // namespace

void fuzz::run(std::span<std::byte const> input) {
  NoDescriptorIsLeft const none_is_left;
  Input in(input);
  Harness harness(in);
  for (int i = 0; i < max_acts && !in.empty(); ++i) harness.act(in.take(), in);
}

std::vector<fuzz::Bytes> fuzz::seeds() {
  auto const number = [](int value) { return static_cast<std::uint8_t>(value); };
  auto const made = [&](int redeliver, int tray) {
    Output out;
    out.put(number(10)).put(std::uint16_t{4096}).put(number(redeliver)).put(number(tray));
    return out;
  };
  auto const push = [&](Output& out, int form) {
    out.put(number(0)).put(number(0)).put(std::uint16_t{100}).put(number(form));
  };
  auto const pop = [&](Output& out) { out.put(number(2)).put(number(1)); };
  std::vector<Bytes> all;
  {
    Output out = made(0, 0);
    for (int i = 0; i < 3; ++i) push(out, 0);
    for (int i = 0; i < 4; ++i) pop(out);
    out.put(number(4)).put(number(0)).put(number(0));
    pop(out);
    all.push_back(out.take());
  }
  {
    Output out = made(0, 1);
    push(out, 3);
    push(out, 0);
    for (int i = 0; i < 2; ++i) pop(out);
    all.push_back(out.take());
  }
  {  // An orphan, in a seat of a thread that is dead.
    Output out = made(1, 0);
    push(out, 0);
    pop(out);
    out.put(number(7)).put(number(3)).put(number(1)).put(number(0)).put(number(1));
    out.put(number(1)).put(number(50)).put(number(2)).put(number(0)).put(number(0));
    out.put(number(0)).put(number(7));
    pop(out);
    all.push_back(out.take());
  }
  for (int word = 0; word < 15; ++word) {
    Output out = made(word % 3, word % 2);
    push(out, 0);
    out.put(number(6)).put(number(word)).put(number(word % 4)).put(std::uint64_t{0x3'0000'0007});
    pop(out);
    push(out, 0);
    all.push_back(out.take());
  }
  {  // A record of no size, with a packet that is not there.
    Output out = made(0, 1);
    push(out, 0);
    out.put(number(8)).put(number(1)).put(std::uint16_t{4}).put(number(1)).put(number(3));
    pop(out);
    all.push_back(out.take());
  }
  return all;
}
