// The dispatcher's part that ends workers and buries them: who has to leave and why, its exit hook, what
// its end means.

#include <signal.h>
#include <sys/epoll.h>

#include <algorithm>
#include <utility>

#include <procpool/detail/deadline.hpp>
#include <procpool/detail/reason.hpp>
#include <procpool/errors.hpp>

#include "engine/local/dispatcher.hpp"
#include "engine/local/dispatcher_keys.hpp"
#include "engine/local/obituary.hpp"
#include "engine/patience.hpp"
#include "os/socket.hpp"

namespace procpool::inline v0::local {
namespace {

using namespace std::chrono_literals;

constexpr auto hang_up_grace = 100ms;
constexpr auto unwatched_interval = 100ms;
constexpr std::size_t least_exiting = 16;

}  // namespace

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
  life.given_up = std::chrono::steady_clock::now() + kill_patience;
}

// It may have executed a program with another user's rights, or the kernel holds it. Nothing of it can be
// waited for; what it had begun ends here, as at a death.
void Dispatcher::give_up(std::size_t slot) {
  Life& life = lives_[slot];
  if (os::exited(life.pidfd.get())) {  // just now: that is handled next
    life.given_up += kill_patience;
    return;
  }
  poller_->remove(life.pidfd.get());
  detail::patiently([&] { strays_.reserve(strays_.size() + 1); });
  try {
    strays_.push_back(
        {life.pid, std::move(life.pidfd), life.ticket, life.template_number, life.reached});
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
  bury(slot, {os::Exit::Kind::none});
}

void Dispatcher::part_with_leaver(std::size_t slot) {
  Life& life = lives_[slot];
  // At the pool's end nobody waits for its place.
  bool const ready = !life.termed && !life.killed && !life.unwatched && !life.busy &&
                     life.why != Leaves::with_pool &&
                     (!life.exit_hook || life.exit_hook->ended()) && core_.slots[slot].has_left();
  auto const exiting =
      std::ranges::count_if(strays_, [](Stray const& stray) { return stray.deadline.has_value(); });
  // Processes that exit must not become more and more.
  if (!ready || static_cast<std::size_t>(exiting) >= std::max(seen_wanted_, least_exiting)) return;
  Stray stray{life.pid, {}, life.ticket, life.template_number, true};
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
  bury(slot, {os::Exit::Kind::none});
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
    auto const order = ask_template(stray.ticket, stray.template_number, stray.status_wanted);
    if (order == Forkserver::Order::later) {
      poller_->remove(stray.pidfd.get());
      stray.watched = false;  // it is looked at until the template can be asked
      return false;
    }
    if (order == Forkserver::Order::nobody) {
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

std::optional<Dispatcher::Leaves> Dispatcher::should_leave(std::size_t slot, TimePoint now,
                                                           std::size_t wanted,
                                                           std::optional<TimePoint>& next) {
  Life const& life = lives_[slot];
  PoolOptions const& options = core_.options;
  if (slot >= wanted) return Leaves::resized;
  if (life.hung_up) {
    // Should it live on, no large message can come or go: it finishes what it has and is replaced.
    if (now >= *life.hung_up + hang_up_grace) return Leaves::hung_up;
    next = *life.hung_up + hang_up_grace;
  }
  if (options.max_tasks_per_worker && spent(slot)) return Leaves::recycled;
  if (core_.slots[slot].retiring()) return Leaves::recycled;
  if (options.recycle_after) {
    if (now >= life.retires) return Leaves::recycled;
    next = next ? std::min(*next, life.retires) : life.retires;
  }
  if (options.idle_timeout) {
    std::lock_guard const lock(core_.mutex);
    if (auto const since = core_.scheduler.idle_since(slot)) {
      auto const leaves = detail::later(*since, *options.idle_timeout);
      if (now >= leaves) return Leaves::idle;
      next = next ? std::min(*next, leaves) : leaves;
    }
  }
  return std::nullopt;
}

void Dispatcher::let_go(std::size_t slot, TimePoint now, Leaves why) {
  Life& life = lives_[slot];
  change(slot, State::leaving);
  life.why = why;
  life.deadline = detail::later(now, core_.options.stop_grace);
  {
    std::lock_guard const lock(core_.mutex);
    core_.scheduler.worker_leaves(slot);
  }
  core_.take_back(slot);
  core_.place();
  if (core_.options.exit_hook) {
    give_exit_hook(slot);
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

void Dispatcher::give_exit_hook(std::size_t slot) {
  Life& life = lives_[slot];
  try {
    Chunk element = hook_element(*core_.options.exit_hook);
    life.exit_hook = element.task;
    // It has no room while what was taken back is under way: tried again.
    if (core_.slots[slot].put(element) == Slot::Put::full) return;
  } catch (std::exception const& error) {
    core_.log("pool \"" + core_.name + "\": the exit hook could not be sent to worker " +
              std::to_string(slot) + ": " + error.what());
    life.exit_hook.reset();
  }
  life.hook_given = true;
  core_.slots[slot].ask_to_leave();
}

void Dispatcher::report_exit_hook(std::size_t slot) {
  Life const& life = lives_[slot];
  if (!life.exit_hook || !life.hook_given) return;
  std::string const where =
      "pool \"" + core_.name + "\": the exit hook of worker " + std::to_string(slot);
  if (!life.exit_hook->ended()) {
    {
      std::lock_guard const lock(core_.mutex);
      if (core_.phase == Phase::killing) return;  // nobody expects it to
    }
    core_.log(where + " had not ended within " + std::to_string(core_.options.stop_grace.count()) +
              " ms");
    return;
  }
  for (detail::Block const& block : life.exit_hook->take()) {
    if (block.kind == detail::Block::Kind::values) continue;
    core_.log(where + " failed: " + describe(detail::reason_of(block, life.exit_hook->id())));
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
  if (!asked || life.condemned) return;
  switch (life.why) {
    case Leaves::recycled:
      ++core_.counted.workers_recycled;
      detail::if_possible([&] { stats.last_end += ", replaced as planned"; });
      break;
    case Leaves::idle:
      ++core_.counted.workers_left_idle;
      detail::if_possible([&] { stats.last_end += ", having been idle"; });
      break;
    case Leaves::resized:
      ++core_.counted.workers_resized;
      detail::if_possible([&] { stats.last_end += ", one too many after resize()"; });
      break;
    case Leaves::with_pool:
    case Leaves::hung_up: break;
  }
}

void Dispatcher::on_exit(std::size_t slot) {
  Life const& life = lives_[slot];
  // No worker any more, or one that has come since.
  if (life.state == State::vacant || life.unborn || life.ended || !life.pidfd) return;
  // A forked worker is the template's child, and its number is its own until the template is asked.
  if (ask_for_status(slot) == Forkserver::Order::nobody) {
    bury(slot, os::reap(life.pidfd.get(), life.pid));
  }
}

void Dispatcher::bury(std::size_t slot, os::Exit exit) {
  Life& life = lives_[slot];
  // From the first of these to the last nothing fails: what it held would be nobody's.
  std::string const said = detail::patiently(
      [&] { return life.state == State::starting ? refusal(slot) : std::string(); });
  if (life.pidfd) poller_->remove(life.pidfd.get());
  poller_->remove(life.control);
  poller_->remove(life.event->fd());
  if (life.output >= 0) poller_->remove(life.output);

  Slot::Death death = core_.slots[slot].bury();
  // One that is exiting would be ended by that; who watches it has another.
  if (!life.departed) os::close_socket(std::move(death.control));
  // A spawned one has inherited the mark of the program that it was until it became itself.
  if (exit.peak <= life.inherited_peak) exit.peak = 0;
  Obituary const obituary = detail::patiently([&] {
    return Obituary{core_.name,  static_cast<int>(slot),   life.pid,  exit,
                    death.stage, death.farewell,           death.bad, death.weary,
                    death.crash, last_lines(death.output), life.cause};
  });
  State const was = life.state;
  std::exception_ptr const failure = life.failure;
  std::string const text = detail::patiently([&] {
    return life.departed
               ? "worker " + std::to_string(slot) + " (pid " + std::to_string(life.pid) + ") left"
               : obituary.text();
  });
  life.pidfd.reset();
  life.unwatched = false;
  life.event.reset();
  life.ticket = 0;
  life.ended = false;
  if (life.cgroup) {
    life.cgroup.kill();
    detail::patiently([&] { ended_groups_.push_back(std::move(life.cgroup)); });
  }
  // Before its elements end: whoever waits for one may look at the counters next.
  note_end(slot, text);

  bool const shot = !life.killed && may_be_shot(exit);
  if (was == State::starting) {
    start_failed(slot, detail::patiently([&] {
                   return text + " before its first word" + (said.empty() ? "" : ": " + said);
                 }),
                 nullptr, shot);
    return;
  }
  if (was == State::initializing) {
    // What it threw, if it did; else how its worker ended.
    std::exception_ptr error = failure;
    for (Chunk const& chunk : death.charged) {
      if (!error) error = detail::patiently([&] { return obituary.reason(chunk); });
    }
    start_failed(slot, detail::patiently([&] {
                   return text + " in its initializer" + (error ? ": " + describe(error) : "");
                 }),
                 error, shot);
    return;
  }
  bool const asked = was == State::leaving;
  bool const useful = death.useful;
  change(slot, State::vacant);
  core_.settle_death(slot, std::move(death),
                     [&obituary](Chunk const& chunk) { return obituary.reason(chunk); });
  detail::if_possible([&] { report_exit_hook(slot); });
  if (useful) {
    useless_deaths_ = 0;
  } else if (!asked) {
    ++useless_deaths_;
    // The first is replaced at once; a row of them must not become a storm.
    if (useless_deaths_ > 1) {
      put_off_births(std::chrono::steady_clock::now(), failed_starts_ + useless_deaths_);
    }
  }
  core_.place();
}

}  // namespace procpool::inline v0::local
