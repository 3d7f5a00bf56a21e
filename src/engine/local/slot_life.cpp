// The slot's part that is the dispatcher's: the birth of its worker, and what it left when it died.

#include <algorithm>
#include <exception>
#include <iterator>
#include <string>
#include <utility>

#include <procpool/errors.hpp>

#include "engine/local/slot.hpp"
#include "engine/patience.hpp"

namespace procpool::inline v0::local {

using channel::ParentEnd;
using detail::Block;

namespace {

// Deaths of workers with an element next in turn that by the marks had not begun.
constexpr unsigned most_losses = 8;

// The results that it had counted in its open record.
Block results_left(ParentEnd::Remains const& remains, Chunk const& chunk) {
  Block block;
  try {
    block.payload = detail::Payload::copy(remains.payload);
  } catch (std::exception const& error) {  // our own lack of memory: these end, nothing else
    block.kind = Block::Kind::failed;
    block.failure = detail::patiently([&] {
      return std::make_exception_ptr(
          SetupError(element_text(chunk.task->id(), chunk.first, remains.done) + ": the outcome, " +
                     std::to_string(remains.payload.size()) +
                     " bytes, arrived but could not be taken: " + error.what()));
    });
  }
  return block;
}

}  // namespace

void Slot::open(std::unique_ptr<ParentEnd> channel, os::UniqueFd control, pid_t pid,
                std::unique_ptr<OutputTap> output) {
  std::lock_guard const lock(mutex_);
  channel_ = std::move(channel);
  inline_limit_.store(channel::inline_limit(channel_->ring_bytes()), std::memory_order_relaxed);
  // There is a process, and nobody else who knows of it.
  holdings_ = detail::patiently([] { return std::make_shared<Holdings>(); });
  control_ = std::move(control);
  pid_ = pid;
  functions_ = FunctionTable();
  shares_.clear();
  room_ = Room::enough;
  sent_.clear();
  answered_ = false;
  watched_since_ = TimePoint();
  silent_since_ = TimePoint();
  silenced_ = false;
  sentence_.reset();
  condemned_.store(false, std::memory_order_release);
  bad_.clear();
  output_ = std::move(output);
}

Slot::Death Slot::bury() {
  Death death;
  std::lock_guard const lock(mutex_);
  if (!channel_) return death;
  drain(death.harvest);
  death.harvest.settled = false;
  death.harvest.take_backs = take_backs_;
  death.bad = std::move(death.harvest.bad);
  detail::if_possible([&] { death.crash = detail::CrashReport::read(channel_->crash_area()); });
  if (!sent_.empty()) {
    Sent const& front = sent_.front();
    ParentEnd::Remains const remains = channel_->remains(front.serial, front.chunk.count);
    death.stage = static_cast<detail::Stage>(remains.stage);
    death.farewell = remains.farewell;
    detail::Function const& function = front.chunk.task->function();
    bool const fixed = function.returns_nothing || function.result_size != 0;
    if (death.bad.empty() && remains.done != 0) {
      if (fixed && remains.payload.size() != remains.done * function.result_size) {
        detail::patiently(
            [&] { death.bad = "its open record has not the size of the results it counts"; });
      } else {
        Block block = results_left(remains, front.chunk);
        death.harvest.add(resolve_front(remains.done, std::move(block)));
      }
    }
    if (death.bad.empty() && !remains.believable) {
      detail::patiently(
          [&] { death.bad = "its marks of what it had begun and done cannot be true"; });
    }
    auto const charge_front = [&](std::uint64_t elements) {
      Sent& begun = sent_.front();
      if (output_ && death.charged.empty()) {
        detail::if_possible([&] {
          read_tap();
          for (auto& [serial, text] : output_->take(begun.serial, begun.serial + 1)) {
            death.output = std::move(text);
          }
        });
      }
      begun.serial += elements;
      Chunk charged = begun.chunk.take_front(elements);
      detail::patiently([&] { death.charged.push_back(std::move(charged)); });
      if (begun.chunk.count == 0) sent_.pop_front();
    };
    // A cancelled call's elements that are claimed together are seen to run a moment late.
    if (sentence_ && !sent_.empty() &&
        (sentence_->serial == sent_.front().serial ||
         (sentence_->cancelled && sent_.front().chunk.task->marked_for_end()))) {
      death.sentence = std::move(sentence_);
    }
    if (death.bad.empty()) {
      if (!sent_.empty()) {
        // Marks that say "not begun" each time that a worker dies with this element next in turn may be
        // lies of the element itself; it must not end one worker after the other for ever.
        // A worker that was silent is the second last.
        sent_.front().chunk.losses += silenced_ ? most_losses / 2 : 1;
        death.weary = !remains.begun && sent_.front().chunk.losses >= most_losses;
        if (remains.begun || death.weary || death.sentence) charge_front(1);
      }
    } else if (!sent_.empty()) {
      // Its outcomes cannot be believed any more, so all that it claims to have begun is charged; and
      // the element that it owed next in any case: given to another worker, it might do the same
      // again, for ever.
      charge_front(1);
      while (!sent_.empty() && sent_.front().serial < remains.claim) {
        charge_front(std::min(sent_.front().chunk.count, remains.claim - sent_.front().serial));
      }
    }
    detail::move_behind(death.harvest.returned, return_rest());
  }
  death.useful = answered_ || !death.charged.empty();
  channel_.reset();
  holdings_.reset();
  death.control = std::move(control_);
  output_.reset();
  return death;
}

}  // namespace procpool::inline v0::local
