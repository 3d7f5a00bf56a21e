// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#include <procpool/detail/engine/task.hpp>

#include <algorithm>
#include <iterator>
#include <map>
#include <unordered_map>
#include <utility>

#include <procpool/detail/async/call_context.hpp>
#include <procpool/detail/async/composed.hpp>
#include <procpool/detail/engine/reason.hpp>

#include "engine/patience.hpp"
#include "os/text.hpp"

namespace procpool::inline v0_1::detail {
namespace {

std::uint64_t next_id() noexcept {
  static std::atomic<std::uint64_t> last{0};
  return last.fetch_add(1, std::memory_order_relaxed) + 1;
}

constinit TaskControl const usual{};

// Grows as a vector grows by itself.
std::size_t room_for_one_more(std::vector<OutcomeBlock> const& blocks) noexcept {
  return blocks.size() < blocks.capacity() ? blocks.capacity() : 2 * blocks.size() + 1;
}

}  // namespace

struct Task::Rare {
  std::unordered_map<std::uint64_t, Attempts> attempts;  // of elements that were run again
  std::map<std::uint64_t, std::string> outputs;
  // Elements that were handed over together, by the first of them.
  struct HandOver {
    TimePoint when;
    std::uint64_t open;  // so many have no outcome yet
  };
  std::map<std::uint64_t, HandOver> queued;
  // Of streams:
  Condition block_arrived;
  std::unique_ptr<Callback> block_callback;
};

Task::Task(Function function, TaskOptions options)
    : Completion(std::move(options.context), Kind::task),
      function_(std::move(function)),
      progress_(std::move(options.progress)),
      control_(options.control != nullptr ? options.control : &usual),
      chunk_(options.chunk),
      stop_on_error_(options.stop_on_error),
      stream_(options.stream),
      internal_(options.internal),
      refuse_when_full_(options.refuse_when_full),
      detailed_(options.detailed),
      id_(next_id()) {}

Task::~Task() = default;

Task::Rare& Task::rare() {
  if (!rare_) rare_ = std::make_unique<Rare>();
  return *rare_;
}

std::string Task::name() const {
  std::string text = "task " + std::to_string(id_);
  if (!label().text.empty()) text += " \"" + label().text + '"';
  return text;
}

std::vector<OutcomeBlock> Task::take() {
  Lock const lock(mutex_);
  if (!first_block_) return std::exchange(blocks_, {});
  std::vector<OutcomeBlock> taken;
  taken.reserve(1 + blocks_.size());
  taken.push_back(*std::exchange(first_block_, std::nullopt));
  std::ranges::move(std::exchange(blocks_, {}), std::back_inserter(taken));
  return taken;
}

// Without the lock: a task that has ended gets no further block, and the caller has seen its end.
OutcomeBlock Task::take_only() PROCPOOL_UNCHECKED_LOCKS {
  return *std::exchange(first_block_, std::nullopt);
}

bool Task::is_awaited(OutcomeBlock const& block) const {
  return !awaited_ || *awaited_ - block.first < block.count;
}

// Reports the first of several errors. A cancellation is no error: the program asked for it.
void Task::report_lost() noexcept {
  if (stream() || counts().failed == 0) return;
  try {
    std::vector<OutcomeBlock> blocks = take();
    OutcomeBlock* first = nullptr;
    for (OutcomeBlock& block : blocks) {
      if (block.kind == OutcomeBlock::Kind::values || block.cancelled) continue;
      if (first == nullptr || block.first < first->first) first = &block;
    }
    if (first == nullptr) return;
    auto const kept = std::make_shared<OutcomeBlock>(std::move(*first));
    auto const listed = context() ? context()->exceptions : ExceptionTypes();
    detail::report_lost(*this, [kept, id = id_, called = name(), label = label().text, listed,
                                earlier = earlier_attempts(kept->first)] {
      return called + ", element " + std::to_string(kept->first) + ": " +
             describe(reason_of(*kept, id, listed, earlier, label));
    });
  } catch (...) {  // no memory for the report
  }
}

bool Task::has_arrived() const {
  return std::ranges::any_of(blocks_, [this](OutcomeBlock const& block)
                                          PROCPOOL_REQUIRES(mutex_) { return is_awaited(block); });
}

bool Task::call_at_block(std::optional<std::uint64_t> element,
                         std::unique_ptr<Callback>&& callback) {
  check_process();
  Lock const lock(mutex_);
  awaited_ = element;
  if (complete_ || has_arrived()) return false;
  rare().block_callback = std::move(callback);
  waiting_ = true;
  return true;
}

void Task::tell_block() noexcept {
  std::unique_ptr<Callback> callback;
  {
    Lock const lock(mutex_);
    if (rare_) callback = std::move(rare_->block_callback);
    if (callback) waiting_ = false;
  }
  if (callback) callback->ended();
}

void Task::wait_for_block(std::optional<std::uint64_t> element) {
  check_process();
  Lock lock(mutex_);
  // Before waiting_ is set: there may be no memory for it.
  Condition& arrived = rare().block_arrived;
  awaited_ = element;
  waiting_ = true;
  while (!complete_ && !has_arrived()) arrived.wait(lock);
  waiting_ = false;
}

Task::Counts Task::counts() const {
  Lock const lock(mutex_);
  return counts_;
}

bool Task::attempt_failed(std::uint64_t element, std::string const& how) {
  std::size_t const most = checked(*retries()->times, "retries.times", max_retries);
  std::string text = os::cut(how, Attempts::max_bytes);
  Lock const lock(mutex_);
  Attempts& attempts = rare().attempts[element];
  if (attempts.failed >= most) return false;
  // Nothing is counted before there is memory: a caller without any calls again.
  attempts.told.reserve(attempts.told.size() + 1);
  ++attempts.failed;
  if (attempts.told.size() == Attempts::max_told) attempts.told.erase(attempts.told.begin());
  attempts.told.push_back(std::move(text));
  return true;
}

Attempts Task::earlier_attempts(std::uint64_t element) const {
  Lock const lock(mutex_);
  if (!rare_) return {};
  auto const found = rare_->attempts.find(element);
  return found == rare_->attempts.end() ? Attempts() : found->second;
}

void Task::add_output(std::uint64_t element, std::string text) {
  if (stream() && !detailed()) return;
  Lock const lock(mutex_);
  rare().outputs[element] += text;
}

std::string Task::output(std::uint64_t element) const {
  Lock const lock(mutex_);
  if (!rare_) return {};
  auto const found = rare_->outputs.find(element);
  return found == rare_->outputs.end() ? std::string() : found->second;
}

std::string Task::take_output(std::uint64_t element) {
  Lock const lock(mutex_);
  if (!rare_) return {};
  auto const node = rare_->outputs.extract(element);
  return node ? std::move(node.mapped()) : std::string();
}

bool Task::has_special_elements() const {
  Lock const lock(mutex_);
  return rare_ && !(rare_->outputs.empty() && rare_->attempts.empty());
}

void Task::note_queued(std::uint64_t first, std::uint64_t count) {
  TimePoint const now = std::chrono::steady_clock::now();
  Lock const lock(mutex_);
  rare().queued.insert_or_assign(first, Rare::HandOver{now, count});
}

std::optional<Task::TimePoint> Task::queued(OutcomeBlock const& block) {
  Lock const lock(mutex_);
  if (!rare_) return std::nullopt;
  auto const behind = rare_->queued.upper_bound(block.first);
  if (behind == rare_->queued.begin()) return std::nullopt;
  auto const found = std::prev(behind);
  TimePoint const when = found->second.when;
  // Of an endless stream not all can be kept.
  found->second.open -= std::min(found->second.open, block.count);
  if (found->second.open == 0) rare_->queued.erase(found);
  return when;
}

// Without the lock: no other thread has the task yet.
void Task::announce_all(std::uint64_t elements) PROCPOOL_UNCHECKED_LOCKS {
  counts_.announced = elements;
  counts_.sealed = true;
  if (elements == 1) single_.store(true, std::memory_order_relaxed);
}

bool Task::announce(std::uint64_t elements, bool last) {
  Lock const lock(mutex_);
  counts_.announced += elements;
  // Relaxed: for the thread that has called this.
  if (last && counts_.announced == 1) single_.store(true, std::memory_order_relaxed);
  return last && !std::exchange(counts_.sealed, true);
}

bool Task::seal() {
  bool complete = false;
  {
    Lock const lock(mutex_);
    if (std::exchange(counts_.sealed, true)) return false;
    complete = completes();
  }
  if (complete) tell(true);
  return true;
}

void Task::deliver(OutcomeBlock block) {
  if (detailed_) block.ended = std::chrono::steady_clock::now();
  bool complete = false;
  bool awaited = false;
  {
    Lock const lock(mutex_);
    bool const first = !stream() && blocks_.empty() && !first_block_;
    if (!first)
      patiently([&]() PROCPOOL_REQUIRES(mutex_) { blocks_.reserve(room_for_one_more(blocks_)); });
    counts_.delivered += block.count;
    if (block.cancelled) {
      counts_.cancelled += block.count;
      if (block.begun) counts_.stopped += block.count;
    } else if (block.kind != OutcomeBlock::Kind::values) {
      counts_.failed += block.count;
    }
    // A wake-up costs more than most elements, so it is for awaited blocks only.
    if (waiting_ && is_awaited(block)) {
      rare_->block_arrived.notify_all();
      awaited = true;
    }
    if (first) {
      first_block_ = std::move(block);
    } else {
      blocks_.push_back(std::move(block));
    }
    complete = completes();
  }
  if (awaited) tell_block();
  tell(complete);
}

bool Task::completes() {
  if (complete_ || !counts_.sealed || counts_.delivered != counts_.announced) return false;
  complete_ = true;
  if (waiting_) rare_->block_arrived.notify_all();
  return true;
}

void Task::tell(bool complete) {
  if (ProgressReport* const report = progress()) {
    Counts const now = counts();
    std::optional<std::uint64_t> total;
    if (now.sealed) total = now.announced;
    report->note({now.delivered, total, now.failed, now.cancelled, complete});
  }
  if (!complete) return;
  if (stream()) tell_block();
  end();
}

bool Task::cancel_from(std::uint64_t first) noexcept {
  std::uint64_t before = cancelled_from();
  while (first < before) {
    // Release: a thread that sees the mark sees its reason. Acquire on failure: another thread set
    // one.
    if (cancelled_from_.compare_exchange_weak(before, first, std::memory_order_acq_rel,
                                              std::memory_order_acquire)) {
      return true;
    }
  }
  return false;
}

}  // namespace procpool::inline v0_1::detail
