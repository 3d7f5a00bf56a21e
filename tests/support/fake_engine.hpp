// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#pragma once

// An engine for tests of the public API: elements run in append, through the real trampolines,
// and their outcomes are delivered when the task is sealed, arranged as the test wants them, or
// replaced by what the test wants instead. One thread, one task at a time.

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>
#include <memory>
#include <span>
#include <utility>
#include <vector>

#include <procpool/detail/engine/engine.hpp>
#include <procpool/errors.hpp>
#include <procpool/pool.hpp>

#include "engine/elements.hpp"
#include "engine/loaded_callable.hpp"

namespace api_test {

using procpool::detail::Bytes;
using procpool::detail::InputBuffer;
using procpool::detail::OutcomeBlock;
using procpool::detail::Payload;
using procpool::detail::Resource;
using procpool::detail::Task;

enum class Delivery {
  single,    // one block per element
  reversed,  // the same, the last first
  whole,     // as many values in one block as follow each other
  pieces     // blocks of 1, 2, 3, 1, 2, 3, ... values, the odd ones first
};

class FakeEngine final : public procpool::detail::Engine {
 public:
  // ---- knobs
  Delivery delivery = Delivery::single;
  std::size_t usual_input = 64;
  // Delivered instead of what the elements gave: must cover the elements that were appended.
  std::function<std::vector<OutcomeBlock>(std::uint64_t elements)> instead;

  // ---- what happened
  struct Appended {
    std::uint64_t first;
    std::uint64_t count;
    std::size_t bytes;
    std::size_t ends;
    bool last;
  };
  std::vector<Appended> appended;
  Bytes argument_bytes;  // of all input buffers, one behind the other
  unsigned cancels = 0;
  unsigned stop_requests = 0;
  std::weak_ptr<Task> last_task;

  void open_stream(std::shared_ptr<Task> const&) override {
    if (closed_) throw procpool::PoolClosed("closed");
  }
  void seal(std::shared_ptr<Task> const& task) override { task->seal(); }

  void append(std::shared_ptr<Task> const& task, InputBuffer&& input, bool last) override {
    if (closed_ && input.first == 0) throw procpool::PoolClosed("closed");
    last_task = task;
    appended.push_back({input.first, input.count, input.bytes.size(), input.ends.size(), last});
    argument_bytes.insert(argument_bytes.end(), input.bytes.begin(), input.bytes.end());
    task->announce(input.count);
    stats_.submitted += input.count;
    run(*task, input);
    if (last || task->stream()) deliver(*task);
    if (last) task->seal();
  }

  void cancel(std::shared_ptr<Task> const& task, Running) override {
    ++cancels;
    task->cancel_from(0);
    deliver(*task);
    task->seal();
  }

  void request_stop(std::shared_ptr<Task> const& task) noexcept override {
    ++stop_requests;
    task->cancel_from(0);
  }

  void close() override { closed_ = true; }
  bool join_until(std::optional<TimePoint>) override {
    closed_ = true;
    return true;
  }
  procpool::Summary shutdown(procpool::End, std::optional<TimePoint>) override {
    closed_ = true;
    return {};
  }
  unsigned size() const noexcept override { return 1; }
  procpool::Stats stats() const override { return stats_; }
  std::vector<procpool::WorkerStats> worker_stats() const override { return {}; }
  void resize(std::size_t) override {}
  void help(procpool::detail::Task&) override {}
  std::size_t input_elements(Task const& task) const override {
    std::size_t const chunk = task.chunk();
    return chunk == 0 ? usual_input : chunk * std::max<std::size_t>(1, usual_input / chunk);
  }

 private:
  void run(Task const& task, InputBuffer const& input) {
    auto const& function = task.function();
    auto const state =
        function.state ? std::span<std::byte const>(*function.state) : std::span<std::byte const>();
    procpool::LoadedCallable callable(function.code, state);
    procpool::ListedExceptions listed;
    procpool::ElementReader elements(input.bytes, function.argument_size);
    std::atomic<std::uint32_t> stage{0};
    for (std::uint64_t i = 0; i < input.count; ++i) {
      Made made;
      made.first = input.first + i;
      // A copy of its own, so that a sanitizer sees a read past the end.
      auto const arguments = elements.next();
      Bytes const copy(arguments.begin(), arguments.end());
      made.value = callable.call(copy, made.bytes, stage, listed, made.named);
      if (made.value && function.result_size == 0 && !function.returns_nothing) {
        std::uint64_t const length = made.bytes.size();
        auto const* const prefix = reinterpret_cast<std::byte const*>(&length);
        made.bytes.insert(made.bytes.begin(), prefix, prefix + sizeof length);
      }
      made_.push_back(std::move(made));
    }
  }

  void deliver(Task& task) {
    std::vector<Made> const made = std::exchange(made_, {});
    if (instead) {
      for (OutcomeBlock& block : instead(made.size())) task.deliver(std::move(block));
      return;
    }
    std::vector<OutcomeBlock> blocks;
    for (std::size_t i = 0; i < made.size();) {
      std::size_t most = 1;
      if (delivery == Delivery::whole) most = made.size();
      if (delivery == Delivery::pieces) most = blocks.size() % 3 + 1;
      Bytes bytes = made[i].bytes;
      Resource::List named = made[i].named;
      std::size_t end = i + 1;
      while (made[i].value && end < made.size() && made[end].value && end - i < most) {
        bytes.insert(bytes.end(), made[end].bytes.begin(), made[end].bytes.end());
        named.insert(named.end(), made[end].named.begin(), made[end].named.end());
        ++end;
      }
      OutcomeBlock block;
      block.first = made[i].first;
      block.count = end - i;
      block.kind = made[i].value ? OutcomeBlock::Kind::values : OutcomeBlock::Kind::thrown;
      block.payload = Payload(std::move(bytes));
      block.resources = procpool::detail::as_shared(std::move(named));
      block.worker = 3;
      block.pid = 4711;
      blocks.push_back(std::move(block));
      i = end;
    }
    auto const give = [&](std::size_t i) { task.deliver(std::move(blocks[i])); };
    if (delivery == Delivery::reversed) {
      for (std::size_t i = blocks.size(); i > 0; --i) give(i - 1);
    } else if (delivery == Delivery::pieces) {
      for (std::size_t i = 1; i < blocks.size(); i += 2) give(i);
      for (std::size_t i = 0; i < blocks.size(); i += 2) give(i);
    } else {
      for (std::size_t i = 0; i < blocks.size(); ++i) give(i);
    }
  }

  struct Made {
    std::uint64_t first = 0;
    bool value = false;
    Bytes bytes;
    Resource::List named{};
  };

  bool closed_ = false;
  std::vector<Made> made_;  // of the task that is open
  procpool::Stats stats_;
};

// A pool over a fake engine, both at hand.
struct FakePool {
  explicit FakePool(Delivery delivery = Delivery::single)
      : FakePool(std::make_unique<FakeEngine>()) {
    engine.delivery = delivery;
  }
  explicit FakePool(std::unique_ptr<FakeEngine> made)
      : engine(*made), pool(procpool::detail::EngineAccess::pool_over(std::move(made))) {}

  FakeEngine& engine;
  procpool::ProcessPool pool;
};

}  // namespace api_test
