#include "parent/local_engine.hpp"

#include <algorithm>
#include <chrono>
#include <utility>

#include <procpool/detail/engine/deadline.hpp>
#include <procpool/errors.hpp>

#include "engine/fork_detection.hpp"
#include "entry/entry_hook.hpp"
#include "parent/core.hpp"
#include "parent/dispatcher.hpp"

namespace procpool::inline v0 {

using parent::Phase;

namespace {

constexpr std::chrono::seconds quiet_wait{10};
// An element that runs has ended by then, if only because its worker was abandoned.
constexpr auto kill_wait = parent::kill_patience + std::chrono::milliseconds(500);
constexpr std::size_t usual_input = 16 * 1024;

}  // namespace

LocalEngine::LocalEngine(PoolOptions const& options)
    : forks_(fork_count()),
      core_(std::make_unique<parent::Core>(options)),
      dispatcher_(std::make_unique<parent::Dispatcher>(*core_)) {}

LocalEngine::~LocalEngine() {
  if (forked_since(forks_)) {
    // Thread, locks and workers belong to another process, and are not even read.
    static_cast<void>(core_.release());
    static_cast<void>(dispatcher_.release());
    return;
  }
  shutdown(End::kill, std::nullopt);
}

void LocalEngine::check_process() const {
  if (forked_since(forks_)) {
    throw SetupError("pool \"" + core_->name +
                     "\" belongs to the process that this one was forked from; make a pool here");
  }
}

void LocalEngine::prepare() {
  check_process();
  entry::check_entry_hook();
  entry::check_depth(core_->options.nesting_limit);
  dispatcher_->start_once();
}

std::shared_ptr<detail::Task> LocalEngine::make_task(detail::Function&& function,
                                                     detail::TaskOptions&& options) {
  check_process();
  return core_->make_task(std::move(function), std::move(options));
}

void LocalEngine::open_stream(std::shared_ptr<detail::Task> const&) {
  prepare();
  core_->check_intake();
}

void LocalEngine::append(std::shared_ptr<detail::Task> const& task, detail::InputBuffer&& input,
                         bool last) {
  prepare();
  core_->append(task, std::move(input), last);
}

void LocalEngine::seal(std::shared_ptr<detail::Task> const& task) {
  check_process();
  core_->seal(*task);
}

void LocalEngine::cancel(std::shared_ptr<detail::Task> const& task, Running running) {
  check_process();
  if (running == Running::is_ended) task->mark_for_end();
  core_->cancel(task);
  if (running == Running::goes_on) return;
  core_->end_running(*task);
  // A process that cannot be killed is abandoned by then.
  task->wait_until(detail::later(
      detail::later(std::chrono::steady_clock::now(), core_->options.term_grace), kill_wait));
}

void LocalEngine::close() {
  check_process();
  core_->close();
}

bool LocalEngine::join_until(std::optional<TimePoint> deadline) {
  check_process();
  core_->begin_end(Phase::draining, std::nullopt);
  return core_->wait_for_end(dispatcher_->started(), deadline);
}

Summary LocalEngine::shutdown(End end, std::optional<TimePoint> deadline) {
  check_process();
  core_->begin_end(end == End::drain    ? Phase::draining
                   : end == End::cancel ? Phase::cancelling
                                        : Phase::killing,
                   deadline);
  bool const running = dispatcher_->started();
  if (!core_->wait_for_end(running, std::chrono::steady_clock::now() + quiet_wait)) {
    core_->log("pool \"" + core_->name + "\" is ending and still waits for " + core_->awaited());
    core_->wait_for_end(running, std::nullopt);
  }
  return core_->end_summary();
}

unsigned LocalEngine::size() const noexcept {
  return static_cast<unsigned>(core_->wanted_workers());
}

void LocalEngine::resize(std::size_t workers) {
  check_process();
  core_->resize(workers);
  core_->wake_dispatcher();
}

void LocalEngine::help(detail::Task& task) {
  if (!forked_since(forks_)) core_->help(task);
}

std::vector<WorkerStats> LocalEngine::worker_stats() const {
  check_process();
  return core_->worker_stats();
}

Stats LocalEngine::stats() const {
  check_process();
  return core_->stats();
}

detail::MessageMemory* LocalEngine::message_memory() noexcept {
  // Not before there is a dispatcher, who sees to it that nothing is kept for long.
  bool const usable = !forked_since(forks_) && core_->startable.load(std::memory_order_acquire);
  return usable ? core_->buffer_pool.get() : nullptr;
}

std::size_t LocalEngine::input_elements(detail::Task const& task) const {
  std::size_t const chunk = task.chunk();
  // Larger ones would find room in an empty queue only.
  std::size_t const most = std::min(usual_input, core_->queue_limit().value_or(usual_input));
  if (chunk == 0) return most;
  // Whole chunks, as many as make a usual input buffer.
  return chunk * std::max<std::size_t>(1, most / chunk);
}

}  // namespace procpool::inline v0
