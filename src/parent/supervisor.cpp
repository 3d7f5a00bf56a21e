// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#include "parent/supervisor.hpp"

#include <sys/epoll.h>
#include <sys/prctl.h>

#include <algorithm>
#include <array>
#include <exception>
#include <thread>
#include <utility>
#include <variant>

#include "engine/patience.hpp"
#include "parent/poll_keys.hpp"

namespace procpool::inline v0_1::parent {
namespace {

using namespace std::chrono_literals;

constexpr auto balance_interval = 2ms;
constexpr auto cgroup_interval = 10ms;
constexpr auto leftovers_timeout = 1s;
constexpr std::chrono::microseconds memory_interval = 1ms;
// A tick starts few workers, so that exits and outcomes need not wait. The fork server makes its
// workers beside this thread.
constexpr int max_spawns_per_tick = 1;
constexpr int max_forks_per_tick = 8;

// The usual slack of a timer is as long as a short poll. Restored at once, since workers inherit
// it.
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

Supervisor::Supervisor(Core& core, std::vector<std::string> environment,
                       entry::WorkerProgram program)
    : core_(core),
      launcher_(core, std::move(environment), std::move(program)),
      fork_server_(core, poller_, launcher_),
      strays_(core, poller_, fork_server_, cgroups_),
      services_{core, poller_, launcher_, fork_server_, strays_, cgroups_, backoff_, lines_},
      wanted_(core.wanted_workers()) {
  poller_.add(core_.wake.fd(), key(what_wake, 0), EPOLLIN);
  poller_.add(core_.look_timer.fd(), key(what_look, 0), EPOLLIN);
  make_live_view();
}

void Supervisor::make_live_view() noexcept {
  try {
    live_view_.emplace(core_);
    poller_.add(live_view_->fd(), key(what_live_view, 0), EPOLLIN | EPOLLET);
  } catch (std::exception const&) {
    live_view_.reset();
  }
}

// ---- the loop

template <class Body>
void Supervisor::attempt(Body&& body) noexcept {
  try {
    body();
  } catch (std::exception const&) {
    core_.check_open(poller_.fd());
    out_of_memory_ = true;
    detail::Reserve::use();
  }
}

void Supervisor::run() {
  reserve_.hold();
  for (bool ended = false;;) {
    reserve_.renew();
    TimePoint const now = std::chrono::steady_clock::now();
    attempt([&] { ended = advance_end(now); });
    if (ended) break;
    std::optional<std::chrono::microseconds> timeout;
    attempt([&] { timeout = tick(now); });
    sleep(timeout);
  }
  services_.deaths.finish();
  core_.close_memory();
  fork_server_.end();
  wait_for_leftovers();
  core_.set_ended();
}

void Supervisor::wait_for_leftovers() {
  auto end = std::chrono::steady_clock::now() + leftovers_timeout;
  auto const any = [&] {
    auto const now = std::chrono::steady_clock::now();
    std::size_t const before = lines_.waiting();
    bool const unwritten = lines_.flush(now).has_value();
    // A slow reader gets all of it. One that takes nothing does not hold up the end.
    if (lines_.waiting() != before) end = now + leftovers_timeout;
    return !cgroups_.sweep() || strays_.reap() || unwritten;
  };
  while (any() && std::chrono::steady_clock::now() < end) {
    std::this_thread::sleep_for(1ms);
  }
  if (std::size_t const lost = lines_.waiting(); lost != 0) {
    detail::if_possible([&] {
      core_.log("pool \"" + core_.name + "\" has ended, and " + std::to_string(lost) +
                " bytes of what its workers wrote are lost: the program's own output took nothing "
                "for a second");
    });
  }
}

std::optional<std::chrono::microseconds> Supervisor::tick(TimePoint now) {
  NextLook next;
  std::size_t const wanted = core_.wanted_workers();
  // There are at least as many slots as workers were wanted at any time before.
  while (workers_.size() < core_.slots.size()) workers_.emplace_back(workers_.size(), services_);
  bool const grown = wanted > std::exchange(wanted_, wanted);
  if (grown && !core_.slots_are_dedicated()) {
    // A part of what some workers hold is for the new ones now.
    core_.revoke_all();
    core_.place();
  }
  next.at(core_.watch_stops(now));
  next.at(core_.watch_deadlines(now));
  next.at(core_.trimmer->look(now));
  tick_fork_server(now, next);
  for (WorkerProxy& worker : workers_) next.at(worker.tick(now, wanted));
  if (!cgroups_.sweep()) next.at(now + cgroup_interval);
  next.at(strays_.tick(now));
  next.at(lines_.flush(now));
  next.at(services_.deaths.flush(now));
  start_workers(now, next);
  if (core_.balance()) next.at(now + balance_interval);
  Core::Sleep const sleep = core_.prepare_sleep();
  next.at(sleep.end_deadline);
  sleep_ = IdlePolicy::next_sleep(std::exchange(taken_, 0), !sleep.deep);
  if (sleep_ == IdlePolicy::Sleep::watching) next.at(now + IdlePolicy::look_interval);
  if (!next.time()) return std::nullopt;
  auto const wait = std::chrono::ceil<std::chrono::milliseconds>(*next.time() - now);
  return std::max(wait, std::chrono::milliseconds::zero());
}

void Supervisor::start_workers(TimePoint now, NextLook& next) {
  int starts = fork_server_.forks() ? max_forks_per_tick : max_spawns_per_tick;
  for (; core_.wants_worker(); --starts) {
    if (fork_server_.busy()) break;  // its answer wakes this thread
    if (starts == 0 || now < backoff_.next_start()) {
      next.at(std::max(now, backoff_.next_start()));
      break;
    }
    auto const place = core_.choose_vacant(
        wanted_, [&](std::size_t index) { return workers_[index].may_start(now); });
    if (!place) break;
    workers_[*place].start();
  }
}

void Supervisor::sleep(std::optional<std::chrono::microseconds> timeout) {
  bool const short_polls = sleep_ == IdlePolicy::Sleep::short_poll;
  std::size_t const taken = taken_;
  attempt([&] { short_polls ? prepare_short_poll() : prepare_sleep(); });
  // A worker whose last outcome came meanwhile may have to leave: that is up to the next tick.
  if (taken_ != taken) timeout = std::chrono::microseconds::zero();
  bool const out_of_memory = std::exchange(out_of_memory_, false);
  if (out_of_memory) timeout = std::min(timeout.value_or(memory_interval), memory_interval);
  std::array<os::Ready, 64> ready{};
  std::size_t count = 0;
  attempt([&] {
    if (short_polls) {
      PreciseTimer const precise;
      count = poller_.wait(
          ready, std::min(timeout.value_or(IdlePolicy::short_poll), IdlePolicy::short_poll));
    } else {
      count = poller_.wait(ready, timeout);
    }
  });
  for (std::size_t i = 0; i < count; ++i) attempt([&] { handle(ready[i]); });
  if (short_polls || count == 0 || out_of_memory) attempt([&] { look_at_everything(); });
}

// A worker that has notified this thread is asked to do so again only here, before the next sleep.
void Supervisor::prepare_sleep() {
  for (WorkerProxy& worker : workers_) {
    while (!worker.park(next_sleep())) look(worker);
  }
}

void Supervisor::prepare_short_poll() {
  for (WorkerProxy& worker : workers_) {
    if (!worker.begin_short_poll(next_sleep())) look(worker);
  }
}

std::uint32_t Supervisor::next_sleep() noexcept {
  sleep_number_ = (sleep_number_ + 1) & ~channel::short_poll;
  if (sleep_number_ == 0) sleep_number_ = 1;
  return sleep_number_;
}

void Supervisor::look_at_everything() {
  for (WorkerProxy& worker : workers_) look(worker);
}

void Supervisor::handle(os::Ready const& ready) {
  std::size_t const index = slot_of(ready.key);
  switch (what_of(ready.key)) {
    case what_wake: core_.wake.drain(); break;
    case what_event: look(workers_[index]); break;
    case what_control: workers_[index].on_control(); break;
    case what_exit: workers_[index].on_exit(); break;
    case what_output: workers_[index].on_output(); break;
    case what_fork_server: on_fork_server(); break;
    case what_stray: strays_.reap(); break;
    case what_live_view: live_view_->answer(); break;
    case what_look:
      core_.look_timer.drain();
      look_at_everything();
      break;
  }
}

// ---- the fork server

void Supervisor::tick_fork_server(TimePoint now, NextLook& next) {
  if (auto const loss = fork_server_.look(now)) {
    on_loss(*loss);
    next.at(now);  // the end of the pool may have waited for what has ended by that
  }
  next.at(fork_server_.deadline());
}

void Supervisor::on_fork_server() {
  while (auto event = fork_server_.next()) {
    if (auto const* const loss = std::get_if<ForkServerClient::Loss>(&*event)) {
      on_loss(*loss);
    } else {
      on_report(std::get<ForkServerProcess::Forked>(std::move(*event)));
    }
  }
}

void Supervisor::on_report(ForkServerProcess::Forked forked) {
  protocol::ForkReport const& report = forked.report;
  auto const worker = std::ranges::find(workers_, report.request_id, &WorkerProxy::request_id);
  if (worker == workers_.end()) return;  // a stray, or an unknown worker
  switch (report.kind) {
    case protocol::ForkReport::Kind::forked:
      worker->on_forked({report.pid, std::move(forked.pidfd)});
      break;
    case protocol::ForkReport::Kind::failed:
      worker->on_not_forked(detail::patiently([&] {
        return "worker " + std::to_string(worker - workers_.begin()) +
               " could not be made: " + report.reason;
      }));
      break;
    case protocol::ForkReport::Kind::unfit:
      worker->on_not_forked({});
      fork_server_.end_useless(std::ranges::any_of(workers_, &WorkerProxy::fork_pending));
      break;
    case protocol::ForkReport::Kind::reaped: worker->on_reaped(report.exit); break;
  }
}

void Supervisor::on_loss(ForkServerClient::Loss const& loss) {
  // A fork server that does not come up is one failed start, however many workers waited for it.
  // Dedicated workers are spawned then. If they cannot be, each of them has failed.
  bool const dedicated = core_.slots_are_dedicated();
  bool reported = loss.came_up || (dedicated && !core_.options.start.preload);
  for (WorkerProxy& worker : workers_) {
    if (worker.fork_pending()) {
      bool const report = !worker.fork_cancelled() && !reported;
      reported = reported || (report && !dedicated);
      worker.on_not_forked(report ? loss.how : std::string(), loss.failure, loss.error);
    } else {
      worker.on_fork_server_lost();
    }
  }
  backoff_.fork_server_lost(std::chrono::steady_clock::now(), loss.useless_in_a_row);
}

// It may load for a long time what nobody needs any more.
void Supervisor::abandon_fork_server() {
  auto const is_wanted = [](WorkerProxy const& worker) {
    return worker.fork_pending() && !worker.fork_cancelled();
  };
  if (!fork_server_.starts() || std::ranges::any_of(workers_, is_wanted)) return;
  fork_server_.end();
  for (WorkerProxy& worker : workers_) worker.on_not_forked({});
}

// ---- the end

bool Supervisor::advance_end(TimePoint now) {
  Core::EndState const end = core_.advance_end(now);
  if (end.phase == Phase::open) return false;
  if (end.phase == Phase::killing && !std::exchange(killing_begun_, true)) {
    core_.cancel_waiting();
    for (WorkerProxy& worker : workers_) worker.terminate();
    strays_.hurry(now);
  }
  if (end.phase == Phase::cancelling && !std::exchange(cancelling_begun_, true)) {
    core_.cancel_waiting();
    core_.revoke_all();
  }
  if (!end.drained && end.phase != Phase::killing) return false;
  for (WorkerProxy& worker : workers_) worker.leave_with_pool(now);
  abandon_fork_server();
  // Elements of a worker that is gone may be in another thread's hands, which delivers them.
  return end.delivered && std::ranges::all_of(workers_, &WorkerProxy::vacant) &&
         !strays_.any_exiting();
}

}  // namespace procpool::inline v0_1::parent
