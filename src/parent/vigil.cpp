// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#include "parent/vigil.hpp"

#include <signal.h>

#include <utility>

#include "parent/exit_report.hpp"

namespace procpool::inline v0_1::parent {
namespace {

using namespace std::chrono_literals;

constexpr auto look_interval = 250ms;
// Looks in a row that show the same.
constexpr unsigned looks_at_stop = 3;
constexpr unsigned looks_at_deadlock = 4;
constexpr unsigned looks_at_sleep = 3;         // before a nudge, and again after it
constexpr std::uint64_t max_idle_ticks = 500;  // five seconds, for what takes microseconds
// From the crash handler's first word on. The handler ends itself after two seconds.
constexpr auto crash_grace = 3s;

bool is_of_terminal(int signal) { return signal == SIGTTOU || signal == SIGTTIN; }

// Counts the looks in a row at which a process sleeps on the same.
void count_sleep(std::uint64_t sleep, std::uint64_t before, unsigned& looks) {
  looks = sleep == 0 ? 0 : sleep == before ? looks + 1 : 1;
}

}  // namespace

Vigil::Decision Vigil::look(TimePoint now, Duty const& duty, Process const& process) {
  if (!duty.due || duty.progress != streak_.progress || streak_.next == TimePoint()) {
    streak_ = Streak();
    if (!duty.due) return {};
    streak_.progress = duty.progress;
    streak_.next = now + look_interval;
    streak_.ticks = process.activity().main_ticks;
    return {};
  }
  streak_.next = now + look_interval;
  os::Activity const activity = process.activity();
  if (!activity.known) return {};
  if (activity.stopped) {
    streak_.deadlocked = streak_.asleep = 0;
    return ++streak_.stopped >= looks_at_stop ? look_at_stop(activity, process) : Decision();
  }
  streak_.stopped = 0;
  if (activity.tracer != 0) return {};
  if (auto const decision = look_at_exit(now, duty, activity)) return *decision;
  return look_at_sleep(duty, activity, process);
}

Vigil::Decision Vigil::look_at_stop(os::Activity const& activity, Process const& process) {
  std::string const by = activity.signal == 0 ? "" : " by " + text_of_signal(activity.signal);
  if (activity.tracer != 0 && process.traced_by_parent(activity.tracer)) {
    return {Decision::Action::kill,
            "it was stopped" + by +
                ", traced by the process that started it (PTRACE_TRACEME), which does not continue "
                "it"};
  }
  if (activity.tracer != 0) {
    // A debugger, which knows what it does.
    if (std::exchange(debugger_reported_, true)) return {};
    return {Decision::Action::report, "was stopped" + by + " by process " +
                                          std::to_string(activity.tracer) +
                                          ", which traces it; it is waited for"};
  }
  // After a SIGCONT it would do the same again.
  if (is_of_terminal(activity.signal)) return {Decision::Action::kill, "it was stopped" + by};
  streak_.stopped = 0;
  return {Decision::Action::resume,
          "was stopped" + by + " while it had something to do, and was continued"};
}

std::optional<Vigil::Decision> Vigil::look_at_exit(TimePoint now, Duty const& duty,
                                                   os::Activity const& activity) {
  if (duty.crashes && !activity.dumps_core) {
    if (!streak_.crashes_since) streak_.crashes_since = now;
    if (now - *streak_.crashes_since >= crash_grace) {
      return Decision{Decision::Action::kill, "it hung while it reported a crash"};
    }
  } else {
    streak_.crashes_since.reset();
  }
  bool const exits_unasked = duty.exit_hint != channel::ExitHint::none &&
                             duty.exit_hint != channel::ExitHint::retiring && !duty.crashes &&
                             !duty.exits;
  if (!exits_unasked) {
    streak_.exits_since.reset();
    return std::nullopt;
  }
  if (!streak_.exits_since) streak_.exits_since = now;
  if (now - *streak_.exits_since < exit_grace_) return std::nullopt;
  return Decision{Decision::Action::kill,
                  "it was in the middle of exit() and did not come to its end within " +
                      std::to_string(exit_grace_.count()) + " ms"};
}

Vigil::Decision Vigil::look_at_sleep(Duty const& duty, os::Activity const& activity,
                                     Process const& process) {
  std::uint64_t const before = streak_.sleep;
  std::uint64_t const deadlock = process.deadlock();
  count_sleep(deadlock, before, streak_.deadlocked);
  if (streak_.deadlocked >= looks_at_deadlock) {
    return {Decision::Action::kill,
            "all its threads waited for a lock that none of them was left to release"};
  }
  // The rest is a matter of the worker's own loop: it was given an element, and has not begun it.
  bool const idles = duty.owes && !duty.runs && duty.exit_hint == channel::ExitHint::none;
  streak_.sleep = deadlock != 0 ? deadlock : idles ? process.main_futex() : 0;
  if (deadlock != 0 || !idles) {
    streak_.asleep = 0;
  } else {
    count_sleep(streak_.sleep, before, streak_.asleep);
  }
  bool const asleep = streak_.asleep >= looks_at_sleep;
  if (asleep && !std::exchange(streak_.nudged, true)) {
    streak_.asleep = 0;
    return {Decision::Action::nudge};
  }
  bool const spins = idles && activity.main_ticks - streak_.ticks >= max_idle_ticks;
  if (!asleep && !spins) return {};
  return {Decision::Action::kill, std::string("it ") + (spins ? "ran on" : "slept") +
                                      " without beginning what it was given"};
}

}  // namespace procpool::inline v0_1::parent
