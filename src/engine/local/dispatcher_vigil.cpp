// The dispatcher's part that looks after workers which do not get on though they have something to do: those
// that are stopped, those that wait for what cannot come any more, those that have damaged themselves so that they
// do nothing. None of them ends by itself, so its pidfd says nothing of it.
//
// A worker that computes for a year looks like one that is lost in a loop, and is left alone. What is ended here is
// certain, by what the system says of it, at several looks in a row. Looks are counted, and not time: this process
// may have been stopped as well.

#include <signal.h>

#include <bit>
#include <string>
#include <utility>

#include "engine/local/dispatcher.hpp"
#include "engine/local/obituary.hpp"

namespace procpool::inline v0::local {
namespace {

using namespace std::chrono_literals;

constexpr auto look_interval = 250ms;
// So many looks in a row that show the same.
constexpr unsigned looks_at_stop = 3;   // about a second
constexpr unsigned looks_at_sleep = 4;  // the same
constexpr unsigned looks_at_doze =
    3;  // though it has something to do; and again, once it was woken
// Of the processor, for what is a matter of microseconds.
constexpr std::uint64_t most_idle_ticks = 500;  // five seconds
// From the handler's first word; it ends itself after two.
constexpr auto crash_patience = 3s;

bool by_terminal(int signal) { return signal == SIGTTOU || signal == SIGTTIN; }

}  // namespace

void Dispatcher::end_for(std::size_t slot, std::string cause) {
  lives_[slot].cause = cause;
  kill(slot, std::move(cause));
}

std::optional<Dispatcher::TimePoint> Dispatcher::look_after(std::size_t slot, TimePoint now) {
  Life& life = lives_[slot];
  Vigil& vigil = life.vigil;
  if (life.state == State::vacant || !life.pidfd) return std::nullopt;
  if (life.killed) return look_at_dead(slot, now);
  if (life.condemned) return std::nullopt;
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
    vigil.next = now + look_interval;
    vigil.ticks = os::activity_of(life.pidfd.get(), life.pid).main_ticks;
    return vigil.next;
  }
  vigil.next = now + look_interval;
  os::Activity const activity = os::activity_of(life.pidfd.get(), life.pid);
  if (!activity.known) return vigil.next;
  if (activity.stopped) {
    vigil.deadlocked = vigil.dozing = 0;
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
  life.vigil.next = now + look_interval;
  if (!std::exchange(life.vigil.dead, true)) return life.vigil.next;
  if (life.ticket == 0) {
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
  pid_t const parent = lives_[slot].ticket == 0 ? ::getpid() : forkserver_ ? forkserver_->pid() : 0;
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
  bool const leaves_by_itself = duty.farewell != channel::Farewell::none &&
                                duty.farewell != channel::Farewell::retiring && !duty.crashes &&
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
  bool const idles = duty.owes && !duty.runs && duty.farewell == channel::Farewell::none;
  std::uint64_t const sleep = locked != 0 ? locked : idles ? os::main_futex_of(life.pid) : 0;
  unsigned const dozing = locked != 0 || !idles ? 0 : seen(sleep, vigil.dozing);
  if (dozing == 0) vigil.dozing = 0;
  vigil.sleep = sleep;
  bool const asleep = dozing >= looks_at_doze;
  if (asleep && !std::exchange(vigil.nudged, true)) {
    vigil.dozing = 0;
    core_.slots[slot].nudge();
    return;
  }
  bool const spins = idles && activity.main_ticks - vigil.ticks >= most_idle_ticks;
  if (asleep || spins) {
    end_for(slot, std::string("it ") + (spins ? "ran on" : "slept") +
                      " without beginning what it was given");
  }
}

}  // namespace procpool::inline v0::local
