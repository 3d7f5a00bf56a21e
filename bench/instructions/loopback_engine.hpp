// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#pragma once

// A pool's engine with its one worker in the same thread: the real core, scheduler, slot and channel, and
// the steps of the worker's loop, one after the other and without a process, a wake-up or a spin. So the
// whole path of a task can be counted in instructions. One thread.

#include <unistd.h>

#include <chrono>
#include <cstddef>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include <procpool/detail/engine/engine.hpp>

#include "channel/worker_end.hpp"
#include "os/socket.hpp"
#include "parent/core.hpp"
#include "parent/worker_state.hpp"
#include "worker/chunk_runner.hpp"
#include "worker/worker_context.hpp"

namespace bench {

class LoopbackEngine final : public procpool::detail::Engine {
 public:
  LoopbackEngine() : core_(procpool::PoolOptions{.workers = 1}) {
    auto [ours, theirs] = procpool::os::socket_pair();
    auto channel = std::make_unique<procpool::channel::ParentEnd>(ring_bytes);
    worker_.emplace(channel->inbox(), channel->outbox(), ring_bytes, procpool::os::Event(),
                    std::move(theirs));
    context_.emplace(*worker_);
    runner_.emplace(*worker_, *context_, procpool::worker::ChunkRunner::Settings{});
    core_.slots[0].open(std::move(channel), std::move(ours), getpid());
    core_.recount(procpool::parent::WorkerStanding::none, procpool::parent::WorkerStanding::ready);
    core_.worker_ready(0, std::chrono::steady_clock::now());
  }

  std::shared_ptr<procpool::detail::Task> make_task(
      procpool::detail::Function&& function, procpool::detail::TaskOptions&& options) override {
    return core_.make_task(std::move(function), std::move(options));
  }
  void append(std::shared_ptr<procpool::detail::Task> const& task,
              procpool::detail::InputBuffer&& input, bool last) override {
    core_.append(task, std::move(input), last);  // submit, place
    while (!run_frame()) {
    }
    core_.collect(0);
  }

  void open_stream(std::shared_ptr<procpool::detail::Task> const&) override {
    core_.check_intake();
  }
  void seal(std::shared_ptr<procpool::detail::Task> const& task) override { core_.seal(*task); }
  void cancel(std::shared_ptr<procpool::detail::Task> const& task, Running) override {
    core_.cancel(task);
  }
  void request_stop(std::shared_ptr<procpool::detail::Task> const&) noexcept override {}
  void close() override {}
  bool join_until(std::optional<TimePoint>) override { return true; }
  procpool::Summary shutdown(procpool::End, std::optional<TimePoint>) override { return {}; }
  unsigned size() const noexcept override { return 1; }
  procpool::Stats stats() const override { return core_.stats(); }
  std::vector<procpool::WorkerStats> worker_stats() const override { return core_.worker_stats(); }
  void resize(std::size_t) override {}
  void help(procpool::detail::Task&) override {}  // nothing is ever waited for
  std::size_t input_elements(procpool::detail::Task const&) const override { return 64; }

 private:
  static constexpr std::size_t ring_bytes = 64 * 1024;

  // What the worker does with the next frame. True: it was a chunk.
  bool run_frame() {
    using procpool::channel::InboxKind;
    worker_->wait();
    InboxKind const kind = worker_->header().kind;
    if (kind == InboxKind::chunk) {
      runner_->run();
    } else if (kind == InboxKind::register_function) {
      runner_->functions().register_function(worker_->header().function, worker_->payload());
    }
    worker_->finish_frame();
    return kind == InboxKind::chunk;
  }

  procpool::parent::Core core_;
  std::optional<procpool::channel::WorkerEnd> worker_;
  std::optional<procpool::worker::WorkerContext> context_;
  std::optional<procpool::worker::ChunkRunner> runner_;
};

}  // namespace bench
