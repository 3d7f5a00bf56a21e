// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#include <procpool/detail/async/callbacks.hpp>

#include <pthread.h>

#include <array>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <string>
#include <system_error>
#include <thread>
#include <utility>

#include <procpool/detail/engine/mutex.hpp>
#include <procpool/errors.hpp>

#include "engine/fork_detection.hpp"
#include "os/text.hpp"

namespace procpool::inline v0_1::detail {
namespace {

using Clock = std::chrono::steady_clock;

// A thread without a pool waits so long for more work. Work that comes piece by piece then needs
// only one thread.
constexpr std::chrono::milliseconds linger{200};

// The log tells at most one unseen error in this time.
constexpr std::chrono::seconds between_lost{1};

constinit thread_local Callbacks::OfThread of_this{};
constinit thread_local Callbacks::Outside const* innermost = nullptr;  // on this thread

}  // namespace

// A thread and its queue. The mutex of the State guards all of it.
struct Callbacks::Queue {
  char const* name;
  Condition work{};  // wakes the thread: there is work, or no reason to stay
  std::shared_ptr<Work> first{};
  Work* last = nullptr;
  std::size_t works = 0;          // Work objects that exist
  std::size_t waiting = 0;        // Work objects in the queue
  bool running = false;           // there is a thread
  bool busy = false;              // the thread runs or destroys work
  Work const* current = nullptr;  // the work that runs
  Clock::time_point since{};      // the begin of that
  std::thread thread{};
  std::thread::id thread_id{};

  bool calm() const noexcept { return !first && !busy; }
};

struct Callbacks::State {
  State(Log given, std::string pool, std::chrono::milliseconds wait)
      : log(std::move(given)), name(std::move(pool)), quiet(wait) {}

  Log const log;
  std::string const name;
  std::chrono::milliseconds const quiet;
  unsigned forks = fork_count();
  bool shared = false;  // by all work without a pool
  Mutex mutex;
  Condition calm;  // wakes retire(): both queues are empty and no work runs
  std::atomic<bool> over{false};
  Queue callbacks PROCPOOL_GUARDED_BY(mutex){"pool callbacks"};
  Queue executors PROCPOOL_GUARDED_BY(mutex){"pool executors"};
  Outside* outside PROCPOOL_GUARDED_BY(mutex) = nullptr;  // list of the work in executors
  bool retired PROCPOOL_GUARDED_BY(mutex) = false;
  std::optional<Clock::time_point> lost_told PROCPOOL_GUARDED_BY(mutex);
  std::uint64_t lost_untold PROCPOOL_GUARDED_BY(mutex) = 0;

  Queue& queue(Work::Thread which) noexcept PROCPOOL_REQUIRES(mutex) {
    return which == Work::Thread::callbacks ? callbacks : executors;
  }
  bool is_calm() const noexcept PROCPOOL_REQUIRES(mutex) {
    return callbacks.calm() && executors.calm() && outside == nullptr;
  }
  // Is the caller one of the threads, or inside of work that an executor runs?
  bool inside() const noexcept PROCPOOL_REQUIRES(mutex);
  std::string awaited() const PROCPOOL_REQUIRES(mutex);
  void loop(Work::Thread which) noexcept;
};

Work::Work(std::shared_ptr<Callbacks> callbacks, Thread thread)
    : callbacks_(std::move(callbacks)), thread_(thread) {
  callbacks_->hold(thread_);
}

Work::~Work() { callbacks_->release(thread_); }

std::string Work::what() const { return "a callback"; }

Callbacks::Callbacks(Log log, std::string name, std::chrono::milliseconds quiet)
    : state_(std::make_unique<State>(std::move(log), std::move(name), quiet)) {}

Callbacks::~Callbacks() {
  // In a forked child a thread that does not exist there may hold the mutex.
  auto const queues = [&state = *state_]() PROCPOOL_UNCHECKED_LOCKS {
    return std::array{&state.callbacks, &state.executors};
  };
  for (Queue* const queue : queues()) {
    // A thread keeps this object alive. So it has ended, or is the one that runs this destructor.
    if (!queue->thread.joinable()) continue;
    if (forked_since(state_->forks)) {
      // The thread runs in another process. The destructor of a joinable std::thread would end this
      // process.
      static_cast<void>(new std::thread(std::move(queue->thread)));
    } else {
      queue->thread.detach();
    }
  }
}

std::shared_ptr<Callbacks> Callbacks::without_pool() {
  // Never freed: threads may use it until the program ends. A forked child makes its own.
  static std::atomic<std::shared_ptr<Callbacks> const*> known{nullptr};
  auto const* found = known.load(std::memory_order_acquire);
  while (found == nullptr || (*found)->forked()) {
    auto made =
        std::make_unique<std::shared_ptr<Callbacks> const>(std::make_shared<Callbacks>(Log()));
    (*made)->state_->shared = true;
    // Release: a thread that finds the object sees its contents. Acquire on failure: another thread
    // was faster.
    if (known.compare_exchange_strong(found, made.get(), std::memory_order_acq_rel,
                                      std::memory_order_acquire)) {
      found = made.release();
    }
  }
  return *found;
}

std::string const& Callbacks::pool() const noexcept { return state_->name; }

bool Callbacks::forked() const noexcept { return forked_since(state_->forks); }

void Callbacks::hold(Work::Thread which) {
  if (forked()) {
    throw SetupError("this pool's callback thread is in the process that this one was forked from");
  }
  Lock const lock(state_->mutex);
  Queue& own = state_->queue(which);
  if (!own.running) {
    try {
      if (own.thread.joinable()) own.thread.detach();  // a former thread that is about to end
      own.thread = std::thread([self = shared_from_this(), which] {
        of_this = {self.get(), which};
        self->state_->loop(which);
      });
    } catch (std::system_error const& error) {
      throw SetupError(std::string("there is no thread for callbacks: ") + error.what());
    }
    pthread_setname_np(own.thread.native_handle(), own.name);
    own.thread_id = own.thread.get_id();
    own.running = true;
  }
  ++own.works;
}

void Callbacks::release(Work::Thread which) noexcept {
  if (forked()) return;
  Lock const lock(state_->mutex);
  Queue& own = state_->queue(which);
  if (--own.works == 0 && (state_->retired || state_->shared)) own.work.notify_all();
}

void Callbacks::post(std::shared_ptr<Work> work) noexcept {
  if (forked()) return;  // there is no thread here
  Lock const lock(state_->mutex);
  Queue& own = state_->queue(work->thread_);
  Work* const end = work.get();
  (own.last == nullptr ? own.first : own.last->next_) = std::move(work);
  own.last = end;
  ++own.waiting;
  own.work.notify_all();
}

bool Callbacks::take_from_executor(Work& work) noexcept {
  if (work.thread_ == Work::Thread::callbacks) return true;
  try {
    hold(Work::Thread::callbacks);
  } catch (...) {
    return false;
  }
  release(std::exchange(work.thread_, Work::Thread::callbacks));
  return true;
}

bool Callbacks::on_thread() const noexcept {
  State& state = *state_;
  Lock const lock(state.mutex);
  return state.callbacks.running && state.callbacks.thread_id == std::this_thread::get_id();
}

Callbacks::OfThread Callbacks::of_this_thread() noexcept { return of_this; }

bool Callbacks::State::inside() const noexcept {
  for (Queue const* const own : {&callbacks, &executors}) {
    if (own->running && own->thread_id == std::this_thread::get_id()) return true;
  }
  for (Outside const* each = innermost; each != nullptr; each = each->outer_) {
    if (each->work_.callbacks().state_.get() == this) return true;
  }
  return false;
}

Callbacks::Outside::Outside(Work& work) noexcept
    : work_(work), outer_(std::exchange(innermost, this)), since_(Clock::now()) {
  State& state = *work_.callbacks().state_;
  Lock const lock(state.mutex);
  next_ = std::exchange(state.outside, this);
}

Callbacks::Outside::~Outside() {
  innermost = outer_;
  if (work_.callbacks().forked()) return;
  State& state = *work_.callbacks().state_;
  Lock const lock(state.mutex);
  Outside** place = &state.outside;
  while (*place != this) place = &(*place)->next_;
  *place = next_;
  if (state.retired && state.is_calm()) state.calm.notify_all();
}

void Callbacks::State::loop(Work::Thread which) noexcept {
  Lock lock(mutex);
  Queue& own = queue(which);
  for (;;) {
    while (!own.first && (own.works != 0 || !(retired || shared))) own.work.wait(lock);
    if (!own.first) {
      if (!shared || retired) break;
      Clock::time_point const end = Clock::now() + linger;
      while (own.works == 0 && own.work.wait_until(lock, end)) {
      }
      if (own.works == 0) break;
      continue;
    }
    std::shared_ptr<Work> work = std::move(own.first);
    own.first = std::move(work->next_);
    if (!own.first) own.last = nullptr;
    --own.waiting;
    own.busy = true;
    own.current = work.get();
    own.since = Clock::now();
    lock.unlock();
    work->run();
    lock.lock();
    own.current = nullptr;
    lock.unlock();
    work.reset();  // outside the lock: this may run code of the user
    lock.lock();
    own.busy = false;
    if (retired && is_calm()) calm.notify_all();
  }
  own.running = false;
  if (shared && own.thread.joinable()) own.thread.detach();  // it is never joined
}

void Callbacks::retire() noexcept {
  if (forked()) return;
  std::thread ended[2];
  {
    State& state = *state_;
    Lock lock(state.mutex);
    state.retired = true;
    state.callbacks.work.notify_all();
    state.executors.work.notify_all();
    bool const may_wait = !state.inside();
    TimePoint const end_of_quiet = later(Clock::now(), state.quiet);
    while (may_wait && !state.is_calm() && state.calm.wait_until(lock, end_of_quiet)) {
    }
    if (may_wait && !state.is_calm()) {
      std::string text;
      try {
        text = state.awaited();
      } catch (...) {  // no memory for the text
      }
      lock.unlock();
      log(text);
      lock.lock();
      while (!state.is_calm()) state.calm.wait(lock);
    }
    std::uint64_t const untold = std::exchange(state.lost_untold, 0);
    if (untold != 0) {
      lock.unlock();
      log_lost(untold);
      lock.lock();
    }
    state.over.store(true, std::memory_order_relaxed);
    if (!may_wait) return;
    // A future may outlive the pool. While one has Work left, the thread stays.
    if (state.callbacks.works == 0) ended[0] = std::move(state.callbacks.thread);
    if (state.executors.works == 0) ended[1] = std::move(state.executors.thread);
  }
  for (std::thread& thread : ended) {
    if (thread.joinable()) thread.join();
  }
}

std::string Callbacks::State::awaited() const {
  std::string text = "pool \"" + name + "\" is ending and still waits for ";
  Work const* work = nullptr;
  Clock::time_point since{};
  for (Queue const* const own : {&callbacks, &executors}) {
    if (work == nullptr && own->current != nullptr) {
      work = own->current;
      since = own->since;
    }
  }
  if (outside != nullptr) {  // the work in an executor, rather than the thread that asked it
    work = &outside->work_;
    since = outside->since_;
  }
  if (work == nullptr) {
    text += "what a callback holds to be destroyed";
  } else {
    auto const runs = std::chrono::duration_cast<std::chrono::milliseconds>(Clock::now() - since);
    text += work->what() + ", which has been running for " + std::to_string(runs.count()) + " ms";
  }
  std::size_t const behind = callbacks.waiting + executors.waiting;
  if (behind != 0) text += "; " + std::to_string(behind) + " more wait behind it";
  return text;
}

void Callbacks::log(std::string_view text) const noexcept {
  try {
    std::string const clean = os::clean_lines(text);
    // Relaxed: after the end of the pool its log may miss a message. Nothing else depends on it.
    if (state_->log && !state_->over.load(std::memory_order_relaxed)) {
      state_->log(clean);
    } else {
      std::string const line = "procpool: " + clean + "\n";
      std::fputs(line.c_str(), stderr);
    }
  } catch (...) {  // a log that fails cannot be reported
  }
}

void Callbacks::log_lost(std::uint64_t untold) const noexcept {
  try {
    log(std::to_string(untold) + " more errors of futures that were dropped were not looked at");
  } catch (...) {  // no memory for the text
  }
}

std::optional<std::uint64_t> Callbacks::may_tell_lost() noexcept {
  Lock const lock(state_->mutex);
  auto const now = Clock::now();
  if (state_->lost_told && now - *state_->lost_told < between_lost) {
    ++state_->lost_untold;
    return std::nullopt;
  }
  state_->lost_told = now;
  return std::exchange(state_->lost_untold, 0);
}

}  // namespace procpool::inline v0_1::detail
