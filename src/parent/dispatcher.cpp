#include "parent/dispatcher.hpp"

#include <pthread.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <bit>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <span>
#include <string>
#include <system_error>
#include <tuple>
#include <utility>

#include <procpool/cpu_count.hpp>
#include <procpool/detail/engine/deadline.hpp>
#include <procpool/detail/engine/reason.hpp>
#include <procpool/errors.hpp>

#include "engine/listed_exceptions.hpp"
#include "engine/patience.hpp"
#include "entry/hook.hpp"
#include "os/affinity.hpp"
#include "os/socket.hpp"
#include "os/spawn.hpp"
#include "parent/exit_report.hpp"
#include "parent/poll_keys.hpp"
#include "parent/worker_environment.hpp"
#include "protocol/worker_limits.hpp"
#include "worker/process_title.hpp"

namespace procpool::inline v0::parent {

using namespace std::chrono_literals;

namespace {

// Nothing is concluded from a bell: while work is out, a look at all workers at least this often.
constexpr auto look_interval = 100ms;
constexpr auto balance_interval = 2ms;
// When more than a few outcomes come between two looks, each ring for one would cost a wake-up for
// nothing: the workers are let alone then, and looked at after so long.
constexpr std::chrono::microseconds short_poll{50};
constexpr std::size_t many_taken = 4;
constexpr auto pidfd_interval = 5ms;
constexpr auto group_interval = 10ms;
constexpr auto group_patience = 1s;
// Forks are made by the template, and cost us little.
constexpr int max_spawns_per_turn = 8;

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

constexpr unsigned max_failed_starts = 3;
// If somebody killed them: eight seconds.
constexpr unsigned max_external_kills = 12;
constexpr auto first_backoff = 10ms;
constexpr unsigned max_backoff_doublings = 7;  // 1.28 s

// In a row, each before it had forked once.
constexpr unsigned max_useless_fork_servers = 3;

// Until a template that cannot be asked how a worker ended is asked no more.
constexpr std::chrono::seconds status_patience{1};

// Which of the template's descriptors it is, in the place of the slot.
enum ForkServerKey : std::size_t { key_socket, key_pidfd };

constexpr auto vigil_interval = 250ms;
// So many looks in a row that show the same.
constexpr unsigned looks_at_stop = 3;   // about a second
constexpr unsigned looks_at_sleep = 4;  // the same
constexpr unsigned looks_at_doze =
    3;  // though it has something to do; and again, once it was woken
// Of the processor, for what is a matter of microseconds.
constexpr std::uint64_t max_idle_ticks = 500;  // five seconds
// From the handler's first word; it ends itself after two.
constexpr auto crash_patience = 3s;

bool by_terminal(int signal) { return signal == SIGTTOU || signal == SIGTTIN; }

constexpr auto hang_up_grace = 100ms;
constexpr auto unwatched_interval = 100ms;
constexpr std::size_t min_exiting = 16;

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
    bool const short_polls = std::exchange(taken_, 0) >= many_taken;
    std::size_t count = 0;
    attempt([&] { short_polls ? begin_short_poll() : park_workers(); });
    bool const hindered = std::exchange(hindered_, false);
    if (hindered) timeout = std::min<std::chrono::microseconds>(timeout.value_or(1ms), 1ms);
    attempt([&] {
      if (short_polls) {
        PreciseTimer const precise;
        count = poller_->wait(ready, std::min(timeout.value_or(short_poll), short_poll));
      } else {
        count = poller_->wait(ready, timeout);
      }
    });
    for (std::size_t i = 0; i < count; ++i) attempt([&] { handle(ready[i]); });
    if (short_polls || count == 0 || hindered) attempt([&] { look_at_everything(); });
    if (count == 0) {
      {
        std::lock_guard const lock(core_.mutex);
        core_.scheduler.retry();
      }
      attempt([&] { core_.place(); });
    }
  }
  core_.close_memory();
  end_fork_server();
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
    core_.revoke_all();
    core_.place();
  }
  if (auto const look = core_.watch_deadlines(now)) at(*look);
  if (auto const look = core_.trim_memory(now)) at(*look);
  if (auto const look = look_at_fork_server(now)) at(*look);
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
    if (alive && !life.marked_for_kill && !life.killed && core_.slots[slot].marked_for_kill()) {
      // It leaves by force. Whatever has it wait, TERM and KILL end it at their times.
      change(slot, State::leaving);
      life.marked_for_kill = true;
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
      life.why = ExitReason::resized;
      kill(slot, "it is not needed any more");
    }
    if (life.exit_handler && !life.exit_handler_given && life.state == State::leaving &&
        !life.killed) {
      give_exit_handler(slot);
      if (!life.exit_handler_given) at(now + balance_interval);
    }
    if (life.killed && life.pidfd) {
      if (now < life.abandoned) {
        at(life.abandoned);
      } else {
        abandon(slot);
        continue;
      }
    }
    if (life.state == State::leaving && !life.termed) await_last_element(slot, now);
    if (life.state == State::leaving) part_with_leaver(slot);
    if (life.fork_pending) continue;  // its template has a deadline
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
          life.forced = !life.marked_for_kill;
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
  for (int spawns = forks() ? max_spawns_per_turn : 1; wants_worker(); --spawns) {
    if (fork_server_ && fork_server_->busy()) break;  // it wakes us
    if (spawns == 0 || now < no_spawn_before_) {
      at(std::max(now, no_spawn_before_));
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
    core_.deep_sleep = core_.scheduler.busy_workers() == 0 && core_.scheduler.waiting() == 0;
    if (!core_.deep_sleep) at(now + look_interval);
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
  sleep_number_ = (sleep_number_ + 1) & ~channel::short_poll;
  if (sleep_number_ == 0) sleep_number_ = 1;
  return sleep_number_;
}

void Dispatcher::begin_short_poll() {
  for (std::size_t slot = 0; slot < lives_.size(); ++slot) {
    Life& life = lives_[slot];
    if (!life.speaks()) continue;
    life.parked = true;
    if (core_.slots[slot].begin_short_poll(next_sleep())) look_at(slot);
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
    case what_fork_server: on_fork_server(); break;
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
    core_.revoke_all();
  }
  if (!drained && phase != Phase::killing) return false;
  for (std::size_t slot = 0; slot < lives_.size(); ++slot) {
    if (lives_[slot].ended) continue;
    if (lives_[slot].state == State::starting || lives_[slot].state == State::initializing) {
      change(slot, State::leaving);  // a planned end, not a failed start
      kill(slot, "it is not needed any more");
    } else if (lives_[slot].state == State::ready) {
      let_go(slot, now, ExitReason::with_pool);
    }
  }
  // What another thread had in hand for a worker that is gone ends on that thread, and counts too.
  return delivered &&
         std::ranges::all_of(lives_,
                             [](Life const& life) { return life.state == State::vacant; }) &&
         std::ranges::none_of(strays_,
                              [](Stray const& stray) { return stray.deadline.has_value(); });
}

// The dispatcher's part that makes workers: from the decision that one is wanted to its first word.

bool Dispatcher::wants_worker() {
  std::lock_guard const lock(core_.mutex);
  return !core_.broken && core_.phase != Phase::killing && core_.live < core_.wanted &&
         core_.scheduler.waiting() > core_.starting;
}

void Dispatcher::change(std::size_t slot, State to) {
  Life& life = lives_[slot];
  std::lock_guard const lock(core_.mutex);
  auto const count = [this](State state, std::size_t by) {
    bool const starting = state == State::starting || state == State::initializing;
    if (starting) core_.starting += by;
    if (state == State::ready) core_.ready += by;
    if (starting || state == State::ready) core_.live += by;
  };
  count(life.state, static_cast<std::size_t>(-1));
  count(to, 1);
  life.state = to;
}

void Dispatcher::start_worker(std::size_t slot) {
  lives_[slot] = Life();
  change(slot, State::starting);
  try {
    make_pending(slot);
    if (!ask_for_fork(slot)) on_started(slot, spawn(slot));
  } catch (std::exception const& error) {
    lives_[slot].pending = PendingWorker();
    start_failed(slot, detail::patiently([&] {
                   return "worker " + std::to_string(slot) + " could not be made: " + error.what();
                 }));
  }
}

std::string Dispatcher::title(std::size_t slot) const {
  return "[" + core_.name + "/" + std::to_string(slot) + "]";
}

void Dispatcher::make_pending(std::size_t slot) {
  Life& life = lives_[slot];
  if (!image_) image_ = os::open_own_image();
  if (!self_) self_ = os::open_pidfd(::getpid());
  if (!liveness_pipe_) liveness_pipe_.emplace();
  if (began_ == 0) began_ = os::start_time(::getpid());
  if (modules_.empty()) modules_ = identity::loaded_modules();

  life.pending.channel = std::make_unique<channel::ParentEnd>(core_.ring_bytes);
  std::tie(life.pending.ours, life.pending.theirs) = os::socket_pair();
  life.event.emplace();
  if (core_.options.output == Output::capture) {
    life.pending.output = std::make_unique<OutputCapture>(
        core_.options.output_limit.checked("output_limit", max_output));
  }
  if (!core_.options.cgroup.empty()) {
    static std::atomic<std::uint64_t> number{0};
    life.cgroup = os::Cgroup(core_.options.cgroup, os::cgroup_prefix + std::to_string(::getpid()) +
                                                       "-" + std::to_string(++number));
  }
}

os::Child Dispatcher::spawn(std::size_t slot) {
  PendingWorker const& pending = lives_[slot].pending;
  os::SpawnRequest request;
  request.image = image_.get();
  request.control = pending.theirs.get();
  request.arguments = {program_invocation_name, title(slot) + worker::title_space()};
  request.environment = environment_;
  request.environment_additions = {std::string(protocol::worker_mark) + "=" +
                                   std::to_string(channel::protocol_version)};
  request.silent = core_.options.output == Output::drop;
  if (core_.options.ignore_sigterm) request.blocked = SIGTERM;
  if (pending.output) request.output = pending.output->workers_end();
  return os::spawn(request);
}

void Dispatcher::send_hello(std::size_t slot, PendingWorker& pending) {
  Life& life = lives_[slot];
  std::array<int, protocol::max_hello_fds> fds{};
  fds[protocol::fd_inbox] = pending.channel->inbox().fd();
  fds[protocol::fd_outbox] = pending.channel->outbox().fd();
  fds[protocol::fd_event] = life.event->fd();
  fds[protocol::fd_parent] = self_.get();
  os::UniqueFd const liveness_pipe = liveness_pipe_->end();
  fds[protocol::fd_liveness_pipe] = liveness_pipe.get();
  os::UniqueFd const cgroup_kill = life.cgroup ? life.cgroup.open_kill() : os::UniqueFd();
  fds[protocol::fd_cgroup_kill] = cgroup_kill.get();
  protocol::Hello const hello{
      channel::protocol_version,
      static_cast<std::uint32_t>(slot),
      ::getpid(),
      core_.ring_bytes,
      core_.name,
      protocol::limits_of(core_.options.limits),
      core_.options.cpus.empty() ? -1 : core_.options.cpus[slot % core_.options.cpus.size()],
      core_.options.nice,
      core_.options.harden ? 1u : 0u,
      entry::depth() + 1,
      core_.options.recycle_above.value_or(0),
      life.cgroup ? 1u : 0u,
      pending.output ? pending.output->token() : std::string(),
      began_,
      core_.options.ignore_sigterm ? 1u : 0u,
      ListedExceptions::text_of(core_.options.exceptions)};
  // The socket is empty and takes it at once; a worker that is dead already reports itself.
  std::span<int const> const sent =
      std::span(fds).first(life.cgroup ? protocol::max_hello_fds : protocol::fd_cgroup_kill);
  os::send_packet(pending.ours.get(), encode(hello), sent, false);
  pending.channel->forget_memory();
  pending.hello_said = true;
}

void Dispatcher::on_started(std::size_t slot, os::Child child) {
  Life& life = lives_[slot];
  PendingWorker pending = std::exchange(life.pending, PendingWorker());
  pending.theirs.reset();
  if (pending.output) {
    pending.output->forget_workers_end();
    life.output = pending.output->fd();
  }
  life.fork_pending = false;
  life.pid = child.pid;
  // Some of ours counts as its own, and the system's sums are a bit behind.
  if (life.request_id == 0) life.inherited_peak = os::peak_resident_bytes() / 16 * 17 + (1u << 20);
  life.pidfd = std::move(child.pidfd);
  life.deadline = detail::later(std::chrono::steady_clock::now(), core_.options.start_timeout);
  life.control = pending.ours.get();
  {
    std::lock_guard const lock(core_.mutex);
    ++core_.counted.worker_starts;
    ++core_.per_worker[slot].starts;
    core_.per_worker[slot].pid = child.pid;
  }
  // From here on there is a process: whatever fails now ends it, and its end is then reported.
  life.unwatched = true;
  try {
    poller_->add(life.pidfd.get(), key(what_exit, slot), EPOLLIN);
    life.unwatched = false;
    poller_->add(life.control, key(what_control, slot), EPOLLIN);
    poller_->add(life.event->fd(), key(what_event, slot), EPOLLIN | EPOLLET);
    // Before its first word: no task has run yet.
    if (life.cgroup) life.cgroup.add(life.pid);
    if (pending.output) poller_->add(life.output, key(what_output, slot), EPOLLIN);
    if (!pending.hello_said) send_hello(slot, pending);
  } catch (std::exception const& error) {
    kill(slot, error.what());
  }
  // It was not needed any more before it was there.
  if (life.killed) send_kill(slot);
  core_.slots[slot].open(std::move(pending.channel), std::move(pending.ours), life.pid,
                         std::move(pending.output));
}

// What a starting worker has to say, or that a worker's control socket is gone.
void Dispatcher::on_control(std::size_t slot) {
  Life& life = lives_[slot];
  if (life.state == State::starting) {
    os::Packet packet;
    std::optional<std::variant<protocol::Ready, protocol::Refusal>> answer;
    try {
      if (os::receive_packet(life.control, packet, false, protocol::longest_message,
                             os::Takes::memory_files) != os::ReceiveResult::received) {
        poller_->remove(life.control);  // its end is coming through the pidfd
        return;
      }
      answer = protocol::decode_answer(packet.bytes);
    } catch (std::exception const&) {  // not a packet of ours
    }
    if (!answer) {
      kill(slot, "its first word was none that this program says");
    } else if (auto const* const no = std::get_if<protocol::Refusal>(&*answer)) {
      kill(slot, no->reason);
    } else {
      greet(slot, std::get<protocol::Ready>(*answer));
    }
  } else if (life.state != State::vacant) {
    // Mostly it is dying, which closes its descriptors before the pidfd tells.
    poller_->remove(life.control);
    life.hung_up = std::chrono::steady_clock::now();
  }
}

void Dispatcher::on_output(std::size_t slot) {
  Life& life = lives_[slot];
  if (life.output < 0 || core_.slots[slot].read_output()) return;
  poller_->remove(life.output);  // everybody has closed it
  life.output = -1;
}

void Dispatcher::greet(std::size_t slot, protocol::Ready const& answer) {
  Life& life = lives_[slot];
  // What the template has loaded was looked at when it came up.
  bool const forked = life.request_id != 0;
  if (auto const difference =
          forked ? std::nullopt : identity::first_difference(modules_, answer.modules)) {
    kill(slot, *difference);
    return;
  }
  // From now on only its hang-up is of interest; descriptors are fetched when a record names them.
  poller_->remove(life.control);
  try {
    poller_->add(life.control, key(what_control, slot), 0);
  } catch (std::exception const& error) {  // no memory: it cannot be served
    kill(slot, error.what());
    return;
  }
  if (core_.options.initializer) {
    initialize(slot);
  } else {
    make_ready(slot);
  }
}

void Dispatcher::make_ready(std::size_t slot) {
  change(slot, State::ready);
  {
    std::lock_guard const lock(core_.mutex);
    core_.scheduler.worker_ready(slot, std::chrono::steady_clock::now());
  }
  if (auto const age = core_.options.recycle_after) {
    // Up to a fifth earlier, each another share of it.
    double const part = 1 - 0.2 * even_share(slot);
    lives_[slot].retires =
        detail::later(std::chrono::steady_clock::now(), std::chrono::duration<double>(*age) * part);
  }
  failed_starts_ = 0;
  external_kills_ = 0;
  spawns_next_ = false;
  core_.place();
}

// ---- the initializer: an element of a task of the pool's own, given to this worker past the scheduler

Chunk Dispatcher::exit_handler_element(BoundCall const& call) {
  detail::InputBuffer nothing;  // one element without arguments
  nothing.count = 1;
  std::uint64_t const length = 0;
  nothing.bytes.resize(sizeof length);
  std::memcpy(nothing.bytes.data(), &length, sizeof length);
  detail::TaskOptions options;
  options.internal = true;
  auto task = std::make_shared<detail::Task>(call.function(), std::move(options));
  task->announce(1, true);
  return {std::move(task), std::make_shared<SharedInput>(std::move(nothing), 0), 0, 1};
}

void Dispatcher::initialize(std::size_t slot) {
  Life& life = lives_[slot];
  change(slot, State::initializing);
  try {
    Chunk element = exit_handler_element(*core_.options.initializer);
    life.initializer = element.task;
    if (core_.slots[slot].put(element) == Slot::Put::sent) return;
    kill(slot, "the initializer could not be sent to it");
  } catch (std::exception const& error) {
    kill(slot, detail::patiently([&] {
           return std::string("the initializer could not be sent to it: ") + error.what();
         }));
  }
}

void Dispatcher::look_at_initializer(std::size_t slot) {
  Life& life = lives_[slot];
  if (life.state != State::initializing || life.killed || !life.initializer->ended()) return;
  for (detail::Block const& block : life.initializer->take()) {
    if (block.kind == detail::Block::Kind::values) continue;
    life.failure = detail::reason_of(block, life.initializer->id());
    kill(slot, "its initializer failed");  // its end reports it
    return;
  }
  make_ready(slot);
}

void Dispatcher::delay_spawns(TimePoint now, unsigned in_a_row) {
  unsigned const doublings = std::min(in_a_row - 1, max_backoff_doublings);
  no_spawn_before_ = now + first_backoff * (1u << doublings);
}

void Dispatcher::start_failed(std::size_t slot, std::string const& reason, std::exception_ptr error,
                              bool killed_externally) noexcept {
  change(slot, State::vacant);
  ++failed_starts_;
  external_kills_ += killed_externally ? 1 : 0;
  delay_spawns(std::chrono::steady_clock::now(), failed_starts_ + useless_deaths_);
  Chunks waiting;
  std::exception_ptr broken;
  bool others = false;
  {
    std::lock_guard const lock(core_.mutex);
    if (core_.phase == Phase::killing) return;
    ++core_.counted.failed_starts;
    // An initializer fails again where it has failed once.
    unsigned const most = error && !killed_externally ? 1 : max_failed_starts;
    bool const enough =
        failed_starts_ - external_kills_ >= most || failed_starts_ >= max_external_kills;
    if (enough && core_.ready == 0 && !core_.broken) {
      core_.broken = error ? error : detail::patiently([&] {
        return std::make_exception_ptr(
            SetupError("pool \"" + core_.name + "\" cannot start workers; the last of " +
                       std::to_string(failed_starts_) + " attempts: " + reason));
      });
      broken = core_.broken;
      waiting = core_.scheduler.remove_all();
      core_.tell_room();
    }
    others = enough && core_.ready != 0;
    // What waits for this very worker would wait for as long as the others live.
    if (others) core_.scheduler.count_on_ready_ones();
  }
  if (others) detail::if_possible([this] { core_.place(); });
  if (broken) {
    core_.fail(waiting, broken);
  } else if (std::has_single_bit(
                 failed_starts_)) {  // the first of a row, the second, the fourth ...
    detail::if_possible([&] { core_.log("pool \"" + core_.name + "\": " + reason); });
  }
}

std::string Dispatcher::refusal(std::size_t slot) {
  Life const& life = lives_[slot];
  if (!life.why_killed.empty()) return life.why_killed;
  try {
    os::Packet packet;
    if (os::receive_packet(life.control, packet, false, protocol::longest_message,
                           os::Takes::memory_files) == os::ReceiveResult::received) {
      if (auto const answer = protocol::decode_answer(packet.bytes)) {
        if (auto const* const no = std::get_if<protocol::Refusal>(&*answer)) return no->reason;
      }
    }
  } catch (std::exception const&) {  // it said nothing that can be read
  }
  return {};
}

// The dispatcher's part that has workers forked by a template process (Start::forkserver): when there is one,
// what it answers, and what its death means: no worker ends for it, and births that it had not answered begin
// anew.

bool Dispatcher::forks() const {
  return core_.options.start == Start::forkserver && !never_forks_ && !spawns_next_;
}

void Dispatcher::start_fork_server() {
  if (fork_server_) return;
  fork_server_.emplace(ForkServerClient::Making{
      image_.get(), self_.get(), core_.name, environment_, core_.options.output != Output::inherit,
      core_.options.start_timeout, core_.options.ignore_sigterm ? SIGTERM : 0});
  ++fork_server_number_;
  try {
    poller_->add(fork_server_->socket(), key(what_fork_server, key_socket), EPOLLIN);
    poller_->add(fork_server_->pidfd(), key(what_fork_server, key_pidfd), EPOLLIN);
  } catch (...) {
    end_fork_server();
    throw;
  }
}

os::Exit Dispatcher::end_fork_server() {
  if (!fork_server_) return {};
  poller_->remove(fork_server_->socket());
  poller_->remove(fork_server_->pidfd());
  os::Exit const exit = fork_server_->end();
  fork_server_.reset();
  return exit;
}

bool Dispatcher::ask_for_fork(std::size_t slot) {
  // It stays to bury the workers that it has forked.
  if (fork_server_ && !fork_server_->has_our_rights() && !std::exchange(never_forks_, true)) {
    core_.log("pool \"" + core_.name +
              "\": its workers are spawned from now on, and not forked: the program acts for "
              "another user or group than its template process");
  }
  if (!forks()) return false;
  start_fork_server();
  Life& life = lives_[slot];
  std::vector<int> fds{life.pending.theirs.get()};
  if (life.pending.output) fds.push_back(life.pending.output->workers_end());
  // Said ahead, so that the new worker need not wait for it; but it must be in its group first.
  if (!life.cgroup) send_hello(slot, life.pending);
  life.request_id = ++last_request_id_;
  life.fork_server_number = fork_server_number_;
  switch (fork_server_->fork(life.request_id, title(slot), fds)) {
    case ForkServerClient::Order::given: life.fork_pending = true; return true;
    case ForkServerClient::Order::later:
      throw std::system_error(ENOBUFS, std::system_category(),
                              "the template process could not be asked");
    case ForkServerClient::Order::nobody: break;
  }
  lose_fork_server("cannot be reached");
  life.request_id = 0;
  return false;
}

ForkServerClient::Order Dispatcher::ask_template(std::uint64_t request_id,
                                                 std::uint64_t fork_server_number,
                                                 std::optional<TimePoint>& wanted) {
  if (request_id == 0 || !fork_server_ || fork_server_number != fork_server_number_) {
    return ForkServerClient::Order::nobody;
  }
  auto const order = fork_server_->reap(request_id);
  if (order == ForkServerClient::Order::later) {
    // What the system lacks for a moment it has again soon; how a worker ended is not worth more.
    auto const now = std::chrono::steady_clock::now();
    if (!wanted) wanted = now;
    if (now - *wanted > status_patience) return ForkServerClient::Order::nobody;
  }
  return order;
}

ForkServerClient::Order Dispatcher::ask_for_status(std::size_t slot) {
  Life& life = lives_[slot];
  auto const order = ask_template(life.request_id, life.fork_server_number, life.status_wanted);
  if (order != ForkServerClient::Order::nobody) {
    // No more of it is to be heard; where the template could not be asked yet, it is asked again.
    poller_->remove(life.pidfd.get());
    life.unwatched = true;
    std::lock_guard const lock(core_.mutex);
    if (life.state == State::ready) core_.scheduler.worker_leaves(slot);  // it is given nothing
  }
  life.ended = order == ForkServerClient::Order::given;
  return order;
}

void Dispatcher::on_fork_server() {
  while (fork_server_) {
    auto word = fork_server_->next();
    if (!word) break;
    if (auto const* const ready = std::get_if<protocol::Ready>(&*word)) {
      auto const difference = identity::first_difference(modules_, ready->modules);
      if (difference) lose_fork_server(*difference, false);
    } else if (auto const* const refusal = std::get_if<protocol::Refusal>(&*word)) {
      lose_fork_server(refusal->reason, false);
    } else {
      on_report(std::get<ForkServerClient::Forked>(*word));
    }
  }
  if (fork_server_ && fork_server_->gone()) lose_fork_server({});
}

void Dispatcher::on_report(ForkServerClient::Forked& forked) {
  protocol::ForkReport const& report = forked.report;
  auto const found = std::ranges::find(lives_, report.request_id, &Life::request_id);
  if (found == lives_.end()) return;  // a worker that nobody asked for has nobody to talk to
  auto const slot = static_cast<std::size_t>(found - lives_.begin());
  Life& life = *found;
  switch (report.kind) {
    case protocol::ForkReport::Kind::forked:
      useless_fork_servers_ = 0;
      on_started(slot, {report.pid, std::move(forked.pidfd)});
      break;
    case protocol::ForkReport::Kind::failed:
      unmake(slot, detail::patiently([&] {
               return "worker " + std::to_string(slot) + " could not be made: " + report.reason;
             }));
      break;
    case protocol::ForkReport::Kind::unfit:
      if (!std::exchange(never_forks_, true)) {
        detail::if_possible([&] {
          core_.log("pool \"" + core_.name +
                    "\": its workers are spawned and not forked: " + report.reason);
        });
      }
      unmake(slot);
      if (!fork_server_->useful() && std::ranges::none_of(lives_, &Life::fork_pending))
        end_fork_server();
      break;
    case protocol::ForkReport::Kind::reaped:
      if (life.ended) reap(slot, report.exit);
      break;
  }
}

void Dispatcher::unmake(std::size_t slot, std::string const& failure, bool killed_externally) {
  Life& life = lives_[slot];
  bool const failed = life.state == State::starting && !failure.empty();
  if (life.cgroup) {
    detail::patiently([&] { ended_groups_.push_back(std::move(life.cgroup)); });
  }
  State const state = life.state;
  life = Life();
  life.state = state;
  if (failed) {
    start_failed(slot, failure, nullptr, killed_externally);
  } else {
    change(slot, State::vacant);
  }
}

void Dispatcher::lose_fork_server(std::string const& why, bool believed) {
  bool const came_up = believed && fork_server_->greeted();
  bool const useful = fork_server_->useful();
  pid_t const pid = fork_server_->pid();
  os::Exit const exit = end_fork_server();
  std::string const how = detail::patiently([&] {
    return "the template process (pid " + std::to_string(pid) + ") " +
           (why.empty() ? text_of(exit) : why);
  });
  bool reported = came_up;
  for (std::size_t slot = 0; slot < lives_.size(); ++slot) {
    Life& life = lives_[slot];
    if (life.fork_pending) {
      // A template that does not come up is like a worker that does not: one failed start.
      bool const report = life.state == State::starting && !std::exchange(reported, true);
      unmake(slot, detail::patiently([&] {
               return report ? how + (why.empty() ? " before its first word" : "") : std::string();
             }),
             why.empty() && may_be_killed_externally(exit));
    } else if (life.ended) {
      // Its parent is another one now: only new kernels remember how it ended.
      reap(slot, os::reap(life.pidfd.get(), life.pid));
    }
  }
  if (!came_up) {
    // Should it have been killed, a spawned worker will do; should the program not start, nothing will.
    spawns_next_ = true;
    return;
  }
  useless_fork_servers_ = useful ? 1 : useless_fork_servers_ + 1;
  if (useless_fork_servers_ >= max_useless_fork_servers) never_forks_ = true;
  if (useless_fork_servers_ > 1) {
    delay_spawns(std::chrono::steady_clock::now(), useless_fork_servers_);
  }
  detail::if_possible([&] {
    core_.log("pool \"" + core_.name + "\": " + how + "; its workers go on" +
              (never_forks_ ? ", and others are spawned from now on" : ""));
  });
}

std::optional<Dispatcher::TimePoint> Dispatcher::look_at_fork_server(TimePoint now) {
  if (!fork_server_) return std::nullopt;
  auto const deadline = fork_server_->deadline();
  if (!deadline || now < *deadline) return deadline;
  lose_fork_server(fork_server_->greeted()
                       ? "does not answer"
                       : "did not say its first word within " +
                             std::to_string(core_.options.start_timeout.count()) + " ms");
  return now;  // to look at what that has ended
}

// The dispatcher's part that looks after workers which do not get on though they have something to do: those
// that are stopped, those that wait for what cannot come any more, those that have damaged themselves so that they
// do nothing. None of them ends by itself, so its pidfd says nothing of it.
//
// A worker that computes for a year looks like one that is lost in a loop, and is left alone. What is ended here is
// certain, by what the system says of it, at several looks in a row. Looks are counted, and not time: this process
// may have been stopped as well.

void Dispatcher::end_for(std::size_t slot, std::string cause) {
  lives_[slot].cause = cause;
  kill(slot, std::move(cause));
}

std::optional<Dispatcher::TimePoint> Dispatcher::look_after(std::size_t slot, TimePoint now) {
  Life& life = lives_[slot];
  Vigil& vigil = life.vigil;
  if (life.state == State::vacant || !life.pidfd) return std::nullopt;
  if (life.killed) return look_at_dead(slot, now);
  if (life.marked_for_kill) return std::nullopt;
  if (now < vigil.next) return vigil.next;
  Slot::Duty const duty = core_.slots[slot].duty();
  // One that starts, or leaves, has that to do.
  bool const busy = duty.owes || duty.crashes || life.state != State::ready;
  if (!busy || duty.progress != vigil.progress || vigil.next == TimePoint()) {
    bool const debugged = vigil.debugged;
    vigil = Vigil();
    vigil.debugged = debugged;
    if (!busy) return std::nullopt;
    vigil.progress = duty.progress;
    vigil.next = now + vigil_interval;
    vigil.ticks = os::activity_of(life.pidfd.get(), life.pid).main_ticks;
    return vigil.next;
  }
  vigil.next = now + vigil_interval;
  os::Activity const activity = os::activity_of(life.pidfd.get(), life.pid);
  if (!activity.known) return vigil.next;
  if (activity.stopped) {
    vigil.deadlocked = vigil.deep_sleep = 0;
    if (++vigil.stopped >= looks_at_stop) look_at_stop(slot, activity);
    return vigil.next;
  }
  vigil.stopped = 0;
  if (activity.tracer != 0) return vigil.next;
  if (!takes_too_long(slot, now, duty, activity)) look_at_sleep(slot, duty, activity);
  return vigil.next;
}

// A thread of it that had this program, or the template, trace it is waited for by the tracer, or the process is
// never gone. Sooner than such a worker is given up.
std::optional<Dispatcher::TimePoint> Dispatcher::look_at_dead(std::size_t slot, TimePoint now) {
  Life& life = lives_[slot];
  if (now < life.vigil.next) return life.vigil.next;
  // Mostly it is gone before the first look.
  life.vigil.next = now + vigil_interval;
  if (!std::exchange(life.vigil.dead, true)) return life.vigil.next;
  if (life.request_id == 0) {
    os::let_go_traced(life.pid);
  } else if (os::is_held_by_tracer(life.pid)) {
    ask_for_status(slot);  // the template does the same when it buries
  }
  return life.vigil.next;
}

// ---- who is stopped

// A thread of this program, or the template, that has never asked for it: the worker itself has, by PTRACE_TRACEME.
bool Dispatcher::traced_by_us(std::size_t slot, pid_t tracer) const {
  if (tracer == 0) return false;
  pid_t const parent = lives_[slot].request_id == 0 ? ::getpid()
                       : fork_server_               ? fork_server_->pid()
                                                    : 0;
  return parent != 0 && os::is_thread_of(tracer, parent);
}

void Dispatcher::look_at_stop(std::size_t slot, os::Activity const& activity) {
  Life& life = lives_[slot];
  std::string const by = activity.signal == 0 ? "" : " by " + text_of_signal(activity.signal);
  std::string const who = "pool \"" + core_.name + "\": worker " + std::to_string(slot) + " (pid " +
                          std::to_string(life.pid) + ") was stopped" + by;
  if (traced_by_us(slot, activity.tracer)) {
    end_for(
        slot,
        "it was stopped" + by +
            ", traced by the process that started it (PTRACE_TRACEME), which does not continue it");
  } else if (activity.tracer != 0) {
    // A debugger: it knows what it does.
    if (!std::exchange(life.vigil.debugged, true)) {
      core_.log(who + " by process " + std::to_string(activity.tracer) +
                ", which traces it; it is waited for");
    }
  } else if (by_terminal(activity.signal)) {
    // It would do the same again.
    end_for(slot, "it was stopped" + by);
  } else {
    life.vigil.stopped = 0;
    os::signal_group(life.pidfd.get(), life.pid, SIGCONT);
    if (std::has_single_bit(++continued_)) {
      core_.log(who + " while it had something to do, and was continued");
    }
  }
}

// ---- who runs, and does nothing

bool Dispatcher::takes_too_long(std::size_t slot, TimePoint now, Slot::Duty const& duty,
                                os::Activity const& activity) {
  Life const& life = lives_[slot];
  Vigil& vigil = lives_[slot].vigil;
  if (duty.crashes && !activity.dumps_core) {
    if (!vigil.crashes) vigil.crashes = now;
    if (now - *vigil.crashes >= crash_patience) {
      end_for(slot, "it hung while it reported a crash");
      return true;
    }
  } else {
    vigil.crashes.reset();
  }
  bool const leaves_by_itself = duty.exit_hint != channel::ExitHint::none &&
                                duty.exit_hint != channel::ExitHint::retiring && !duty.crashes &&
                                (life.state != State::leaving || life.busy);
  if (!leaves_by_itself) {
    vigil.exits.reset();
    return false;
  }
  if (!vigil.exits) vigil.exits = now;
  if (now - *vigil.exits < core_.options.stop_grace) return false;
  end_for(slot, "it was in the middle of exit() and did not come to its end within " +
                    std::to_string(core_.options.stop_grace.count()) + " ms");
  return true;
}

void Dispatcher::look_at_sleep(std::size_t slot, Slot::Duty const& duty,
                               os::Activity const& activity) {
  Life const& life = lives_[slot];
  Vigil& vigil = lives_[slot].vigil;
  auto const seen = [&vigil](std::uint64_t sleep, unsigned& looks) {
    looks = sleep == 0 ? 0 : sleep == vigil.sleep ? looks + 1 : 1;
    return looks;
  };
  std::uint64_t const locked = os::deadlock_of(life.pid);
  if (seen(locked, vigil.deadlocked) >= looks_at_sleep) {
    return end_for(slot, "all its threads waited for a lock that none of them was left to release");
  }
  // What follows is a matter of the worker's own loop: it has been given something, and has not begun it.
  bool const idles = duty.owes && !duty.runs && duty.exit_hint == channel::ExitHint::none;
  std::uint64_t const sleep = locked != 0 ? locked : idles ? os::main_futex_of(life.pid) : 0;
  unsigned const deep_sleep = locked != 0 || !idles ? 0 : seen(sleep, vigil.deep_sleep);
  if (deep_sleep == 0) vigil.deep_sleep = 0;
  vigil.sleep = sleep;
  bool const asleep = deep_sleep >= looks_at_doze;
  if (asleep && !std::exchange(vigil.nudged, true)) {
    vigil.deep_sleep = 0;
    core_.slots[slot].nudge();
    return;
  }
  bool const spins = idles && activity.main_ticks - vigil.ticks >= max_idle_ticks;
  if (asleep || spins) {
    end_for(slot, std::string("it ") + (spins ? "ran on" : "slept") +
                      " without beginning what it was given");
  }
}

// The dispatcher's part that ends workers and buries them: who has to leave and why, its exit hook, what
// its end means.

void Dispatcher::kill(std::size_t slot, std::string_view why) {
  Life& life = lives_[slot];
  if (life.killed) return;
  life.killed = true;
  // A worker that is still to be forked is ended when it is there.
  if (life.pidfd) send_kill(slot);
  detail::patiently([&] { life.why_killed = why; });
}

void Dispatcher::send_kill(std::size_t slot) {
  Life& life = lives_[slot];
  life.reached = os::signal_group(life.pidfd.get(), life.pid, SIGKILL);
  life.abandoned = std::chrono::steady_clock::now() + kill_patience;
}

// It may have executed a program with another user's rights, or the kernel holds it. Nothing of it can be
// waited for; what it had begun ends here, as at a death.
void Dispatcher::abandon(std::size_t slot) {
  Life& life = lives_[slot];
  if (os::exited(life.pidfd.get())) {  // just now: that is handled next
    life.abandoned += kill_patience;
    return;
  }
  poller_->remove(life.pidfd.get());
  detail::patiently([&] { strays_.reserve(strays_.size() + 1); });
  try {
    strays_.push_back(
        {life.pid, std::move(life.pidfd), life.request_id, life.fork_server_number, life.reached});
    poller_->add(strays_.back().pidfd.get(), key(what_stray, 0), EPOLLIN);
    strays_.back().watched = true;
  } catch (std::exception const&) {  // no memory: it is looked at now and then, or never reaped
  }
  detail::if_possible([&] {
    core_.log("pool \"" + core_.name + "\": worker " + std::to_string(slot) + " (pid " +
              std::to_string(life.pid) + ") does not end on SIGKILL, and is left behind: " +
              (life.reached ? "the kernel does not let it go"
                            : "it may not be signalled (it has become another user's?)"));
  });
  reap(slot, {os::Exit::Kind::none});
}

void Dispatcher::part_with_leaver(std::size_t slot) {
  Life& life = lives_[slot];
  // At the pool's end nobody waits for its place.
  bool const ready = !life.termed && !life.killed && !life.unwatched && !life.busy &&
                     life.why != ExitReason::with_pool &&
                     (!life.exit_handler || life.exit_handler->ended()) &&
                     core_.slots[slot].has_left();
  auto const exiting =
      std::ranges::count_if(strays_, [](Stray const& stray) { return stray.deadline.has_value(); });
  // Processes that exit must not become more and more.
  if (!ready || static_cast<std::size_t>(exiting) >= std::max(seen_wanted_, min_exiting)) return;
  Stray stray{life.pid, {}, life.request_id, life.fork_server_number, true};
  try {
    stray.control = os::duplicate(life.control);
    if (life.output >= 0) stray.output = os::duplicate(life.output);
    strays_.reserve(strays_.size() + 1);
  } catch (std::exception const&) {  // no descriptor, no memory: it keeps its place
    return;
  }
  poller_->remove(life.pidfd.get());
  try {
    poller_->add(life.pidfd.get(), key(what_stray, 0), EPOLLIN);
    stray.watched = true;
  } catch (std::exception const&) {  // it is looked at now and then
  }
  stray.slot = slot;
  stray.pidfd = std::move(life.pidfd);
  stray.cgroup = std::move(life.cgroup);
  stray.deadline = life.deadline;
  strays_.push_back(std::move(stray));
  life.departed = true;
  reap(slot, {os::Exit::Kind::none});
}

void Dispatcher::look_at_strays(TimePoint now, std::optional<TimePoint>& next) {
  auto const at = [&next](TimePoint time) { next = next ? std::min(*next, time) : time; };
  for (Stray& stray : strays_) {
    if (!stray.watched) at(now + unwatched_interval);
    if (!stray.deadline || stray.status_wanted) continue;  // it has ended
    if (now >= *stray.deadline && !os::exited(stray.pidfd.get())) {
      if (!std::exchange(stray.termed, true)) {
        os::signal_group(stray.pidfd.get(), stray.pid, SIGTERM);
        stray.deadline = now + core_.options.stop_grace;
      } else {
        // From here on it is one that was given up.
        stray.reached = os::signal_group(stray.pidfd.get(), stray.pid, SIGKILL);
        stray.deadline.reset();
        at(now);  // from here on the end of the pool does not wait for it
        std::lock_guard const lock(core_.mutex);
        ++core_.summary.forced;
        continue;
      }
    }
    at(*stray.deadline);
  }
  reap_strays();
}

// How it ended, where the last that is known of its place is that it left.
void Dispatcher::note_exit(Stray const& stray, os::Exit const& exit) {
  if (!stray.slot || exit.kind == os::Exit::Kind::unknown) return;
  std::string const name =
      "worker " + std::to_string(*stray.slot) + " (pid " + std::to_string(stray.pid) + ") ";
  std::string const left = name + "left";
  std::lock_guard const lock(core_.mutex);
  std::string& known = core_.per_worker[*stray.slot].last_end;
  if (known.starts_with(left)) known.replace(0, left.size(), name + text_of(exit));
}

bool Dispatcher::reap_strays() {
  std::erase_if(strays_, [this](Stray& stray) {
    if (!os::exited(stray.pidfd.get())) return false;
    // The template's child is reaped there; nobody waits for what it reports.
    auto const order =
        ask_template(stray.request_id, stray.fork_server_number, stray.status_wanted);
    if (order == ForkServerClient::Order::later) {
      poller_->remove(stray.pidfd.get());
      stray.watched = false;  // it is looked at until the template can be asked
      return false;
    }
    if (order == ForkServerClient::Order::nobody) {
      os::Exit const exit = os::reap(stray.pidfd.get(), stray.pid);
      detail::if_possible([&] { note_exit(stray, exit); });
    }
    os::close_socket(std::move(stray.control));
    if (stray.cgroup) {
      stray.cgroup.kill();
      detail::patiently([&] { ended_groups_.push_back(std::move(stray.cgroup)); });
    }
    return true;
  });
  return std::ranges::any_of(strays_, &Stray::reached);
}

bool Dispatcher::spent(std::size_t slot) {
  std::lock_guard const lock(core_.mutex);
  return core_.scheduler.spent(slot);
}

std::optional<Dispatcher::ExitReason> Dispatcher::should_leave(std::size_t slot, TimePoint now,
                                                               std::size_t wanted,
                                                               std::optional<TimePoint>& next) {
  Life const& life = lives_[slot];
  PoolOptions const& options = core_.options;
  if (slot >= wanted) return ExitReason::resized;
  if (life.hung_up) {
    // Should it live on, no large message can come or go: it finishes what it has and is replaced.
    if (now >= *life.hung_up + hang_up_grace) return ExitReason::hung_up;
    next = *life.hung_up + hang_up_grace;
  }
  if (options.max_tasks_per_worker && spent(slot)) return ExitReason::recycled;
  if (core_.slots[slot].retiring()) return ExitReason::recycled;
  if (options.recycle_after) {
    if (now >= life.retires) return ExitReason::recycled;
    next = next ? std::min(*next, life.retires) : life.retires;
  }
  if (options.idle_timeout) {
    std::lock_guard const lock(core_.mutex);
    if (auto const since = core_.scheduler.idle_since(slot)) {
      auto const leaves = detail::later(*since, *options.idle_timeout);
      if (now >= leaves) return ExitReason::idle;
      next = next ? std::min(*next, leaves) : leaves;
    }
  }
  return std::nullopt;
}

void Dispatcher::let_go(std::size_t slot, TimePoint now, ExitReason why) {
  Life& life = lives_[slot];
  change(slot, State::leaving);
  life.why = why;
  life.deadline = detail::later(now, core_.options.stop_grace);
  {
    std::lock_guard const lock(core_.mutex);
    core_.scheduler.worker_leaves(slot);
  }
  core_.revoke(slot);
  core_.place();
  if (core_.options.exit_handler) {
    give_exit_handler(slot);
  } else {
    core_.slots[slot].ask_to_leave();
  }
}

void Dispatcher::await_last_element(std::size_t slot, TimePoint now) {
  Life& life = lives_[slot];
  bool busy = false;
  {
    std::lock_guard const lock(core_.mutex);
    busy = core_.scheduler.held(slot) != 0;
  }
  if (busy || life.busy) life.deadline = detail::later(now, core_.options.stop_grace);
  life.busy = busy;
}

// ---- the exit hook: the last element that a worker gets

void Dispatcher::give_exit_handler(std::size_t slot) {
  Life& life = lives_[slot];
  try {
    Chunk element = exit_handler_element(*core_.options.exit_handler);
    life.exit_handler = element.task;
    // It has no room while what was taken back is under way: tried again.
    if (core_.slots[slot].put(element) == Slot::Put::full) return;
  } catch (std::exception const& error) {
    core_.log("pool \"" + core_.name + "\": the exit hook could not be sent to worker " +
              std::to_string(slot) + ": " + error.what());
    life.exit_handler.reset();
  }
  life.exit_handler_given = true;
  core_.slots[slot].ask_to_leave();
}

void Dispatcher::report_exit_handler(std::size_t slot) {
  Life const& life = lives_[slot];
  if (!life.exit_handler || !life.exit_handler_given) return;
  std::string const where =
      "pool \"" + core_.name + "\": the exit hook of worker " + std::to_string(slot);
  if (!life.exit_handler->ended()) {
    {
      std::lock_guard const lock(core_.mutex);
      if (core_.phase == Phase::killing) return;  // nobody expects it to
    }
    core_.log(where + " had not ended within " + std::to_string(core_.options.stop_grace.count()) +
              " ms");
    return;
  }
  for (detail::Block const& block : life.exit_handler->take()) {
    if (block.kind == detail::Block::Kind::values) continue;
    core_.log(where + " failed: " + describe(detail::reason_of(block, life.exit_handler->id())));
  }
}

bool Dispatcher::remove_groups() {
  std::erase_if(ended_groups_, [](os::Cgroup& group) { return group.remove(); });
  return ended_groups_.empty();
}

void Dispatcher::note_end(std::size_t slot, std::string const& how) {
  Life const& life = lives_[slot];
  std::lock_guard const lock(core_.mutex);
  WorkerStats& stats = core_.per_worker[slot];
  stats.pid = 0;
  detail::if_possible([&] { stats.last_end = how; });
  if (life.state == State::starting || life.state == State::initializing) return;
  bool const asked = life.state == State::leaving;
  if (!asked && core_.phase != Phase::killing) ++core_.counted.worker_deaths;
  if (life.forced) ++core_.summary.forced;
  if (!asked || life.marked_for_kill) return;
  switch (life.why) {
    case ExitReason::recycled:
      ++core_.counted.workers_recycled;
      detail::if_possible([&] { stats.last_end += ", replaced as planned"; });
      break;
    case ExitReason::idle:
      ++core_.counted.workers_left_idle;
      detail::if_possible([&] { stats.last_end += ", having been idle"; });
      break;
    case ExitReason::resized:
      ++core_.counted.workers_resized;
      detail::if_possible([&] { stats.last_end += ", one too many after resize()"; });
      break;
    case ExitReason::with_pool:
    case ExitReason::hung_up: break;
  }
}

void Dispatcher::on_exit(std::size_t slot) {
  Life const& life = lives_[slot];
  // No worker any more, or one that has come since.
  if (life.state == State::vacant || life.fork_pending || life.ended || !life.pidfd) return;
  // A forked worker is the template's child, and its number is its own until the template is asked.
  if (ask_for_status(slot) == ForkServerClient::Order::nobody) {
    reap(slot, os::reap(life.pidfd.get(), life.pid));
  }
}

void Dispatcher::reap(std::size_t slot, os::Exit exit) {
  Life& life = lives_[slot];
  // From the first of these to the last nothing fails: what it held would be nobody's.
  std::string const said = detail::patiently(
      [&] { return life.state == State::starting ? refusal(slot) : std::string(); });
  if (life.pidfd) poller_->remove(life.pidfd.get());
  poller_->remove(life.control);
  poller_->remove(life.event->fd());
  if (life.output >= 0) poller_->remove(life.output);

  Slot::Death death = core_.slots[slot].reap();
  // One that is exiting would be ended by that; who watches it has another.
  if (!life.departed) os::close_socket(std::move(death.control));
  // A spawned one has inherited the mark of the program that it was until it became itself.
  if (exit.peak <= life.inherited_peak) exit.peak = 0;
  ExitReport const exit_report = detail::patiently([&] {
    return ExitReport{core_.name,  static_cast<int>(slot),   life.pid,  exit,
                      death.stage, death.exit_hint,          death.bad, death.poison,
                      death.crash, last_lines(death.output), life.cause};
  });
  State const was = life.state;
  std::exception_ptr const failure = life.failure;
  std::string const text = detail::patiently([&] {
    return life.departed
               ? "worker " + std::to_string(slot) + " (pid " + std::to_string(life.pid) + ") left"
               : exit_report.text();
  });
  life.pidfd.reset();
  life.unwatched = false;
  life.event.reset();
  life.request_id = 0;
  life.ended = false;
  if (life.cgroup) {
    life.cgroup.kill();
    detail::patiently([&] { ended_groups_.push_back(std::move(life.cgroup)); });
  }
  // Before its elements end: whoever waits for one may look at the counters next.
  note_end(slot, text);

  bool const killed_externally = !life.killed && may_be_killed_externally(exit);
  if (was == State::starting) {
    start_failed(slot, detail::patiently([&] {
                   return text + " before its first word" + (said.empty() ? "" : ": " + said);
                 }),
                 nullptr, killed_externally);
    return;
  }
  if (was == State::initializing) {
    // What it threw, if it did; else how its worker ended.
    std::exception_ptr error = failure;
    for (Chunk const& chunk : death.attributed) {
      if (!error) error = detail::patiently([&] { return exit_report.reason(chunk); });
    }
    start_failed(slot, detail::patiently([&] {
                   return text + " in its initializer" + (error ? ": " + describe(error) : "");
                 }),
                 error, killed_externally);
    return;
  }
  bool const asked = was == State::leaving;
  bool const useful = death.useful;
  change(slot, State::vacant);
  core_.resolve_death(slot, std::move(death),
                      [&exit_report](Chunk const& chunk) { return exit_report.reason(chunk); });
  detail::if_possible([&] { report_exit_handler(slot); });
  if (useful) {
    useless_deaths_ = 0;
  } else if (!asked) {
    ++useless_deaths_;
    // The first is replaced at once; a row of them must not become a storm.
    if (useless_deaths_ > 1) {
      delay_spawns(std::chrono::steady_clock::now(), failed_starts_ + useless_deaths_);
    }
  }
  core_.place();
}

}  // namespace procpool::inline v0::parent
