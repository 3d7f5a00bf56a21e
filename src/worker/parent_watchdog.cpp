// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#include "worker/parent_watchdog.hpp"

#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdint>
#include <system_error>

#include "os/liveness_pipe.hpp"
#include "os/process.hpp"

namespace procpool::inline v0_1::worker {
namespace {

constexpr int look_ms = 100;

// Each thread has a death signal of its own, which the kernel sends when the parent's dispatcher
// ends. That of the watchdog ends the group: SIGKILL itself would end the worker and leave the
// processes that it has started. That of the task's thread continues a stopped worker, which runs
// no handler and whose watchdog sees nothing. It is armed before any task can stop the worker.
int death_signal() { return SIGRTMAX; }

int cgroup_kill_file = -1;  // a write to it ends the control group

[[noreturn]] void end_group() {
  // Also the processes that have left the process group.
  if (cgroup_kill_file >= 0) static_cast<void>(!::write(cgroup_kill_file, "1", 1));
  // The worker leads its group. If a task has moved it to another group, it alone ends.
  if (::getpgrp() == ::getpid()) ::kill(0, SIGKILL);
  ::kill(::getpid(), SIGKILL);
  for (;;) ::pause();
}

void on_death_signal(int) { end_group(); }

// Needs no descriptor.
bool is_gone(Parent const& parent) noexcept {
  if (parent.is_parent) return ::getppid() != parent.pid;
  // The pid may have passed to another process, which began later.
  return os::start_time(parent.pid) != parent.began;
}

struct Watched {
  Parent parent;
  int parent_pidfd;
  int control;
};

void* watch(void* given) {
  auto const [parent, parent_pidfd, control] = *static_cast<Watched const*>(given);
  // This thread takes it, whatever signals the task's thread blocks.
  sigset_t death;
  sigemptyset(&death);
  sigaddset(&death, death_signal());
  pthread_sigmask(SIG_UNBLOCK, &death, nullptr);
  if (parent.is_parent) ::prctl(PR_SET_PDEATHSIG, death_signal());
  std::array<pollfd, 2> watched{};
  watched[0] = {parent_pidfd, POLLIN, 0};
  watched[1] = {control, 0, 0};  // poll() always reports a hang-up
  for (;;) {
    if (parent.is_parent && is_gone(parent)) end_group();
    int const count = ::poll(watched.data(), watched.size(), -1);
    if (count < 0 && errno != EINTR) {  // the kernel lacks memory for a moment
      timespec const pause{0, look_ms * 1'000'000L};
      ::nanosleep(&pause, nullptr);
    }
    if (count <= 0) continue;
    if ((watched[0].revents & POLLIN) != 0) end_group();
    // A hang-up while the parent lives: it has closed its end, because it gave this worker up.
    if ((watched[1].revents & (POLLHUP | POLLERR)) != 0) end_group();
    if (((watched[0].revents | watched[1].revents) & POLLNVAL) != 0) {
      // A task has closed the descriptors. Its result is still wanted, so go on without them.
      for (;;) {
        if (is_gone(parent)) end_group();
        timespec const pause{0, look_ms * 1'000'000L};
        ::nanosleep(&pause, nullptr);
      }
    }
  }
}

void catch_death_signal() noexcept {
  struct sigaction action{};
  action.sa_handler = on_death_signal;
  action.sa_flags = SA_RESTART;
  ::sigaction(death_signal(), &action, nullptr);
}

}  // namespace

void refuse_terminal_stops() noexcept {
  for (int const signal : {SIGTTOU, SIGTTIN, SIGTSTP}) {
    struct sigaction action{};
    if (::sigaction(signal, nullptr, &action) != 0 || (action.sa_flags & SA_SIGINFO) != 0 ||
        action.sa_handler != SIG_DFL) {
      continue;
    }
    action.sa_handler = SIG_IGN;
    ::sigaction(signal, &action, nullptr);
  }
}

void follow_parent(int control) noexcept {
  refuse_terminal_stops();
  catch_death_signal();
  ::prctl(PR_SET_PDEATHSIG, death_signal());
  // The parent may have died before the signal was armed. A process closes its descriptors before
  // it is gone.
  pollfd hung_up{control, 0, 0};
  if (::poll(&hung_up, 1, 0) > 0 && (hung_up.revents & (POLLHUP | POLLERR)) != 0) end_group();
}

void watch_parent(Parent parent, int parent_pidfd, int control, int liveness_pipe,
                  int cgroup_kill) {
  cgroup_kill_file = cgroup_kill;
  // Both once more: static initialisers may have changed the signals.
  catch_death_signal();
  refuse_terminal_stops();
  // A forked worker would get it when the fork server dies, which does not concern the worker.
  if (parent.is_parent) {
    ::prctl(PR_SET_PDEATHSIG, SIGCONT);
    // The parent may have died before the signal was armed.
    if (is_gone(parent)) end_group();
  }
  // The kernel would not end a control group. The worker must live to do that.
  if (liveness_pipe >= 0 && cgroup_kill < 0 && !os::hang_on(liveness_pipe)) end_group();
  // Signals for the process go to the task's thread.
  sigset_t all;
  sigset_t before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  // Not std::thread: its symbol would be bound lazily, anew in each forked worker.
  static Watched watched;
  watched = {parent, parent_pidfd, control};
  pthread_t thread{};
  int const error = ::pthread_create(&thread, nullptr, watch, &watched);
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  if (error != 0) {
    throw std::system_error(error, std::generic_category(),
                            "the worker could not start the thread that it needs");
  }
  ::pthread_detach(thread);
}

}  // namespace procpool::inline v0_1::worker
