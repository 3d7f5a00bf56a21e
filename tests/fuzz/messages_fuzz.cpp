// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// What a starting worker, and a fork server, say over their sockets; the report of a crash; and what
// procpool-top reads.

#include <array>
#include <new>

#include "channel/crash_words.hpp"
#include "engine/crash_report.hpp"
#include "fuzz/fuzz.hpp"
#include "protocol/fork_messages.hpp"
#include "protocol/handshake.hpp"
#include "protocol/live_view.hpp"

namespace {

using namespace procpool::protocol;
namespace channel = procpool::channel;

constexpr std::size_t area_bytes = channel::control_bytes - channel::crash_offset;

void read_crash(std::span<std::byte const> input) {
  alignas(channel::CrashWords) std::array<std::byte, area_bytes> area{};
  new (area.data()) channel::CrashWords{};
  std::memcpy(area.data(), input.data(), std::min(input.size(), area.size()));
  auto const report = procpool::detail::CrashReport::read(area);
  if (!report) return;
  procpool::WorkerDeath death;
  death.signal = report->signal();
  death.crash = report;
  procpool::WorkerDied const died(death);
  fuzz::require(died.stack().size() <= channel::max_crash_frames, "a stack has no more frames");
  fuzz::require(std::strchr(died.what(), '\n') == nullptr, "it is one line");
  // Of a frame some hundred bytes at most, beside its name, which is one of ours.
  fuzz::require(procpool::describe(std::make_exception_ptr(died)).size() < 4'000'000,
                "a description is of a size to be printed");
}

fuzz::Bytes crash_seed() {
  alignas(channel::CrashWords) std::array<std::byte, area_bytes> area{};
  auto& words = *new (area.data()) channel::CrashWords{};
  words.signal = 11;
  words.code = 1;
  words.address = 8;
  words.frames = 2;
  words.modules = 1;
  words.frame[0] = channel::crash_frame(1, 0x1000);
  words.frame[1] = channel::crash_frame(0, 0x7fff'0000);
  words.module[0].inode = 7;
  words.module[0].path[0] = 0x6f73'2e78'2f2f'2f2f;
  return fuzz::Output().put(std::uint8_t{4}).put_bytes(area).take();
}

template <class Message>
fuzz::Bytes seed(std::uint8_t kind, Message const& message) {
  return fuzz::Output().put(kind).put_bytes(encode(message)).take();
}

}  // namespace

void fuzz::run(std::span<std::byte const> input) {
  Input in(input);
  switch (in.take() % 6) {
    case 0:
      if (auto const answer = decode_answer(in.rest())) {
        if (auto const* const ready = std::get_if<Ready>(&*answer)) {
          require(ready->modules.size() <= input.size(), "there are no more modules than bytes");
          std::vector<procpool::identity::LoadedModule> const none;
          static_cast<void>(procpool::identity::first_difference(none, ready->modules));
          static_cast<void>(procpool::identity::first_difference(ready->modules, ready->modules));
        }
      }
      break;
    case 1:
      static_cast<void>(decode_fork_report(in.rest()));
      static_cast<void>(decode_preload_report(in.rest()));
      break;
    case 2:
      if (auto const hello = decode_hello(in.rest())) {
        require(hello->limits.size() <= input.size(), "there are no more limits than bytes");
      }
      break;
    case 3:
      static_cast<void>(decode_greeting(in.rest()));
      static_cast<void>(decode_fork_order(in.rest()));
      break;
    case 4: read_crash(in.rest()); break;
    case 5:
      if (auto const view = decode_live_view(in.rest())) {
        require(view->workers.size() <= input.size(), "there are no more workers than bytes");
        auto const bytes = encode(*view);
        require(decode_live_view(bytes) == view, "it is the same again");
      }
      break;
    default: break;
  }
}

std::vector<fuzz::Bytes> fuzz::seeds() {
  auto const id = procpool::identity::BuildId::from_file(1, 2, 3, 4);
  Hello hello;
  hello.pool = "solver";
  hello.limits.push_back({1, 2, 3});
  return {seed(0, Ready{{{"/bin/program", id}, {"/lib/library.so", id}}}),
          seed(0, Refusal{"no"}),
          seed(1, ForkReport{ForkReport::Kind::failed, 3, 4, {}, "no"}),
          seed(1, PreloadReport{"bytes", "too long"}),
          seed(2, hello),
          seed(3, Greeting{9, "solver"}),
          seed(3, ForkOrder{ForkOrder::Kind::fork, 4711, "[pool/3]"}),
          crash_seed(),
          seed(5, LiveView{.pool = "solver", .workers = {{.label = "count", .all_steps = 50}}})};
}
