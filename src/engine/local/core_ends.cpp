// The core's part that ends elements: with the reason why they have no value, and with what a dead worker
// left.

#include <utility>

#include <procpool/errors.hpp>

#include "engine/describe.hpp"
#include "engine/local/core.hpp"
#include "engine/patience.hpp"

namespace procpool::inline v0::local {

using detail::Block;

void Core::stop_after_failure(detail::Task& task, detail::Block const& block) {
  // What lies before it still runs: the failure that is told is the first by index, as in a loop.
  if (task.stop_on_error() && block.kind != Block::Kind::values && !block.cancelled) {
    cancel_from(task, block.first + 1);
  }
}

std::exception_ptr Core::cancellation(detail::Task const& task, char const* what) const noexcept {
  return detail::patiently([&] {
    return std::make_exception_ptr(
        TaskCancelled("task " + std::to_string(task.id()) + " of pool \"" + name + "\" " + what));
  });
}

void Core::fail(Chunks const& chunks, std::exception_ptr const& reason) {
  for (Chunk const& chunk : chunks) end_element(chunk, reason, false);
}

void Core::fail_cancelled(Chunks const& chunks) {
  for (Chunk const& chunk : chunks) {
    end_element(chunk, cancellation(*chunk.task, "was cancelled before this element had ended"),
                true);
  }
}

void Core::end_element(Chunk const& chunk, std::exception_ptr const& reason, bool cancelled,
                       bool begun) {
  if (chunk.count == 0) return;
  {
    std::lock_guard const lock(mutex);
    count_resolved(*chunk.task, chunk.count);
    (cancelled ? summary.cancelled : summary.done) += chunk.count;
  }
  Block block;
  block.first = chunk.first;
  block.count = chunk.count;
  block.kind = Block::Kind::failed;
  block.cancelled = cancelled;
  block.begun = begun;
  block.failure = reason;
  stop_after_failure(*chunk.task, block);
  chunk.task->deliver(std::move(block));
  count_delivered(chunk.count);
}

void Core::cancel_waiting() {
  Chunks waiting;
  Chunks off;
  {
    std::lock_guard const lock(mutex);
    waiting = scheduler.remove_all();
    off = remove_put_off([](Chunk const&) { return true; });
  }
  fail_cancelled(waiting);
  fail_cancelled(off);
}

void Core::settle_death(std::size_t index, Slot::Death death,
                        std::function<std::exception_ptr(Chunk const&)> const& reason) {
  deliver(death.harvest, index);
  bool killed = false;
  {
    std::lock_guard const lock(mutex);
    scheduler.worker_gone(index);
    scheduler.settled(index, death.harvest.take_backs);
    killed = phase == Phase::killing;
  }
  for (Chunk& chunk : death.charged) {
    if (!death.output.empty()) {
      detail::if_possible(
          [&] { chunk.task->add_output(chunk.first, std::exchange(death.output, {})); });
    }
    auto const why = [&] { return detail::patiently([&] { return reason(chunk); }); };
    if (chunk.task->internal()) {  // counted nowhere
      Block block;
      block.count = 1;
      block.kind = Block::Kind::failed;
      block.failure = why();
      chunk.task->deliver(std::move(block));
      continue;
    }
    if (death.sentence) {
      Slot::Sentence const sentence = *std::exchange(death.sentence, std::nullopt);
      auto const& retries = chunk.task->retries();
      if (retries && !sentence.cancelled && !killed &&
          try_again(chunk, retries->on_timeout,
                    detail::patiently([&] { return describe(sentence.reason); }))) {
        continue;
      }
      end_element(chunk, sentence.cancelled ? sentence.reason : detail::patiently([&] {
                    return after_attempts(chunk, sentence.reason);
                  }),
                  sentence.cancelled, sentence.cancelled);
    } else if (killed) {
      end_element(chunk, cancellation(*chunk.task, "was cancelled before this element had ended"),
                  true);
    } else {
      std::exception_ptr const died = why();
      auto const& retries = chunk.task->retries();
      if (retries && try_again(chunk, retries->on_crash,
                               detail::patiently([&] { return detail::describe_briefly(died); }))) {
        continue;
      }
      end_element(chunk, died, false);
    }
  }
  requeue(std::move(death.harvest.returned));
}

}  // namespace procpool::inline v0::local
