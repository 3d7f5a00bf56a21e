// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// Activity, as /proc shows it, one file after the other. A process that runs meanwhile may show
// halves of two moments. Callers therefore look several times, and compare.
#include "os/activity.hpp"

#include <dirent.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <signal.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cstdio>
#include <memory>
#include <optional>
#include <string_view>
#include <utility>

namespace procpool::inline v0_1::os {
namespace {

constexpr auto by_pidfd = static_cast<idtype_t>(3);  // P_PIDFD
constexpr int max_threads = 1024;
// The signal in the status of a stopped child. Higher bits hold the event of a tracer.
constexpr std::uint64_t signal_bits = 0x7f;

// The beginning of a file below /proc; all of it, if the file is short.
class Text {
 public:
  Text(pid_t pid, char const* name, pid_t thread = 0) noexcept {
    std::array<char, 64> path{};
    if (thread == 0) {
      std::snprintf(path.data(), path.size(), "/proc/%d/%s", static_cast<int>(pid), name);
    } else {
      std::snprintf(path.data(), path.size(), "/proc/%d/task/%d/%s", static_cast<int>(pid),
                    static_cast<int>(thread), name);
    }
    int const fd = ::open(path.data(), O_RDONLY | O_CLOEXEC);
    if (fd < 0) return;
    // One read: the kernel makes the whole text at that moment.
    ssize_t const got = ::read(fd, bytes_.data(), bytes_.size());
    ::close(fd);
    if (got > 0) size_ = static_cast<std::size_t>(got);
  }
  std::string_view view() const noexcept { return {bytes_.data(), size_}; }
  // The value of the line "Name:\tvalue".
  std::string_view value_of(std::string_view name) const noexcept {
    std::string_view rest = view();
    for (auto at = rest.find(name); at != std::string_view::npos; at = rest.find(name, at + 1)) {
      bool const begins = at == 0 || rest[at - 1] == '\n';
      auto const end = at + name.size();
      if (!begins || end >= rest.size() || rest[end] != ':') continue;
      rest.remove_prefix(end + 1);
      rest.remove_prefix(std::min(rest.find_first_not_of(" \t"), rest.size()));
      return rest.substr(0, rest.find('\n'));
    }
    return {};
  }

 private:
  std::array<char, 4096> bytes_;
  std::size_t size_ = 0;
};

std::uint64_t number(std::string_view text, int base = 10) noexcept {
  std::uint64_t value = 0;
  std::from_chars(text.data(), text.data() + text.size(), value, base);
  return value;
}

// The fields of "pid (name) state ppid ...". The name may hold any characters.
class Fields {
 public:
  explicit Fields(std::string_view stat) noexcept {
    auto const name_end = stat.rfind(')');
    if (name_end != std::string_view::npos) rest_ = stat.substr(name_end + 1);
  }
  // `field` counts as proc(5) does, where the state has number 3. Empty: there is no such field.
  std::string_view operator[](int field) const noexcept {
    constexpr int first = 3;
    std::string_view rest = rest_;
    for (int at = first;; ++at) {
      rest.remove_prefix(std::min(rest.find_first_not_of(' '), rest.size()));
      auto const end = std::min(rest.find_first_of(" \n"), rest.size());
      if (at == field || end == 0) return rest.substr(0, end);
      rest.remove_prefix(end);
    }
  }
  char state() const noexcept {
    auto const field = (*this)[3];
    return field.empty() ? '\0' : field.front();
  }

 private:
  std::string_view rest_;
};
enum StatField { user_ticks = 14, system_ticks = 15, threads = 20, exit_code = 52 };

bool is_stop(char state) noexcept { return state == 'T' || state == 't'; }

// Calls `visit` for each thread, until it returns false. False: `visit` did, or the threads cannot
// be listed.
template <class Visit>
bool for_each_thread(pid_t pid, Visit const& visit) noexcept {
  std::array<char, 32> path{};
  std::snprintf(path.data(), path.size(), "/proc/%d/task", static_cast<int>(pid));
  std::unique_ptr<DIR, int (*)(DIR*)> const folder(::opendir(path.data()), ::closedir);
  if (folder == nullptr) return false;
  int count = 0;
  while (dirent const* const entry = ::readdir(folder.get())) {
    auto const thread = static_cast<pid_t>(number(entry->d_name));
    if (thread == 0) continue;
    if (++count > max_threads || !visit(thread)) return false;
  }
  return count != 0;
}

// The signal that stopped the child, or with which its tracer holds its main thread. 0: not known.
int stop_signal(int pidfd) noexcept {
  siginfo_t info{};
  constexpr int look = WSTOPPED | WNOHANG | WNOWAIT;
  if (::syscall(SYS_waitid, by_pidfd, pidfd, &info, look, nullptr) != 0) return 0;
  return info.si_pid == 0 ? 0
                          : static_cast<int>(static_cast<unsigned>(info.si_status) & signal_bits);
}

pid_t tracer_of(pid_t pid, pid_t thread) noexcept {
  Text const status(pid, "status", thread);
  return static_cast<pid_t>(number(status.value_of("TracerPid")));
}

// ---- sleeping threads

class Mark {
 public:
  void add(std::string_view text) noexcept {
    for (char const c : text) value_ = (value_ ^ static_cast<unsigned char>(c)) * prime;
  }
  std::uint64_t value() const noexcept { return value_ | 1; }

 private:
  static constexpr std::uint64_t prime = 0x100000001b3;
  std::uint64_t value_ = 0xcbf29ce484222325;  // FNV-1a
};

// The system call in which a thread sleeps: "number argument argument ...", the arguments in
// hexadecimal. Other texts are "running" and "-1 ...".
struct Call {
  long number = -1;
  std::array<std::uint64_t, 4> argument{};

  explicit Call(std::string_view line) noexcept {
    auto const result = std::from_chars(line.data(), line.data() + line.size(), number);
    if (result.ec != std::errc()) {
      number = -1;
      return;
    }
    for (std::uint64_t& one : argument) {
      auto const at = line.find("0x");
      if (at == std::string_view::npos) break;
      line.remove_prefix(at + 2);
      one = os::number(line, 16);
    }
  }

  bool waits_for_futex() const noexcept {
    return number == SYS_futex && (kind() == FUTEX_WAIT || kind() == FUTEX_WAIT_BITSET);
  }
  // No other process can wake the thread, and no clock.
  bool waits_for_own_futex() const noexcept {
    return waits_for_futex() && (argument[1] & FUTEX_PRIVATE_FLAG) != 0 && argument[3] == 0;
  }
  bool watches() const noexcept {
    switch (number) {
#ifdef SYS_poll
      case SYS_poll:
#endif
      case SYS_ppoll:
      case SYS_nanosleep:
      case SYS_clock_nanosleep:
      case SYS_restart_syscall: return true;
      default: return false;
    }
  }

 private:
  std::uint64_t kind() const noexcept {
    return argument[1] & ~std::uint64_t{FUTEX_PRIVATE_FLAG | FUTEX_CLOCK_REALTIME};
  }
};

// True if no handler of the process could wake a thread. The handlers of these signals wake none:
// crashes, ends and stops, the signals of the C library (32, 33), and that of the parent watchdog.
bool handlers_wake_nobody(Text const& status) noexcept {
  std::uint64_t harmless = 0;
  for (int const signal :
       {SIGHUP, SIGINT, SIGQUIT, SIGILL, SIGTRAP, SIGABRT, SIGBUS, SIGFPE, SIGSEGV, SIGPIPE,
        SIGTERM, SIGTSTP, SIGTTIN, SIGTTOU, SIGWINCH, SIGSYS, 32, 33, 64}) {
    harmless |= std::uint64_t{1} << (signal - 1);
  }
  auto const caught = status.value_of("SigCgt");
  return !caught.empty() && (number(caught, 16) & ~harmless) == 0;
}

// The call in which this thread sleeps. Its progress and its call go into the mark.
std::optional<Call> sleep_of(pid_t pid, pid_t thread, Mark& mark) noexcept {
  Text const status(pid, "status", thread);
  if (!status.value_of("State").starts_with('S')) return std::nullopt;
  Text const call(pid, "syscall", thread);
  if (call.view().empty()) return std::nullopt;
  mark.add(call.view());
  mark.add(status.value_of("voluntary_ctxt_switches"));
  mark.add(status.value_of("nonvoluntary_ctxt_switches"));
  return Call(call.view());
}

}  // namespace

Activity activity_of(int pidfd, pid_t pid) noexcept {
  Activity activity;
  Text const stat(pid, "stat");
  Fields const fields(stat.view());
  activity.known = fields.state() != '\0';
  if (!activity.known) return activity;
  Text const main_stat(pid, "stat", pid);
  Fields const main_fields(main_stat.view());
  activity.main_ticks = number(main_fields[user_ticks]) + number(main_fields[system_ticks]);
  Text const status(pid, "status");
  activity.tracer = static_cast<pid_t>(number(status.value_of("TracerPid")));
  activity.dumps_core = number(status.value_of("CoreDumping")) != 0;
  activity.stopped = is_stop(fields.state());
  if (activity.stopped) {
    activity.signal = stop_signal(pidfd);
    if (activity.signal == 0)
      activity.signal = static_cast<int>(number(fields[exit_code]) & signal_bits);
    return activity;
  }
  // A tracer may hold any thread, and the others then wait for that thread.
  constexpr std::uint64_t usual_threads = 2;
  if (number(fields[threads]) <= usual_threads) return activity;
  for_each_thread(pid, [&](pid_t thread) {
    Text const text(pid, "stat", thread);
    Fields const of_thread(text.view());
    if (of_thread.state() != 't') return true;
    activity.stopped = true;
    activity.signal = static_cast<int>(number(of_thread[exit_code]) & signal_bits);
    activity.tracer = tracer_of(pid, thread);
    return false;
  });
  return activity;
}

bool is_thread_of(pid_t thread, pid_t process) noexcept {
  std::array<char, 48> path{};
  std::snprintf(path.data(), path.size(), "/proc/%d/task/%d", static_cast<int>(process),
                static_cast<int>(thread));
  return ::access(path.data(), F_OK) == 0;
}

bool let_go_traced(pid_t pid) noexcept {
  bool any = false;
  for_each_thread(pid, [&](pid_t thread) {
    // The threads of another process are no children of this one. Only a tracer can wait for them.
    if (thread == pid) return true;
    siginfo_t info{};
    constexpr int look = WEXITED | WNOHANG | __WALL;
    bool const gone =
        ::syscall(SYS_waitid, P_PID, thread, &info, look, nullptr) == 0 && info.si_pid != 0;
    any = any || gone;
    return true;
  });
  return any;
}

bool is_held_by_tracer(pid_t pid) noexcept {
  bool traced = false;
  bool const all = for_each_thread(pid, [&](pid_t thread) {
    Text const status(pid, "status", thread);
    traced = traced || (thread != pid && number(status.value_of("TracerPid")) != 0);
    return status.value_of("State").starts_with('Z');
  });
  return all && traced;
}

std::uint64_t deadlock_of(pid_t pid) noexcept {
  Text const status(pid, "status");
  if (!handlers_wake_nobody(status) || number(status.value_of("TracerPid")) != 0) return 0;
  Mark mark;
  bool watched = false;
  bool const all = for_each_thread(pid, [&](pid_t thread) {
    auto const call = sleep_of(pid, thread, mark);
    if (!call) return false;
    if (call->waits_for_own_futex()) return true;
    // One thread may, but not the main thread, which runs tasks.
    return thread != pid && call->watches() && !std::exchange(watched, true);
  });
  return all ? mark.value() : 0;
}

std::uint64_t main_futex_of(pid_t pid) noexcept {
  Mark mark;
  auto const call = sleep_of(pid, pid, mark);
  return call && call->waits_for_futex() ? mark.value() : 0;
}

}  // namespace procpool::inline v0_1::os
