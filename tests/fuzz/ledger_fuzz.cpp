// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// A slot with its ledger, against a worker that writes what it likes. Every element that was sent ends
// exactly once: by a result, by its return, or by its attribution to the death. The loads say the same.

#include <sys/socket.h>

#include <map>
#include <memory>

#include <procpool/detail/codec/exception_codec.hpp>

#include "fuzz/worker_side.hpp"
#include "os/socket.hpp"
#include "parent/slot.hpp"

namespace {

using namespace procpool::parent;
namespace os = procpool::os;
namespace detail = procpool::detail;

constexpr int max_acts = 200;

void trampoline(detail::Operation&) {}

class Harness {
 public:
  Harness() {
    auto [ours, theirs] = os::socket_pair();
    auto channel = std::make_unique<procpool::channel::ParentEnd>(fuzz::ring_bytes);
    worker_ = std::make_unique<fuzz::WorkerSide>(*channel);
    control_ = std::move(theirs);
    slot_.open(std::move(channel), std::move(ours), 1);
  }

  // False: the worker was found out.
  bool act(std::uint8_t what, fuzz::Input& in) {
    switch (what % 10) {
      case 0: put(1 + in.take() % 70, in.take() % 3); return true;
      case 1:
      case 2: return collect();
      case 3: settle(slot_.revoke(in.take())); return true;
      case 4: mark_for_kill(); return true;
      case 5: send(in.take()); return true;
      case 6: look(in.take()); return true;
      default: worker_->act(in.take(), in); return true;
    }
  }

  void put(std::uint64_t count, std::uint8_t kind) {
    detail::Function function;
    function.code = trampoline;
    function.argument_size = 1;
    function.returns_nothing = kind == 0;
    function.result_size = kind == 1 ? 4 : 0;
    auto task = std::make_shared<detail::Task>(std::move(function));
    auto input = std::make_shared<SharedInput>(
        detail::InputBuffer{first_, count, detail::Bytes(count), {}, {}}, 1);
    Chunk chunk{std::move(task), std::move(input), first_, count};
    offered_ += count;
    auto const put = slot_.put(std::span(&chunk, 1), {});
    if (put.sent != 0) {
      first_ += count;
      open_ += count;
    }
    check(slot_.load());
  }

  bool collect() {
    auto const report = slot_.collect();
    settle(report);
    return report.bad.empty();
  }

  void reap() {
    auto death = slot_.reap();
    for (Chunk const& chunk : death.attributed) end(chunk.first, chunk.count);
    settle(death.report);
    fuzz::require(open_ == 0, "every element has ended");
  }

 private:
  void end(std::uint64_t first, std::uint64_t count) {
    fuzz::require(count != 0 && count <= open_, "no element ends twice");
    for (std::uint64_t i = first; i < first + count; ++i) {
      fuzz::require(ended_.emplace(i, true).second, "no element ends twice");
    }
    open_ -= count;
  }

  void check(procpool::parent::Load const& load) {
    if (load.version == 0) return;
    fuzz::require(load.version > version_, "each load has a version of its own");
    fuzz::require(load.held.elements == open_, "what is held has not ended");
    fuzz::require(load.held.chunks <= open_, "no chunk is empty");
    fuzz::require(load.offered.elements == offered_, "all was offered");
    version_ = load.version;
  }

  void settle(Slot::Report const& report) {
    for (Slot::Item const& item : report.items) {
      end(item.block.first, item.block.count);
      auto const bytes = item.block.payload.bytes();
      sum_ = static_cast<std::uint8_t>(sum_ + fuzz::sum_of(bytes));
      if (item.block.kind == detail::OutcomeBlock::Kind::thrown) {
        fuzz::require(detail::decode_exception(bytes, {}) != nullptr,
                      "what was thrown is an error");
      }
    }
    for (Chunk const& chunk : report.returned) end(chunk.first, chunk.count);
    check(report.load);
  }

  void mark_for_kill() {
    auto const running = slot_.running();
    if (!running) return;
    auto const kill_result = slot_.mark_for_kill(
        {running->serial, std::make_exception_ptr(procpool::TaskTimeout("late")), false});
    settle(kill_result.report);
  }

  void send(std::uint8_t what) {
    os::UniqueFd const file(::memfd_create("forged", MFD_CLOEXEC | MFD_ALLOW_SEALING));
    static_cast<void>(!::ftruncate(file.get(), 64 * (what % 64)));
    if ((what & 64) != 0) ::fcntl(file.get(), F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_WRITE);
    int const fd = file.get();
    std::byte const word{};
    try {
      os::send_packet(control_.get(), std::span(&word, 1),
                      std::span(&fd, (what & 128) != 0 ? 0u : 1u), false);
    } catch (std::exception const&) {  // it is full
    }
  }

  void look(std::uint8_t number) {
    slot_.park(number);
    static_cast<void>(slot_.news());
    static_cast<void>(slot_.begin_short_poll(number));
    slot_.unpark();
    static_cast<void>(slot_.ask_to_stop(number));
    static_cast<void>(slot_.trim(std::chrono::steady_clock::now()));
    static_cast<void>(slot_.retiring());
  }

  Slot slot_{0};
  std::unique_ptr<fuzz::WorkerSide> worker_;
  os::UniqueFd control_;
  std::uint64_t first_ = 0;
  std::uint64_t open_ = 0;
  std::uint64_t offered_ = 0;
  std::uint64_t version_ = 0;
  std::map<std::uint64_t, bool> ended_;
  std::uint8_t volatile sum_ = 0;
};

}  // namespace

void fuzz::run(std::span<std::byte const> input) {
  Input in(input);
  Harness harness;
  harness.put(3, in.take() % 3);
  for (int i = 0; i < max_acts && !in.empty(); ++i) {
    if (!harness.act(in.take(), in)) break;
  }
  harness.reap();
}

std::vector<fuzz::Bytes> fuzz::seeds() {
  std::uint8_t const worker = 7;
  std::uint8_t const values = WorkerSide::values;
  std::uint8_t const set_word = WorkerSide::set_word;
  auto const number = [](int value) { return static_cast<std::uint8_t>(value); };
  return {
      // Three that return nothing, one record.
      Output()
          .put(number(0))
          .put(worker)
          .put(values)
          .put(number(3))
          .put(number(0))
          .put(number(1))
          .take(),
      // Of four bytes each, in two records; the death in the middle of another chunk.
      Output()
          .put(number(1))
          .put(worker)
          .put(values)
          .put(number(2))
          .put(number(4))
          .put(number(1))
          .put(worker)
          .put(values)
          .put(number(1))
          .put(number(4))
          .put(number(1))
          .put(number(0))
          .put(number(9))
          .put(number(1))
          .put(worker)
          .put(set_word)
          .put(number(0))
          .put(std::uint64_t{5})
          .take(),
      // Revoked, and acknowledged.
      Output()
          .put(number(0))
          .put(number(0))
          .put(number(20))
          .put(number(0))
          .put(number(3))
          .put(number(9))
          .put(worker)
          .put(set_word)
          .put(number(3))
          .put(std::uint64_t{304})
          .put(number(1))
          .take(),
      // One that runs is killed.
      Output()
          .put(number(0))
          .put(worker)
          .put(set_word)
          .put(number(0))
          .put(std::uint64_t{1})
          .put(number(4))
          .take(),
      // A large result in a file.
      Output()
          .put(number(2))
          .put(number(5))
          .put(number(64 + 40))
          .put(worker)
          .put(number(WorkerSide::record))
          .put(number(1))
          .put(number(1))
          .put(std::uint16_t{2000})
          .put(std::uint16_t{0})
          .put(number(1))
          .put(std::uint16_t{1})
          .put(number(1))
          .take(),
  };
}
