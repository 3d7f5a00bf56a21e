#include <procpool/detail/callbacks.hpp>

#include <pthread.h>

#include <condition_variable>
#include <cstdio>
#include <mutex>
#include <string>
#include <system_error>
#include <thread>
#include <utility>

#include <procpool/errors.hpp>

#include "engine/forks.hpp"
#include "os/text.hpp"

namespace procpool::inline v0::detail {

struct Callbacks::State {
  explicit State(Log given) : log(std::move(given)) {}

  Log const log;
  unsigned forks = fork_count();
  std::mutex mutex;
  std::condition_variable work;  // for the thread: something to do, or no reason to stay
  std::condition_variable calm;  // for retire(): nothing to do
  // Guarded by mutex:
  std::shared_ptr<Work> first;
  Work* last = nullptr;
  std::size_t works = 0;  // that exist
  bool running = false;   // there is a thread
  bool busy = false;      // it is inside some work
  bool retired = false;
  std::thread thread;
  std::thread::id thread_id;
};

Work::Work(std::shared_ptr<Callbacks> callbacks) : callbacks_(std::move(callbacks)) {
  callbacks_->hold();
}

Work::~Work() { callbacks_->release(); }

Callbacks::Callbacks(Log log) : state_(std::make_unique<State>(std::move(log))) {}

Callbacks::~Callbacks() {
  // The thread keeps this alive, so there is none any more, or it is the one that runs here, at its end.
  if (!state_->thread.joinable()) return;
  if (forked_since(state_->forks)) {
    // It runs in another process; a std::thread that was neither joined nor detached would end this one.
    static_cast<void>(new std::thread(std::move(state_->thread)));
  } else {
    state_->thread.detach();
  }
}

std::shared_ptr<Callbacks> Callbacks::without_pool() {
  auto callbacks = std::make_shared<Callbacks>(Log());
  callbacks->state_->retired = true;
  return callbacks;
}

void Callbacks::hold() {
  if (forked_since(state_->forks)) {
    throw SetupError("this pool's callback thread is in the process that this one was forked from");
  }
  std::lock_guard const lock(state_->mutex);
  if (!state_->running) {
    try {
      if (state_->thread.joinable()) state_->thread.detach();  // one that has said that it ends
      state_->thread = std::thread([self = shared_from_this()] { self->loop(); });
    } catch (std::system_error const& error) {
      throw SetupError(std::string("there is no thread for callbacks: ") + error.what());
    }
    pthread_setname_np(state_->thread.native_handle(), "pool callbacks");
    state_->thread_id = state_->thread.get_id();
    state_->running = true;
  }
  ++state_->works;
}

void Callbacks::release() noexcept {
  if (forked_since(state_->forks)) return;
  std::lock_guard const lock(state_->mutex);
  if (--state_->works == 0 && state_->retired) state_->work.notify_all();
}

void Callbacks::post(std::shared_ptr<Work> work) noexcept {
  std::lock_guard const lock(state_->mutex);
  Work* const end = work.get();
  (state_->last == nullptr ? state_->first : state_->last->next_) = std::move(work);
  state_->last = end;
  state_->work.notify_all();
}

bool Callbacks::on_thread() const noexcept {
  std::lock_guard const lock(state_->mutex);
  return state_->running && state_->thread_id == std::this_thread::get_id();
}

void Callbacks::loop() noexcept {
  std::unique_lock lock(state_->mutex);
  for (;;) {
    state_->work.wait(lock,
                      [this] { return state_->first || (state_->retired && state_->works == 0); });
    if (!state_->first) break;
    std::shared_ptr<Work> work = std::move(state_->first);
    state_->first = std::move(work->next_);
    if (!state_->first) state_->last = nullptr;
    state_->busy = true;
    lock.unlock();
    work->run();
    work.reset();  // outside the lock: it may be the last owner of something of the user's
    lock.lock();
    state_->busy = false;
    if (!state_->first) state_->calm.notify_all();
  }
  state_->running = false;
}

void Callbacks::retire() noexcept {
  if (forked_since(state_->forks)) return;
  std::thread ended;
  {
    std::unique_lock lock(state_->mutex);
    state_->retired = true;
    state_->work.notify_all();
    if (!state_->running || state_->thread_id == std::this_thread::get_id()) return;
    state_->calm.wait(lock, [this] { return !state_->first && !state_->busy; });
    // With Work left, of a future that outlives the pool, the thread stays until that is over.
    if (state_->works == 0) ended = std::move(state_->thread);
  }
  if (ended.joinable()) ended.join();
}

void Callbacks::log(std::string_view text) const noexcept {
  try {
    std::string const clean = os::clean_lines(text);
    if (state_->log) {
      state_->log(clean);
    } else {
      std::string const line = "procpool: " + clean + "\n";
      std::fputs(line.c_str(), stderr);
    }
  } catch (...) {  // a log that fails has nobody to tell
  }
}

}  // namespace procpool::inline v0::detail
