// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#include "engine/in_process.hpp"

#include <unistd.h>

#include <chrono>
#include <cstring>
#include <thread>
#include <utility>

#include <procpool/detail/codec/exception_codec.hpp>
#include <procpool/detail/engine/deadline.hpp>
#include <procpool/detail/engine/reason.hpp>
#include <procpool/errors.hpp>

#include "engine/element_context.hpp"
#include "engine/element_scope.hpp"
#include "engine/elements.hpp"
#include "engine/in_process_actor.hpp"
#include "engine/loaded_callable.hpp"
#include "engine/patience.hpp"
#include "os/text.hpp"

namespace procpool::inline v0_1 {

using detail::Bytes;
using detail::OutcomeBlock;

namespace {

// Decides after an attempt that threw. True: there is another attempt, at once.
bool try_again(detail::Task& task, OutcomeBlock& block, Bytes const& thrown,
               PoolOptions const& options) {
  auto const& retries = task.retries();
  if (!retries || retries->also_on.empty()) return false;
  block.kind = OutcomeBlock::Kind::thrown;
  block.payload = detail::Payload(Bytes(thrown));
  std::exception_ptr const error =
      detail::reason_of(block, task.id(), options.exceptions, {}, task.label().text);
  if (!retries->also_on.contains(error)) return false;
  std::uint64_t const attempt = task.earlier_attempts(block.first).failed + 1;
  auto const begin =
      detail::later(std::chrono::steady_clock::now(), detail::backoff_before(attempt, *retries));
  if (task.deadline() && begin >= *task.deadline()) return false;
  std::string const how = describe(error);
  if (!task.attempt_failed(block.first, how)) return false;
  if (options.on_event) {
    Event event;
    event.kind = EventKind::task_retried;
    event.time = std::chrono::system_clock::now();
    event.pool = options.name;
    event.pid = block.pid;
    event.task = task.id();
    event.element = block.first;
    event.label = task.label().text;
    event.text = task.name() + ", element " + std::to_string(block.first) +
                 " is run again: attempt " + std::to_string(attempt) + " ended with: " + how;
    options.on_event(event);
  }
  std::this_thread::sleep_until(begin);
  return true;
}

using Clock = std::chrono::steady_clock;

std::uint64_t nanoseconds_since(Clock::time_point begin) {
  return static_cast<std::uint64_t>(std::chrono::nanoseconds(Clock::now() - begin).count());
}

// The element that this thread runs.
class InProcessContext final : public ElementContext {
 public:
  InProcessContext(detail::Task& task, PoolOptions const& options) noexcept
      : task_(task), options_(options) {}

  void begin(std::uint64_t index) {
    ++run_;
    index_ = index;
    source_.reset();
  }

  bool running() const noexcept override { return true; }
  std::uint64_t index() const noexcept override { return index_; }
  std::uint64_t random() const noexcept override { return task_.random(); }
  std::uint64_t run() const noexcept override { return run_; }
  bool stop_requested() noexcept override { return task_.marked_for_end(); }
  std::stop_token stop_token() override {
    if (!source_) source_.emplace();
    if (stop_requested()) source_->request_stop();
    return source_->get_token();
  }
  bool log(LogLevel level, std::string_view text) noexcept override {
    if (!options_.on_event) return false;
    return detail::if_possible([&] {
      Event event;
      event.kind = EventKind::task_logged;
      event.time = std::chrono::system_clock::now();
      event.pool = options_.name;
      event.pid = ::getpid();
      event.task = task_.id();
      event.element = index_;
      event.label = task_.label().text;
      event.level = level;
      event.text = os::one_line(text.substr(0, 4096));
      options_.on_event(event);
    });
  }
  // The thread that could ask is the one that runs the element.
  void progress(std::uint64_t, std::uint64_t) noexcept override {}

 private:
  detail::Task& task_;
  PoolOptions const& options_;
  std::uint64_t run_ = 0;
  std::uint64_t index_ = 0;
  std::optional<std::stop_source> source_;
};

}  // namespace

InProcessEngine::InProcessEngine(PoolOptions options, std::string closed_text)
    : options_(std::move(options)), closed_text_(std::move(closed_text)), seeds_(options_.seed) {}

void InProcessEngine::open_stream(std::shared_ptr<detail::Task> const&) {
  if (intake_->closed.load()) throw PoolClosed(closed_text_);
}

void InProcessEngine::append(std::shared_ptr<detail::Task> const& task, detail::InputBuffer&& input,
                             bool last) {
  if (task->stream() ? intake_->ending.load() : input.first == 0 && intake_->closed.load()) {
    throw PoolClosed(closed_text_);
  }
  detail::Function const& function = task->function();
  auto const queued = Clock::now();
  Histogram waited;
  Histogram ran;
  {
    detail::Lock const lock(mutex_);
    if (!task->internal()) {
      stats_.submitted += input.count;
      stats_.running += input.count;
    }
    if (input.first == 0) seeds_.seed(*task);
  }
  std::exception_ptr const unprepared = preload();
  task->announce(input.count);
  std::atomic<std::uint32_t> stage{0};
  ElementReader elements(input.bytes, function.argument_size);
  LoadedCallable callable;
  ListedExceptions listed(options_.exceptions);
  Bytes unusable;  // the exception of the loading, or empty
  try {
    auto const state =
        function.state ? std::span<std::byte const>(*function.state) : std::span<std::byte const>();
    callable = LoadedCallable(function.code, state);
  } catch (...) {
    detail::encode_current_exception(unusable, listed.functions());
  }
  std::uint64_t cancelled = 0;
  // An attempt that has ended has closed the ends of pipes that it was given.
  bool const carries = detail::any_is_carried(input.resources);
  InProcessContext context(*task, options_);
  ThreadContext const here(context);
  ElementScope element;
  for (std::uint64_t i = 0; i < input.count; ++i) {
    OutcomeBlock block;
    block.first = input.first + i;
    block.count = 1;
    block.pid = ::getpid();
    auto const arguments = elements.next();
    if (unprepared) {
      block.kind = OutcomeBlock::Kind::failed;
      block.failure = unprepared;
    } else if (!unusable.empty()) {
      block.kind = OutcomeBlock::Kind::thrown;
      block.payload = detail::Payload(Bytes(unusable));
    } else if (block.first >= task->cancelled_from() || intake_->ended.load()) {
      block.kind = OutcomeBlock::Kind::failed;
      block.cancelled = true;
      block.pid = 0;
      block.failure = std::make_exception_ptr(TaskCancelled(task->name() + ", element " +
                                                            std::to_string(block.first) +
                                                            ": cancelled before it began"));
      ++cancelled;
    } else if (task->deadline() && std::chrono::steady_clock::now() >= *task->deadline()) {
      block.kind = OutcomeBlock::Kind::failed;
      block.failure = std::make_exception_ptr(
          TaskTimeout("task " + std::to_string(task->id()) + ", element " +
                      std::to_string(block.first) + " had not begun at its deadline"));
    } else {
      Bytes result;
      bool value = false;
      Clock::time_point begin;
      do {
        detail::Resource::List named;
        context.begin(block.first);
        begin = Clock::now();
        value = callable.call(arguments, result, stage, listed, named);
        block.nanoseconds = nanoseconds_since(begin);
        element.end();
        block.resources = detail::as_shared(std::move(named));
      } while (!value && !carries && try_again(*task, block, result, options_));
      waited.add(begin - queued);
      ran.add(std::chrono::nanoseconds(block.nanoseconds));
      block.kind = value ? OutcomeBlock::Kind::values : OutcomeBlock::Kind::thrown;
      if (value && function.result_size == 0 && !function.returns_nothing) {
        std::uint64_t const length = result.size();
        auto const* const prefix = reinterpret_cast<std::byte const*>(&length);
        result.insert(result.begin(), prefix, prefix + sizeof length);
      }
      block.payload = detail::Payload(std::move(result));
    }
    if (block.kind != OutcomeBlock::Kind::values && !block.cancelled && task->stop_on_error()) {
      task->cancel_from(block.first + 1);
    }
    task->deliver(std::move(block));
  }
  if (!task->internal()) {
    detail::Lock const lock(mutex_);
    stats_.running -= input.count;
    stats_.done += input.count;
    stats_.waited += waited;
    stats_.ran += ran;
    cancelled_ += cancelled;
  }
  if (last) task->seal();
}

// A running element cannot be ended: it runs in a thread of the program. It can be asked to stop.
void InProcessEngine::cancel(std::shared_ptr<detail::Task> const& task, Running running) {
  task->check_usable();  // a forked child may drop a stream
  if (running == Running::is_ended) task->mark_for_end();
  task->cancel_from(0);
  task->seal();
}

void InProcessEngine::request_stop(std::shared_ptr<detail::Task> const& task) noexcept {
  task->mark_for_end();
  task->cancel_from(0);
}

void InProcessEngine::close() { intake_->closed.store(true); }

// Elements end inside append(), so there is nothing to wait for. Calls in other threads keep the
// pool alive themselves.
bool InProcessEngine::join_until(std::optional<TimePoint>) {
  close();
  intake_->ending.store(true);
  return true;
}

Summary InProcessEngine::shutdown(End end, std::optional<TimePoint>) {
  close();
  intake_->ending.store(true);
  if (end != End::drain) intake_->ended.store(true);
  detail::Lock const lock(mutex_);
  return {.done = stats_.done - cancelled_, .cancelled = cancelled_, .forced = 0};
}

Stats InProcessEngine::stats() const {
  detail::Lock const lock(mutex_);
  return stats_;
}

std::shared_ptr<detail::ActorEngine> InProcessEngine::make_actor(detail::ActorPlan&& plan) {
  open_stream(nullptr);
  if (auto const error = preload()) std::rethrow_exception(error);
  {
    detail::Lock const lock(mutex_);
    ++stats_.actors;
  }
  return std::make_shared<InProcessActor>(options_, intake_, std::move(plan));
}

void InProcessEngine::start_workers(std::shared_ptr<detail::Task> const& task,
                                    std::size_t workers) {
  open_stream(task);
  auto const error = preload();
  if (!error) return Engine::start_workers(task, workers);
  task->announce(1, true);
  OutcomeBlock block;
  block.count = 1;
  block.kind = OutcomeBlock::Kind::failed;
  block.failure = error;
  task->deliver(std::move(block));
}

std::exception_ptr InProcessEngine::preload() {
  // Relaxed: only this thread stores its own id.
  if (!options_.start.preload ||
      preloading_thread_.load(std::memory_order_relaxed) == std::this_thread::get_id()) {
    return nullptr;
  }
  std::call_once(preload_called_, [this] {
    preloading_thread_.store(std::this_thread::get_id(), std::memory_order_relaxed);
    detail::Function const& function = detail::BoundCallAccess::function(*options_.start.preload);
    OutcomeBlock block;
    block.count = 1;
    block.kind = OutcomeBlock::Kind::thrown;
    block.pid = ::getpid();
    auto thrown = call_alone(
        function.code, function.state ? std::span(*function.state) : std::span<std::byte const>());
    if (!thrown.empty()) {
      block.payload = detail::Payload(std::move(thrown));
      preload_error_ = detail::reason_of(block, 0);
    }
    preloading_thread_.store({}, std::memory_order_relaxed);
  });
  return preload_error_;
}

std::size_t InProcessEngine::input_elements(detail::Task const&) const { return 64; }

}  // namespace procpool::inline v0_1
