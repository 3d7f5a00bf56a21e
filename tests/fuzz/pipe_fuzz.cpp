// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// The two ends of a pipe whose memory and sockets a hostile process writes to. Each call returns in
// time, with what it may; messages that nobody has touched arrive in their order.

#include <algorithm>
#include <array>
#include <chrono>
#include <deque>
#include <memory>
#include <new>
#include <utility>

#include "fuzz/descriptors.hpp"
#include "handle/pipe_layout.hpp"
#include "os/mapping.hpp"

namespace {

using procpool::detail::BytePipeEnd;
using procpool::detail::Bytes;
using procpool::detail::Resource;
namespace handle = procpool::handle;
namespace os = procpool::os;
using Clock = std::chrono::steady_clock;
using Receive = BytePipeEnd::Receive;

constexpr int max_acts = 60;
constexpr int max_packets = 30;  // less than a socket holds
constexpr std::size_t max_message = 20'000;
constexpr std::chrono::seconds max_call{3};

class Harness {
 public:
  Harness() : ends_(BytePipeEnd::make()), view_(memory(), os::Access::read_write) {
    for (std::size_t i = 0; i < 2; ++i) owners_[i] = end(i).arrive();
  }

  void act(std::uint8_t what, fuzz::Input& in) {
    auto const begin = Clock::now();
    try {
      call(what, in);
    } catch (procpool::PipeClosed const&) {
      fuzz::require(touched_, "nothing closes a pipe but a faulty process");
    } catch (procpool::SerializationError const&) {  // handles that are none
    } catch (procpool::SetupError const&) {
    } catch (std::bad_alloc const&) {
    }
    fuzz::require(Clock::now() - begin < max_call, "each call returns in time");
  }

 private:
  BytePipeEnd& end(std::size_t which) const { return which == 0 ? *ends_.first : *ends_.second; }
  os::Memfd memory() const { return os::Memfd(os::duplicate(end(0).descriptors().front())); }
  handle::DirectionWords& direction(std::size_t which) {
    return reinterpret_cast<handle::PipeWords*>(view_.data())->directions[which];
  }

  void call(std::uint8_t what, fuzz::Input& in) {
    std::size_t const which = in.take() % 2;
    switch (what % 10) {
      case 0:
      case 1: send(which, in.take<std::uint16_t>() % max_message, in.take()); break;
      case 2:
      case 3: receive(which, in.take() % 2 == 0); break;
      case 4: look(which); break;
      case 5: move(which); break;
      case 6: set_word(which, in.take(), value(which, in)); break;
      case 7: forge_header(which, in); break;
      case 8: send_packet(which, in); break;
      default: {
        std::size_t const at = in.take<std::uint32_t>() % handle::pipe_bytes;
        auto const some = in.take_bytes(std::min<std::size_t>(in.take(), handle::pipe_bytes - at));
        if (!some.empty()) std::memcpy(view_.data() + at, some.data(), some.size());
        touched_ = true;
      }
    }
  }

  // Whoever sends into a full pipe waits until somebody receives, which is nobody here.
  bool has_room(std::size_t which, std::size_t size) {
    std::uint64_t const used = tails_[which] - direction(which).head;
    return used > handle::pipe_ring_bytes ||
           handle::pipe_ring_bytes - used >= sizeof(handle::MessageHeader) + size + 8;
  }

  void send(std::size_t which, std::size_t size, std::uint8_t form) {
    bool const brings = form % 4 == 3;
    constexpr std::size_t trailer = 64;
    if (!has_room(which, size + trailer) || (brings && packets_++ >= max_packets)) return;
    Bytes message(size, static_cast<std::byte>(next_));
    if (form % 4 == 0) {
      end(which).send(message);
    } else {
      Resource::List named;
      if (brings) named.push_back(fuzz::Living::only()[form / 4 % 2]);
      end(which).send(message, named);
    }
    ++next_;
    tails_[which] =
        handle::message_end(tails_[which] + sizeof(handle::MessageHeader) + message.size());
    expected_[which].push_back({std::move(message), form % 4 != 0});
  }

  void receive(std::size_t which, bool with_handles) {
    auto& expected = expected_[1 - which];
    if (!touched_ && !expected.empty()) with_handles = expected.front().with_handles;
    Bytes message;
    Resource::List handles;
    auto const now = Clock::now();
    auto const received =
        with_handles ? end(which).receive(message, handles, now) : end(which).receive(message, now);
    for (auto const& each : handles) fuzz::use(*each);
    if (touched_) return;
    if (received != Receive::message) {
      fuzz::require(expected.empty(), "what was sent is there");
      return;
    }
    fuzz::require(!expected.empty() && message.size() <= expected.front().bytes.size() &&
                      std::equal(message.begin(), message.end(), expected.front().bytes.begin()),
                  "messages come as they were sent");
    expected.pop_front();
  }

  void look(std::size_t which) {
    static_cast<void>(end(which).peer_gone());
    static_cast<void>(end(which).native_handle());
  }

  // Given away, and back: the end goes on where its words say.
  void move(std::size_t which) {
    Resource::List named;
    {
      procpool::detail::ResourceCollector const collector(named);
      BytePipeEnd::leave(owners_[which]);
    }
    owners_[which] = end(which).arrive();
    tails_[which] = direction(which).tail;
  }

  std::uint64_t value(std::size_t which, fuzz::Input& in) {
    switch (in.take() % 4) {
      case 0: return in.take();
      case 1: return direction(which).tail + in.take<std::uint16_t>();
      case 2: return direction(which).head + in.take<std::uint16_t>();
      default: return in.take<std::uint64_t>();
    }
  }

  void set_word(std::size_t which, std::uint8_t word, std::uint64_t value) {
    touched_ = true;
    auto& words = direction(which);
    switch (word % 6) {
      case 0: words.tail = value; break;
      case 1: words.tail_whole = value; break;
      case 2: words.head = value; break;
      case 3: words.head_whole = value; break;
      case 4: words.reader_sleeps = static_cast<std::uint32_t>(value); break;
      default: words.writer_sleeps = static_cast<std::uint32_t>(value); break;
    }
  }

  void forge_header(std::size_t which, fuzz::Input& in) {
    touched_ = true;
    auto& words = direction(which);
    handle::MessageHeader const header{in.take() % 4 == 0 ? in.take<std::uint64_t>() : in.take()};
    std::byte* const ring =
        view_.data() + handle::pipe_control_bytes + which * handle::pipe_ring_bytes;
    std::uint64_t const tail = words.tail;
    std::memcpy(ring + tail % handle::pipe_ring_bytes / 8 * 8, &header, sizeof header);
    words.tail = tail + sizeof header + in.take();
  }

  void send_packet(std::size_t which, fuzz::Input& in) {
    if (packets_++ >= max_packets) return;
    touched_ = true;
    auto const came = fuzz::descriptors(in);
    std::vector<int> numbers;
    for (auto const& each : came) numbers.push_back(each.get());
    std::uint64_t const position =
        in.take() % 4 == 0 ? in.take<std::uint64_t>() : tails_[which] + in.take() % 2 * 8u;
    fuzz::Bytes packet(in.take() % 4 == 0 ? 1 + in.take() : sizeof position);
    std::memcpy(packet.data(), &position, std::min(packet.size(), sizeof position));
    os::send_packet(end(which).descriptors()[1 + in.take() % 2], packet, numbers, false);
  }

  std::pair<std::shared_ptr<BytePipeEnd>, std::shared_ptr<BytePipeEnd>> ends_;
  os::Mapping view_;
  std::array<std::shared_ptr<BytePipeEnd::Owner>, 2> owners_;
  bool touched_ = false;
  int packets_ = 0;
  std::uint8_t next_ = 0;
  std::array<std::uint64_t, 2> tails_{};  // by the end that sends
  struct Sent {
    Bytes bytes;
    bool with_handles;
  };
  std::array<std::deque<Sent>, 2> expected_;
};

}  // namespace

void fuzz::run(std::span<std::byte const> input) {
  NoDescriptorIsLeft const none_is_left;
  Input in(input);
  Harness harness;
  for (int i = 0; i < max_acts && !in.empty(); ++i) harness.act(in.take(), in);
}

std::vector<fuzz::Bytes> fuzz::seeds() {
  auto const number = [](int value) { return static_cast<std::uint8_t>(value); };
  auto const send = [&](Output& out, int which, int size, int form) {
    out.put(number(0)).put(number(which)).put(static_cast<std::uint16_t>(size)).put(number(form));
  };
  auto const receive = [&](Output& out, int which, int handles) {
    out.put(number(2)).put(number(which)).put(number(handles));
  };
  std::vector<Bytes> all;
  {
    Output out;
    for (int i = 0; i < 3; ++i) send(out, 0, 1'000 * i, 0);
    for (int i = 0; i < 4; ++i) receive(out, 1, 0);
    send(out, 1, 5, 1);
    receive(out, 0, 1);
    out.put(number(5)).put(number(0));
    send(out, 0, 15'000, 3);
    receive(out, 1, 1);
    all.push_back(out.take());
  }
  for (int word = 0; word < 6; ++word) {
    for (int form = 0; form < 4; ++form) {
      Output out;
      send(out, 0, 100, 0);
      out.put(number(6)).put(number(0)).put(number(word)).put(number(form));
      out.put(std::uint64_t{0x1'0000'0008});
      receive(out, 1, 0);
      out.put(number(5)).put(number(0));
      send(out, 0, 100, 0);
      all.push_back(out.take());
    }
  }
  {
    Output out;
    out.put(number(7)).put(number(0)).put(number(0)).put(~std::uint64_t{0}).put(number(200));
    for (int i = 0; i < 3; ++i) receive(out, 1, i % 2);
    all.push_back(out.take());
  }
  {
    Output out;
    out.put(number(8)).put(number(0)).put(number(4)).put(number(1)).put(number(0));
    out.put(number(1)).put(number(0));
    send(out, 0, 10, 1);
    receive(out, 1, 1);
    all.push_back(out.take());
  }
  return all;
}
