#include "engine/in_process.hpp"

#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <thread>
#include <utility>

#include <procpool/detail/codec/exception_codec.hpp>
#include <procpool/detail/engine/reason.hpp>
#include <procpool/errors.hpp>

#include "engine/element_context.hpp"
#include "engine/elements.hpp"
#include "engine/loaded_callable.hpp"

namespace procpool::inline v0 {

using detail::Bytes;
using detail::OutcomeBlock;

namespace {

// Decides after an attempt that threw. True: there is another attempt, at once.
bool try_again(detail::Task& task, OutcomeBlock& block, Bytes const& thrown,
               ExceptionTypes listed) {
  auto const& retries = task.retries();
  if (!retries || retries->exceptions.empty()) return false;
  block.kind = OutcomeBlock::Kind::thrown;
  block.payload = detail::Payload(Bytes(thrown));
  std::exception_ptr const error = detail::reason_of(block, task.id(), listed);
  if (std::ranges::none_of(retries->exceptions, [&](auto* const test) { return test(error); })) {
    return false;
  }
  if (!task.attempt_failed(block.first, describe(error))) return false;
  block.earlier = task.earlier_attempts(block.first);
  std::this_thread::sleep_for(retries->backoff_before(block.earlier.failed));
  return true;
}

// The element that this thread runs.
class InProcessContext final : public ElementContext {
 public:
  explicit InProcessContext(detail::Task& task) noexcept : task_(task) {}

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

 private:
  detail::Task& task_;
  std::uint64_t run_ = 0;
  std::uint64_t index_ = 0;
  std::optional<std::stop_source> source_;
};

}  // namespace

InProcessEngine::InProcessEngine(PoolOptions const& options)
    : exceptions_(options.exceptions), seed_(options.seed) {}

void InProcessEngine::open_stream(std::shared_ptr<detail::Task> const&) {
  if (closed_.load()) throw PoolClosed("this pool takes no more tasks: it was closed");
}

void InProcessEngine::append(std::shared_ptr<detail::Task> const& task, detail::InputBuffer&& input,
                             bool last) {
  if (task->stream() ? ending_.load() : input.first == 0 && closed_.load()) {
    throw PoolClosed("this pool takes no more tasks: it was closed");
  }
  detail::Function const& function = task->function();
  {
    detail::Lock const lock(mutex_);
    stats_.submitted += input.count;
    stats_.running += input.count;
    if (input.first == 0) {
      if (!seed_) seed_ = random_seed();  // not earlier, as in Core
      auto const stream = task->random_name();
      task->set_random(stream ? random_of_name(*seed_, *stream) : random_of_call(*seed_, calls_++));
    }
  }
  task->announce(input.count);
  std::atomic<std::uint32_t> stage{0};
  ElementReader elements(input.bytes, function.argument_size);
  LoadedCallable callable;
  ListedExceptions listed(exceptions_);
  Bytes unusable;  // the exception of the loading, or empty
  try {
    auto const state =
        function.state ? std::span<std::byte const>(*function.state) : std::span<std::byte const>();
    callable = LoadedCallable(function.code, state);
  } catch (...) {
    detail::encode_current_exception(unusable, listed.functions());
  }
  std::uint64_t cancelled = 0;
  InProcessContext context(*task);
  ThreadContext const here(context);
  for (std::uint64_t i = 0; i < input.count; ++i) {
    OutcomeBlock block;
    block.first = input.first + i;
    block.count = 1;
    block.pid = ::getpid();
    auto const arguments = elements.next();
    if (!unusable.empty()) {
      block.kind = OutcomeBlock::Kind::thrown;
      block.payload = detail::Payload(Bytes(unusable));
    } else if (block.first >= task->cancelled_from() || ended_.load()) {
      block.kind = OutcomeBlock::Kind::failed;
      block.cancelled = true;
      block.failure = std::make_exception_ptr(
          TaskCancelled("task " + std::to_string(task->id()) + ", element " +
                        std::to_string(block.first) + ": cancelled before it began"));
      ++cancelled;
    } else {
      Bytes result;
      bool value = false;
      do {
        context.begin(block.first);
        value = callable.call(arguments, result, stage, listed);
      } while (!value && try_again(*task, block, result, exceptions_));
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
  {
    detail::Lock const lock(mutex_);
    stats_.running -= input.count;
    stats_.done += input.count;
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

void InProcessEngine::close() { closed_.store(true); }

// Elements end inside append(), so there is nothing to wait for. Calls in other threads keep the
// pool alive themselves.
bool InProcessEngine::join_until(std::optional<TimePoint>) {
  close();
  ending_.store(true);
  return true;
}

Summary InProcessEngine::shutdown(End end, std::optional<TimePoint>) {
  close();
  ending_.store(true);
  if (end != End::drain) ended_.store(true);
  detail::Lock const lock(mutex_);
  return {.done = stats_.done - cancelled_, .cancelled = cancelled_, .forced = 0};
}

Stats InProcessEngine::stats() const {
  detail::Lock const lock(mutex_);
  return stats_;
}

std::size_t InProcessEngine::input_elements(detail::Task const&) const { return 64; }

}  // namespace procpool::inline v0
