#include "engine/local/dispatcher.hpp"

#include <pthread.h>
#include <signal.h>
#include <sys/epoll.h>

#include <algorithm>
#include <array>
#include <system_error>
#include <utility>

#include <procpool/errors.hpp>

#include "engine/local/dispatcher_keys.hpp"
#include "engine/local/obituary.hpp"
#include "engine/local/worker_environment.hpp"
#include "os/spawn.hpp"

namespace procpool::inline v0::local {
namespace {

using namespace std::chrono_literals;

// Nothing is concluded from a bell: while work is out, a look at all workers at least this often.
constexpr auto look_interval = 100ms;
constexpr auto balance_interval = 2ms;
constexpr auto hang_up_grace = 100ms;

}  // namespace

Dispatcher::Dispatcher(Core& core) : core_(core), lives_(core.workers) {}

Dispatcher::~Dispatcher() {
  if (thread_.joinable()) thread_.join();
}

bool Dispatcher::started() {
  std::lock_guard const lock(start_mutex_);
  return thread_.joinable();
}

void Dispatcher::start_once() {
  std::lock_guard const lock(start_mutex_);
  if (thread_.joinable()) return;
  try {
    core_.wake = os::Event();
    poller_.emplace();
    poller_->add(core_.wake.fd(), key(what_wake, 0), EPOLLIN);
  } catch (std::system_error const& error) {
    throw SetupError("pool \"" + core_.name + "\" cannot be started: " + error.what());
  }
  // Copied here, on the thread of the program's call: later the program may be changing it.
  environment_ = worker_environment(core_.options, os::copy_environment(), core_.workers);
  core_.startable.store(true, std::memory_order_release);
  // The program's signals are for the program's own threads.
  sigset_t all;
  sigset_t before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  try {
    thread_ = std::thread([this] { run(); });
  } catch (std::system_error const& error) {
    pthread_sigmask(SIG_SETMASK, &before, nullptr);
    throw SetupError("pool \"" + core_.name +
                     "\" cannot start its dispatcher thread: " + error.what());
  }
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  pthread_setname_np(thread_.native_handle(), "procpool");
}

// ---- the loop

void Dispatcher::run() {
  std::array<os::Ready, 64> ready{};
  for (;;) {
    TimePoint const now = std::chrono::steady_clock::now();
    if (advance_end(now)) break;
    auto timeout = turn(now);
    park_workers();
    std::size_t const count = poller_->wait(ready, timeout);
    for (std::size_t i = 0; i < count; ++i) handle(ready[i]);
    if (count == 0) {
      for (std::size_t slot = 0; slot < lives_.size(); ++slot) look_at(slot);
      {
        std::lock_guard const lock(core_.mutex);
        core_.scheduler.retry();
      }
      core_.place();
    }
  }
  std::lock_guard const lock(core_.mutex);
  core_.ended = true;
  core_.ended_changed.notify_all();
}

std::optional<std::chrono::milliseconds> Dispatcher::turn(TimePoint now) {
  std::optional<TimePoint> next;
  auto const at = [&next](TimePoint time) { next = next ? std::min(*next, time) : time; };

  if (auto const look = core_.watch_deadlines(now)) at(*look);
  for (std::size_t slot = 0; slot < lives_.size(); ++slot) {
    Life& life = lives_[slot];
    bool const alive = life.state == State::ready || life.state == State::leaving;
    if (alive && !life.condemned && !life.killed && core_.slots[slot]->condemned()) {
      // It leaves by force. Whatever has it wait, TERM and KILL end it at their times.
      change(slot, State::leaving);
      life.condemned = true;
      life.termed = true;
      life.deadline = now + core_.options.term_grace;
      os::signal_group(life.pidfd.get(), life.pid, SIGTERM);
    }
    if (core_.options.max_tasks_per_worker && life.state == State::ready && !life.killed &&
        spent(slot)) {
      let_go(slot, now);
    }
    if (life.state == State::ready && life.hung_up && !life.killed) {
      // Should it live on, no large message can come or go: it finishes what it has and is replaced.
      if (now >= *life.hung_up + hang_up_grace) {
        let_go(slot, now);
      } else {
        at(*life.hung_up + hang_up_grace);
      }
    }
    if (life.state == State::starting || life.state == State::initializing ||
        life.state == State::leaving) {
      if (now >= life.deadline && !life.killed) {
        std::string const limit = std::to_string(core_.options.start_timeout.count()) + " ms";
        if (life.state == State::starting) {
          kill(slot, "it did not say its first word within " + limit);
        } else if (life.state == State::initializing) {
          life.failure = std::make_exception_ptr(TaskTimeout(
              "the initializer of pool \"" + core_.name + "\" took longer than " + limit));
          kill(slot, "its initializer took longer than " + limit);
        } else if (!life.termed) {
          os::signal_group(life.pidfd.get(), life.pid, SIGTERM);
          life.termed = true;
          life.deadline = now + core_.options.stop_grace;
        } else {
          life.forced = !life.condemned;
          kill(slot, "it did not leave");
        }
      }
      if (!life.killed) at(life.deadline);
    }
  }

  if (wants_worker()) {
    if (now < no_birth_before_) {
      at(no_birth_before_);
    } else {
      auto const vacant = std::ranges::find(lives_, State::vacant, &Life::state);
      if (vacant != lives_.end()) {
        start_worker(static_cast<std::size_t>(vacant - lives_.begin()));
        // At most one per turn, so that deaths and news are never behind a row of births.
        if (wants_worker()) at(std::max(now, no_birth_before_));
      }
    }
  }

  if (core_.balance()) at(now + balance_interval);
  {
    std::lock_guard const lock(core_.mutex);
    if (core_.end_deadline && core_.phase != Phase::killing) at(*core_.end_deadline);
    core_.dozing = core_.scheduler.busy_workers() == 0 && core_.scheduler.waiting() == 0;
    if (!core_.dozing) at(now + look_interval);
  }
  if (!next) return std::nullopt;
  auto const wait = std::chrono::ceil<std::chrono::milliseconds>(*next - now);
  return std::max(wait, std::chrono::milliseconds::zero());
}

// A worker that has rung is awake to us: it is asked to ring again only now, before the sleep, and
// looked at once more, because what it published since the last look rang nobody.
void Dispatcher::park_workers() {
  for (std::size_t slot = 0; slot < lives_.size(); ++slot) {
    Life& life = lives_[slot];
    if (life.state == State::vacant || life.state == State::starting || life.parked) continue;
    for (;;) {
      if (++sleep_number_ == 0) ++sleep_number_;
      core_.slots[slot]->park(sleep_number_);
      life.parked = true;
      if (!core_.slots[slot]->news()) break;
      look_at(slot);
      if (life.state == State::vacant || life.killed) break;
    }
  }
}

void Dispatcher::look_at(std::size_t slot) {
  Life& life = lives_[slot];
  if (life.state == State::vacant || life.state == State::starting) return;
  if (life.parked) {
    core_.slots[slot]->unpark();
    life.parked = false;
  }
  if (!core_.collect(slot) && !life.killed) kill(slot, "it wrote what cannot be");
  look_at_initializer(slot);
}

void Dispatcher::handle(os::Ready const& ready) {
  auto const slot = static_cast<std::size_t>(ready.key >> 2);
  switch (static_cast<What>(ready.key & 3)) {
    case what_wake: core_.wake.drain(); break;
    case what_event: look_at(slot); break;
    case what_control: on_control(slot); break;
    case what_exit: on_exit(slot); break;
  }
}

// ---- deaths

void Dispatcher::kill(std::size_t slot, std::string why) {
  Life& life = lives_[slot];
  if (life.killed) return;
  life.killed = true;
  life.why_killed = std::move(why);
  os::signal_group(life.pidfd.get(), life.pid, SIGKILL);
}

bool Dispatcher::spent(std::size_t slot) {
  std::lock_guard const lock(core_.mutex);
  return core_.scheduler.spent(slot);
}

void Dispatcher::let_go(std::size_t slot, TimePoint now) {
  Life& life = lives_[slot];
  change(slot, State::leaving);
  life.deadline = now + core_.options.stop_grace;
  {
    std::lock_guard const lock(core_.mutex);
    core_.scheduler.worker_leaves(slot);
  }
  core_.slots[slot]->ask_to_leave();
}

void Dispatcher::on_exit(std::size_t slot) {
  Life& life = lives_[slot];
  if (life.state == State::vacant) return;
  std::string const said = life.state == State::starting ? refusal(slot) : std::string();
  os::Exit const exit = os::reap(life.pidfd.get(), life.pid);
  poller_->remove(life.pidfd.get());
  poller_->remove(life.control);
  poller_->remove(life.event->fd());

  Slot::Death death = core_.slots[slot]->bury();
  Obituary const obituary{core_.name,  static_cast<int>(slot), life.pid,  exit,
                          death.stage, death.farewell,         death.bad, death.weary};
  State const was = life.state;
  bool const forced = life.forced;
  std::exception_ptr const failure = life.failure;
  std::string const text = obituary.text();
  life.pidfd.reset();
  life.event.reset();

  if (was == State::starting) {
    start_failed(slot, text + " before its first word" + (said.empty() ? "" : ": " + said));
    return;
  }
  if (was == State::initializing) {
    // What it threw, if it did; else how its worker ended.
    std::exception_ptr error = failure;
    for (Chunk const& chunk : death.charged) {
      if (!error) error = obituary.reason(chunk);
    }
    start_failed(slot, text + " in its initializer" + (error ? ": " + describe(error) : ""), error);
    return;
  }
  // An initializer that the pool's end has interrupted is an element that nobody has submitted.
  auto const uncounted = [](Chunk const& chunk) { return chunk.task->internal(); };
  std::erase_if(death.charged, uncounted);
  std::erase_if(death.harvest.returned, uncounted);

  bool const asked = was == State::leaving;
  change(slot, State::vacant);
  {
    // Before its elements end: whoever waits for one may look at the counters next.
    std::lock_guard const lock(core_.mutex);
    if (!asked && core_.phase != Phase::killing) ++core_.worker_deaths;
    if (forced) ++core_.summary.forced;
  }
  bool const useful = death.useful;
  core_.settle_death(slot, std::move(death),
                     [&obituary](Chunk const& chunk) { return obituary.reason(chunk); });
  if (useful) {
    useless_deaths_ = 0;
  } else if (!asked) {
    ++useless_deaths_;
    // The first is replaced at once; a row of them must not become a storm.
    if (useless_deaths_ > 1) put_off_births(std::chrono::steady_clock::now());
  }
  core_.place();
}

// ---- the end

bool Dispatcher::advance_end(TimePoint now) {
  Phase phase = Phase::open;
  bool drained = false;
  bool delivered = false;
  {
    std::lock_guard const lock(core_.mutex);
    if (core_.end_deadline && now >= *core_.end_deadline && core_.phase != Phase::open) {
      core_.phase = Phase::killing;
    }
    phase = core_.phase;
    drained = core_.drained();
    delivered = core_.delivered == core_.accepted;
  }
  if (phase == Phase::open) return false;
  if (phase == Phase::killing && !std::exchange(killing_begun_, true)) {
    core_.cancel_waiting();
    for (std::size_t slot = 0; slot < lives_.size(); ++slot) {
      Life& life = lives_[slot];
      if (life.state == State::vacant) continue;
      life.forced = life.state == State::ready || life.state == State::leaving;
      kill(slot, "the pool was terminated");
    }
  }
  if (phase == Phase::cancelling && !std::exchange(cancelling_begun_, true)) {
    core_.cancel_waiting();
    core_.take_back_everything();
  }
  if (!drained && phase != Phase::killing) return false;
  for (std::size_t slot = 0; slot < lives_.size(); ++slot) {
    if (lives_[slot].state == State::starting || lives_[slot].state == State::initializing) {
      change(slot, State::leaving);  // a planned end, not a failed start
      kill(slot, "it is not needed any more");
    } else if (lives_[slot].state == State::ready) {
      let_go(slot, now);
    }
  }
  // What another thread had in hand for a worker that is gone ends on that thread, and counts too.
  return delivered &&
         std::ranges::all_of(lives_, [](Life const& life) { return life.state == State::vacant; });
}

}  // namespace procpool::inline v0::local
