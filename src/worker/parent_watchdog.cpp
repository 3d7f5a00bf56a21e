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

namespace procpool::inline v0::worker {
namespace {

constexpr int look_ms = 100;

// Each thread has a death signal of its own, which the kernel sends when the parent's dispatcher ends.
// That of the watch ends the group: SIGKILL itself would end the worker and leave what it has started.
// That of the task's thread continues a worker that is stopped, because such a one runs no handler and
// its watch sees nothing; it is armed before any task can stop the worker.
int death_signal() { return SIGRTMAX; }

int cgroup_kill_file = -1;  // whoever writes there ends the control group

[[noreturn]] void end_group() {
  // What has left the process group too.
  if (cgroup_kill_file >= 0) static_cast<void>(!::write(cgroup_kill_file, "1", 1));
  // The worker leads its group; should it have been moved to another, it alone ends.
  if (::getpgrp() == ::getpid()) ::kill(0, SIGKILL);
  ::kill(::getpid(), SIGKILL);
  for (;;) ::pause();
}

void on_death_signal(int) { end_group(); }

// Asked without a descriptor.
bool is_gone(Parent const& parent) noexcept {
  if (parent.is_parent) return ::getppid() != parent.pid;
  // A number may pass to another process; that began later.
  return os::start_time(parent.pid) != parent.began;
}

struct Watched {
  Parent parent;
  int parent_pidfd;
  int control;
};

void* watch(void* given) {
  auto const [parent, parent_pidfd, control] = *static_cast<Watched const*>(given);
  // Taken by this thread, whatever signals the task's own thread blocks.
  sigset_t death;
  sigemptyset(&death);
  sigaddset(&death, death_signal());
  pthread_sigmask(SIG_UNBLOCK, &death, nullptr);
  if (parent.is_parent) ::prctl(PR_SET_PDEATHSIG, death_signal());
  std::array<pollfd, 2> watched{};
  watched[0] = {parent_pidfd, POLLIN, 0};
  watched[1] = {control, 0, 0};  // a hang-up is always told
  for (;;) {
    if (parent.is_parent && is_gone(parent)) end_group();
    int const count = ::poll(watched.data(), watched.size(), -1);
    if (count < 0 && errno != EINTR) {  // the kernel lacks memory for a moment
      timespec const pause{0, look_ms * 1'000'000L};
      ::nanosleep(&pause, nullptr);
    }
    if (count <= 0) continue;
    if ((watched[0].revents & POLLIN) != 0) end_group();
    // Hung up, and the parent still there: it has closed its end, which it does only when it has no
    // use for us any more.
    if ((watched[1].revents & (POLLHUP | POLLERR)) != 0) end_group();
    if (((watched[0].revents | watched[1].revents) & POLLNVAL) != 0) {
      // A task closed descriptors under us. Its result is still wanted, so go on without them.
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
  // It may have died before the signal was armed; a process closes its descriptors before it is gone.
  pollfd hung_up{control, 0, 0};
  if (::poll(&hung_up, 1, 0) > 0 && (hung_up.revents & (POLLHUP | POLLERR)) != 0) end_group();
}

void watch_parent(Parent parent, int parent_pidfd, int control, int liveness_pipe,
                  int cgroup_kill) {
  cgroup_kill_file = cgroup_kill;
  catch_death_signal();  // once more: static initialisers may have changed it, as the next
  refuse_terminal_stops();
  // A forked worker would get it when the template dies, which is no matter of its own.
  if (parent.is_parent) {
    ::prctl(PR_SET_PDEATHSIG, SIGCONT);
    // It may have died before the signal was armed.
    if (is_gone(parent)) end_group();
  }
  // With a control group there is more to end than the kernel would, and the worker must live to do it.
  if (liveness_pipe >= 0 && cgroup_kill < 0 && !os::hang_on(liveness_pipe)) end_group();
  // Signals for the process are for the task's thread.
  sigset_t all;
  sigset_t before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  // Not by std::thread: the call that it makes for us is bound lazily, anew in each forked worker.
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

}  // namespace procpool::inline v0::worker
