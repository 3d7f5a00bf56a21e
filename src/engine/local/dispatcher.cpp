#include "engine/local/dispatcher.hpp"

#include <pthread.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/prctl.h>

#include <algorithm>
#include <array>
#include <system_error>
#include <utility>

#include <procpool/cpu_count.hpp>
#include <procpool/detail/deadline.hpp>
#include <procpool/errors.hpp>

#include "engine/local/dispatcher_keys.hpp"
#include "engine/local/worker_environment.hpp"
#include "os/affinity.hpp"
#include "os/socket.hpp"
#include "os/spawn.hpp"

namespace procpool::inline v0::local {
namespace {

using namespace std::chrono_literals;

// Nothing is concluded from a bell: while work is out, a look at all workers at least this often.
constexpr auto look_interval = 100ms;
constexpr auto balance_interval = 2ms;
// When more than a few outcomes come between two looks, each ring for one would cost a wake-up for
// nothing: the workers are let alone then, and looked at after so long.
constexpr std::chrono::microseconds nap{50};
constexpr std::size_t many_taken = 4;
constexpr auto pidfd_interval = 5ms;
constexpr auto group_interval = 10ms;
constexpr auto group_patience = 1s;
// Forks are made by the template, and cost us little.
constexpr int most_births_in_a_turn = 8;

// The usual slack of a timer is as long as a nap. Only meanwhile: workers inherit it.
class PreciseTimer {
 public:
  PreciseTimer() noexcept { ::prctl(PR_SET_TIMERSLACK, 1); }
  PreciseTimer(PreciseTimer const&) = delete;
  PreciseTimer& operator=(PreciseTimer const&) = delete;
  ~PreciseTimer() {
    if (before_ > 0) ::prctl(PR_SET_TIMERSLACK, before_);
  }

 private:
  int const before_ = ::prctl(PR_GET_TIMERSLACK);
};

}  // namespace

Dispatcher::Dispatcher(Core& core)
    : core_(core), lives_(core.slots.size()), seen_wanted_(core.slots.size()) {}

Dispatcher::~Dispatcher() {
  if (thread_.joinable()) thread_.join();
  for (Stray& stray : strays_) os::close_socket(std::move(stray.control));
}

bool Dispatcher::started() {
  std::lock_guard const lock(start_mutex_);
  return thread_.joinable();
}

void Dispatcher::start_once() {
  // Acquire: what it was started with is there. It is asked before each call.
  if (running_.load(std::memory_order_acquire)) return;
  // The workers are started from the thread that starts here, and run where this one may.
  std::optional<std::string> bound;
  {
    std::lock_guard const lock(start_mutex_);
    if (thread_.joinable()) return;
    bound = os::bound_thread();
    start();
  }
  // The program's own code, which may use the pool.
  if (bound) core_.log("pool \"" + core_.name + "\": " + *bound);
}

void Dispatcher::start() {
  // Where only the thread could not be had the last time, others may be using these.
  if (!core_.startable.load(std::memory_order_relaxed)) {
    try {
      core_.wake = os::Event();
      core_.look_timer = os::Timer();
      poller_.emplace();
      poller_->add(core_.wake.fd(), key(what_wake, 0), EPOLLIN);
      poller_->add(core_.look_timer.fd(), key(what_look, 0), EPOLLIN);
      if (!core_.options.cgroup.empty()) os::sweep_cgroups(core_.options.cgroup);
    } catch (std::system_error const& error) {
      throw SetupError("pool \"" + core_.name + "\" cannot be started: " + error.what());
    }
  }
  // Copied here, on the thread of the program's call: later the program may be changing it.
  environment_ = worker_environment(core_.options, os::copy_environment(), core_.slots.size());
  {
    std::lock_guard const locked(core_.mutex);
    core_.cpus = cpu_count();
  }
  core_.startable.store(true, std::memory_order_release);
  // The program's signals are for the program's own threads.
  sigset_t all;
  sigset_t before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  try {
    thread_ = std::thread([this] { run(); });
  } catch (std::bad_alloc const&) {
    pthread_sigmask(SIG_SETMASK, &before, nullptr);
    throw;
  } catch (std::system_error const& error) {
    pthread_sigmask(SIG_SETMASK, &before, nullptr);
    throw SetupError("pool \"" + core_.name +
                     "\" cannot start its dispatcher thread: " + error.what());
  }
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  pthread_setname_np(thread_.native_handle(), "procpool");
  running_.store(true, std::memory_order_release);
}

// ---- the loop

template <class Body>
void Dispatcher::attempt(Body&& body) noexcept {
  try {
    body();
  } catch (std::exception const&) {
    hindered_ = true;
  }
}

void Dispatcher::run() {
  std::array<os::Ready, 64> ready{};
  for (bool ended = false;;) {
    TimePoint const now = std::chrono::steady_clock::now();
    attempt([&] { ended = advance_end(now); });
    if (ended) break;
    std::optional<std::chrono::microseconds> timeout;
    attempt([&] { timeout = turn(now); });
    bool const naps = std::exchange(taken_, 0) >= many_taken;
    std::size_t count = 0;
    attempt([&] { naps ? park_for_nap() : park_workers(); });
    bool const hindered = std::exchange(hindered_, false);
    if (hindered) timeout = std::min<std::chrono::microseconds>(timeout.value_or(1ms), 1ms);
    attempt([&] {
      if (naps) {
        PreciseTimer const precise;
        count = poller_->wait(ready, std::min(timeout.value_or(nap), nap));
      } else {
        count = poller_->wait(ready, timeout);
      }
    });
    for (std::size_t i = 0; i < count; ++i) attempt([&] { handle(ready[i]); });
    if (naps || count == 0 || hindered) attempt([&] { look_at_everything(); });
    if (count == 0) {
      {
        std::lock_guard const lock(core_.mutex);
        core_.scheduler.retry();
      }
      attempt([&] { core_.place(); });
    }
  }
  core_.close_memory();
  end_template();
  // What was in them was killed; a process that the kernel does not let go is not waited for.
  auto const end = std::chrono::steady_clock::now() + group_patience;
  while ((!remove_groups() || reap_strays()) && std::chrono::steady_clock::now() < end) {
    std::this_thread::sleep_for(1ms);
  }
  std::lock_guard const lock(core_.mutex);
  core_.ended = true;
  core_.ended_changed.notify_all();
}

std::optional<std::chrono::microseconds> Dispatcher::turn(TimePoint now) {
  std::optional<TimePoint> next;
  auto const at = [&next](TimePoint time) { next = next ? std::min(*next, time) : time; };

  std::size_t wanted = 0;
  {
    std::lock_guard const lock(core_.mutex);
    wanted = core_.wanted;
  }
  // In this order: there are at least as many slots as were wanted at any time before.
  if (lives_.size() < core_.slots.size()) lives_.resize(core_.slots.size());
  if (wanted > std::exchange(seen_wanted_, wanted)) {
    // What some workers have ahead of them is for the new ones now.
    core_.take_back_everything();
    core_.place();
  }
  if (auto const look = core_.watch_deadlines(now)) at(*look);
  if (auto const look = core_.trim_memory(now)) at(*look);
  if (auto const look = look_at_template(now)) at(*look);
  for (std::size_t slot = 0; slot < lives_.size(); ++slot) {
    Life& life = lives_[slot];
    if (life.ended) continue;  // dead, and the template owes its status
    if (life.unwatched) {
      // The system has not let us watch it, or not let us ask how it ended.
      if (os::exited(life.pidfd.get())) on_exit(slot);
      if (life.state == State::vacant) at(now);  // the end of the pool may have waited for it
      if (life.state == State::vacant || life.ended) continue;
      at(now + pidfd_interval);
    }
    bool const alive = life.state == State::ready || life.state == State::leaving;
    if (alive && !life.condemned && !life.killed && core_.slots[slot].condemned()) {
      // It leaves by force. Whatever has it wait, TERM and KILL end it at their times.
      change(slot, State::leaving);
      life.condemned = true;
      life.termed = true;
      life.deadline = detail::later(now, core_.options.term_grace);
      os::signal_group(life.pidfd.get(), life.pid, SIGTERM);
    }
    if (life.state == State::ready && !life.killed) {
      std::optional<TimePoint> look;
      if (auto const why = should_leave(slot, now, wanted, look)) let_go(slot, now, *why);
      if (look) at(*look);
    }
    if (slot >= wanted && (life.state == State::starting || life.state == State::initializing)) {
      change(slot, State::leaving);  // a planned end, not a failed start
      life.why = Leaves::resized;
      kill(slot, "it is not needed any more");
    }
    if (life.exit_hook && !life.hook_given && life.state == State::leaving && !life.killed) {
      give_exit_hook(slot);
      if (!life.hook_given) at(now + balance_interval);
    }
    if (life.killed && life.pidfd) {
      if (now < life.given_up) {
        at(life.given_up);
      } else {
        give_up(slot);
        continue;
      }
    }
    if (life.state == State::leaving && !life.termed) await_last_element(slot, now);
    if (life.state == State::leaving) part_with_leaver(slot);
    if (life.unborn) continue;  // its template has a deadline
    if (auto const look = look_after(slot, now)) at(*look);
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
          life.deadline = detail::later(now, core_.options.stop_grace);
        } else {
          life.forced = !life.condemned;
          kill(slot, "it did not leave");
        }
      }
      if (!life.killed) at(life.deadline);
    }
  }

  if (!remove_groups()) at(now + group_interval);
  std::size_t const strays = strays_.size();
  look_at_strays(now, next);
  // The end of the pool may have waited for one of them: nothing else would wake us to see that.
  if (strays_.size() != strays) at(now);

  // Few per turn, so that deaths and news are never behind a row of births.
  for (int births = forks() ? most_births_in_a_turn : 1; wants_worker(); --births) {
    if (forkserver_ && forkserver_->busy()) break;  // it wakes us
    if (births == 0 || now < no_birth_before_) {
      at(std::max(now, no_birth_before_));
      break;
    }
    auto const vacant = vacancy(wanted);
    if (!vacant) break;
    start_worker(*vacant);
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

// Where a worker is to be started: first where something waits for that very one.
std::optional<std::size_t> Dispatcher::vacancy(std::size_t wanted) {
  std::optional<std::size_t> found;
  std::lock_guard const lock(core_.mutex);
  for (std::size_t slot = 0; slot < wanted; ++slot) {
    if (lives_[slot].state != State::vacant) continue;
    if (core_.scheduler.awaited(slot)) return slot;
    if (!found) found = slot;
  }
  // What waits for a place that its last worker is still leaving has no use for another.
  return core_.scheduler.waits_for_any() ? found : std::nullopt;
}

// A worker that has rung is awake to us: it is asked to ring again only now, before the sleep, and
// looked at once more, because what it published since the last look rang nobody.
void Dispatcher::park_workers() {
  for (std::size_t slot = 0; slot < lives_.size(); ++slot) {
    Life& life = lives_[slot];
    if (!life.speaks() || life.parked) continue;
    for (;;) {
      core_.slots[slot].park(next_sleep());
      life.parked = true;
      if (!core_.slots[slot].news()) break;
      look_at(slot);
      if (life.state == State::vacant || life.killed) break;
    }
  }
}

std::uint32_t Dispatcher::next_sleep() noexcept {
  sleep_number_ = (sleep_number_ + 1) & ~channel::nap;
  if (sleep_number_ == 0) sleep_number_ = 1;
  return sleep_number_;
}

void Dispatcher::park_for_nap() {
  for (std::size_t slot = 0; slot < lives_.size(); ++slot) {
    Life& life = lives_[slot];
    if (!life.speaks()) continue;
    life.parked = true;
    if (core_.slots[slot].park_for_nap(next_sleep())) look_at(slot);
  }
}

void Dispatcher::look_at(std::size_t slot) {
  Life& life = lives_[slot];
  if (!life.speaks()) return;
  if (life.parked) {
    core_.slots[slot].unpark();
    life.parked = false;
  }
  auto const taken = core_.collect(slot);
  taken_ += taken.value_or(0);
  if (!taken && !life.killed) kill(slot, "it wrote what cannot be");
  look_at_initializer(slot);
}

void Dispatcher::look_at_everything() {
  for (std::size_t slot = 0; slot < lives_.size(); ++slot) look_at(slot);
}

void Dispatcher::handle(os::Ready const& ready) {
  std::size_t const slot = slot_of(ready.key);
  switch (what_of(ready.key)) {
    case what_wake: core_.wake.drain(); break;
    case what_event: look_at(slot); break;
    case what_control: on_control(slot); break;
    case what_exit: on_exit(slot); break;
    case what_output: on_output(slot); break;
    case what_template: on_template(); break;
    case what_stray: reap_strays(); break;
    case what_look:
      core_.look_timer.drain();
      look_at_everything();
      break;
  }
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
    for (Stray& stray : strays_) {
      if (!stray.deadline) continue;
      stray.termed = true;
      stray.deadline = now;
    }
  }
  if (phase == Phase::cancelling && !std::exchange(cancelling_begun_, true)) {
    core_.cancel_waiting();
    core_.take_back_everything();
  }
  if (!drained && phase != Phase::killing) return false;
  for (std::size_t slot = 0; slot < lives_.size(); ++slot) {
    if (lives_[slot].ended) continue;
    if (lives_[slot].state == State::starting || lives_[slot].state == State::initializing) {
      change(slot, State::leaving);  // a planned end, not a failed start
      kill(slot, "it is not needed any more");
    } else if (lives_[slot].state == State::ready) {
      let_go(slot, now, Leaves::with_pool);
    }
  }
  // What another thread had in hand for a worker that is gone ends on that thread, and counts too.
  return delivered &&
         std::ranges::all_of(lives_,
                             [](Life const& life) { return life.state == State::vacant; }) &&
         std::ranges::none_of(strays_,
                              [](Stray const& stray) { return stray.deadline.has_value(); });
}

}  // namespace procpool::inline v0::local
