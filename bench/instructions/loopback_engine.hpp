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
#include "engine/elements.hpp"
#include "engine/listed_exceptions.hpp"
#include "engine/loaded_callable.hpp"
#include "os/socket.hpp"
#include "parent/core.hpp"
#include "protocol/function_registration.hpp"
#include "worker/element_run.hpp"
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
    core_.slots[0].open(std::move(channel), std::move(ours), getpid());
    core_.live = core_.ready = 1;
    core_.scheduler.worker_ready(0, std::chrono::steady_clock::now());
  }

  std::shared_ptr<procpool::detail::Task> make_task(
      procpool::detail::Function function, procpool::detail::TaskOptions options) override {
    return core_.make_task(std::move(function), std::move(options));
  }
  void append(std::shared_ptr<procpool::detail::Task> const& task,
              procpool::detail::InputBuffer input, bool last) override {
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

  // What the worker does with the next record. True: it was a chunk.
  bool run_frame() {
    worker_->wait();
    auto const header = worker_->header();
    bool const chunk = header.kind == procpool::channel::InboxKind::chunk;
    if (chunk) {
      procpool::ElementReader elements(worker_->payload(), declared_.argument_size);
      for (std::uint64_t i = 0; i < header.count;) {
        i += procpool::worker::run_elements(*worker_, *context_, callable_, listed_, i,
                                            declared_.result_size, elements, thrown_)
                 .done;
      }
    } else if (header.kind == procpool::channel::InboxKind::register_function) {
      declaration_.assign(worker_->payload().begin(), worker_->payload().end());
      declared_ = procpool::protocol::decode_registration(declaration_);
      callable_ = procpool::LoadedCallable(declared_.code, declared_.state);
    }
    worker_->finish_frame(false);
    return chunk;
  }

  procpool::parent::Core core_;
  std::optional<procpool::channel::WorkerEnd> worker_;
  std::optional<procpool::worker::WorkerContext> context_;
  procpool::detail::Bytes declaration_;
  procpool::protocol::FunctionRegistration declared_;
  procpool::LoadedCallable callable_;
  procpool::ListedExceptions listed_;
  procpool::detail::Bytes thrown_;
};

}  // namespace bench
