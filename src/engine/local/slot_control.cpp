// The slot's part that is in control of what its worker has: taking back what has not begun, and ending
// what runs.

#include <algorithm>
#include <utility>

#include "engine/local/slot.hpp"
#include "engine/patience.hpp"

namespace procpool::inline v0::local {

using channel::BadRecord;
using channel::ParentEnd;

namespace {

constexpr std::uint64_t nobodys_serial = ~std::uint64_t{0};

}  // namespace

Slot::TakenBack Slot::take_back(std::uint64_t elements) {
  TakenBack taken;
  std::lock_guard const lock(mutex_);
  if (!channel_ || !bad_.empty() || sent_.empty()) return taken;
  // The serial from which on everything is wanted.
  std::uint64_t from = 0;
  std::uint64_t left = elements;
  for (auto sent = sent_.rbegin(); sent != sent_.rend() && left != 0; ++sent) {
    std::uint64_t const some = std::min(left, sent->chunk.count);
    from = sent->serial + sent->chunk.count - some;
    left -= some;
  }
  if (left == elements) return taken;
  return take_back_from(from);
}

Slot::TakenBack Slot::take_back_from(std::uint64_t from) {
  TakenBack taken;
  if (sent_.empty()) return taken;
  // What surely runs is not asked for: so that it stays sure, see ParentEnd::running.
  auto const running = running_of_channel();
  if (running && running->sure) from = std::max(from, running->serial + 1);
  if (from >= sent_.back().serial + sent_.back().chunk.count) return taken;
  try {
    std::uint64_t const cut = channel_->take_back(from);
    taken.asked = true;
    taken.number = ++take_backs_;
    while (!sent_.empty() && sent_.back().serial + sent_.back().chunk.count > cut) {
      Sent& last = sent_.back();
      if (last.serial >= cut) {
        detail::patiently([&] { taken.chunks.push_back(std::move(last.chunk)); });
        sent_.pop_back();
        ++taken.ended_chunks;
      } else {
        Chunk back = last.chunk.take_back(cut - last.serial);
        detail::patiently([&] { taken.chunks.push_back(std::move(back)); });
      }
      taken.elements += taken.chunks.back().count;
    }
    std::ranges::reverse(taken.chunks);
  } catch (BadRecord const& bad) {
    detail::patiently([&] { bad_ = bad.what(); });
  }
  return taken;
}

std::optional<Slot::TimePoint> Slot::trim_memory(TimePoint now) {
  constexpr std::chrono::milliseconds soon{100};
  std::lock_guard const lock(mutex_);
  if (!channel_ || !bad_.empty() || sentence_) return std::nullopt;
  auto const next = holdings_->trim(now);
  // Nothing may be put while the worker has not acknowledged a take-back.
  if (channel_->acknowledging()) return now + soon;
  try {
    switch (put_memory_news(channel::inline_limit(channel_->ring_bytes()))) {
      case News::none: return next;
      case News::no_room: return now + soon;
      case News::told: channel_->publish(); return next ? std::min(*next, now + soon) : now + soon;
    }
    return next;
  } catch (BadRecord const& bad) {
    detail::patiently([&] { bad_ = bad.what(); });  // collect() tells it to the engine
    return std::nullopt;
  }
}

// ---- ending what runs

std::optional<ParentEnd::Running> Slot::running_of_channel() const {
  return sent_.empty() ? std::nullopt : channel_->running(sent_.front().serial);
}

std::optional<Slot::Running> Slot::running() {
  // Between its claim and its look a worker is for some nanoseconds; one that stays there is stopped,
  // or has begun.
  constexpr std::chrono::milliseconds undecided{20};
  std::lock_guard const lock(mutex_);
  if (!channel_ || !bad_.empty() || sentence_) return std::nullopt;
  // What has lasted until here, has lasted; what is seen from here on began before the second look at the clock.
  TimePoint const now = clock_();
  auto const running = running_of_channel();
  // With news there may be its outcome among them: collected first.
  if (channel_->news(false)) {
    silent_since_ = TimePoint();
    return std::nullopt;
  }
  for (Sent const& sent : sent_) {
    if (!running) break;
    std::uint64_t const ahead = running->serial - sent.serial;
    if (running->serial < sent.serial || ahead >= sent.chunk.count) continue;
    silent_since_ = TimePoint();
    if (watched_since_ == TimePoint() || watched_ != running->serial) {
      watched_ = running->serial;
      watched_since_ = clock_();
    }
    if (!running->sure && now - watched_since_ < undecided) return std::nullopt;
    return Running{sent.chunk.task, sent.chunk.first + ahead, running->serial, watched_since_};
  }
  note_silence(now);
  return std::nullopt;
}

// What was scribbled over its marks may run on for ever, and never be seen to. From the outside that is a
// worker which does not begin what it was given. One that is honest, and stopped, or starved by the machine, is
// replaced at no cost: what it has not begun goes elsewhere.
void Slot::note_silence(TimePoint now) {
  constexpr std::chrono::seconds patience{1};
  if (sent_.empty() || !sent_.front().chunk.task->timeout()) {
    silent_since_ = TimePoint();
    return;
  }
  std::uint64_t const front = sent_.front().serial;
  if (silent_since_ == TimePoint() || silent_ != front) {
    silent_ = front;
    silent_since_ = clock_();
  }
  if (now - silent_since_ < patience) return;
  try {
    // First it can begin nothing more, then it is looked at again. What it would begin all the same comes
    // back with its acknowledgement, if it lives to give that.
    bool const could_begin = channel_->may_begin(front);
    if (channel_->take_back(front) != front && could_begin) return;
  } catch (BadRecord const& bad) {
    detail::patiently([&] { bad_ = bad.what(); });  // collect() tells it to the engine
    return;
  }
  silenced_ = true;
  sentence_ = Sentence{nobodys_serial, nullptr, false};
  condemned_.store(true, std::memory_order_release);
}

bool Slot::ask_to_stop(std::uint64_t serial) {
  std::lock_guard const lock(mutex_);
  if (!channel_ || !bad_.empty() || sentence_ || !channel_->listens(serial)) return false;
  channel_->ask_to_stop(serial);
  return true;
}

bool Slot::retiring() const {
  std::lock_guard const lock(mutex_);
  return channel_ && channel_->retiring();
}

bool Slot::has_left() const {
  std::lock_guard const lock(mutex_);
  return channel_ && bad_.empty() && !sentence_ && channel_->left() && sent_.empty() &&
         !channel_->news(false);
}

Slot::Duty Slot::duty() const {
  std::lock_guard const lock(mutex_);
  if (!channel_) return {};
  return {!sent_.empty() && !has_news(), running_of_channel().has_value(), channel_->progress(),
          detail::CrashReport::begun(channel_->crash_area()), channel_->farewell()};
}

void Slot::nudge() {
  std::lock_guard const lock(mutex_);
  if (channel_) channel_->nudge();
}

bool Slot::holds(detail::Task const& task) const {
  std::lock_guard const lock(mutex_);
  return !sentence_ && std::ranges::any_of(sent_, [&task](Sent const& sent) {
    return sent.chunk.task.get() == &task;
  });
}

Slot::Verdict Slot::condemn(Sentence sentence) {
  Verdict verdict;
  std::lock_guard const lock(mutex_);
  if (!channel_ || !bad_.empty() || sentence_) return verdict;
  auto const still = [&] {
    auto const running = running_of_channel();
    return running && running->serial == sentence.serial && !channel_->news(false);
  };
  if (!still()) return verdict;
  // First it can begin nothing more, then it is looked at again: who is ended is nobody else. Also where
  // another take-back is under way, which may have left it more than this one.
  verdict.taken = take_back_from(sentence.serial + 1);
  if (!still()) return verdict;
  sentence_ = std::move(sentence);
  condemned_.store(true, std::memory_order_release);
  verdict.condemned = true;
  return verdict;
}

}  // namespace procpool::inline v0::local
