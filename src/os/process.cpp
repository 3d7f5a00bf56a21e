// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// Pidfds and the end of a child. Threads and crashes: see the header. The order in reap() makes
// sure that no other process is ever signalled: the dead child stays a zombie, which keeps its
// number, until its group has been killed.
#include "os/process.hpp"

#include <fcntl.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace procpool::inline v0_1::os {
namespace {

// Old C libraries and old kernel headers lack these names. P_PIDFD came with glibc 2.36.
constexpr auto by_pidfd = static_cast<idtype_t>(3);
constexpr unsigned signal_process_group = 1U << 2;  // PIDFD_SIGNAL_PROCESS_GROUP, Linux 6.9

// struct pidfd_info in its first published size, which later kernels accept.
struct PidfdInfo {
  std::uint64_t mask;
  std::uint64_t cgroup;
  std::uint32_t pid, tgid, ppid;
  std::uint32_t ruid, rgid, euid, egid, suid, sgid, fsuid, fsgid;
  std::int32_t exit_code;
};
static_assert(sizeof(PidfdInfo) == 64);
constexpr std::uint64_t info_exit = 1U << 3;                    // PIDFD_INFO_EXIT, Linux 6.15
constexpr unsigned long get_info = _IOWR(0xFF, 11, PidfdInfo);  // PIDFD_GET_INFO, Linux 6.13

long pidfd_signal(int pidfd, int signal, unsigned flags) {
  return ::syscall(SYS_pidfd_send_signal, pidfd, signal, nullptr, flags);
}

// Reads the beginning of a file as a string. Returns its length; negative: there is no such file.
ssize_t read_start(char const* path, std::span<char> into) noexcept {
  int const fd = ::open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0) return -1;
  ssize_t const got = ::read(fd, into.data(), into.size() - 1);
  ::close(fd);
  return got;
}

// Does the number still belong to the process behind the pidfd? Another process may get it after
// that one is reaped. The answer is yes if it cannot be found out: these are children of this
// process, and hardly any other code reaps them.
bool has_its_number(int pidfd, pid_t pid) noexcept {
  std::array<char, 64> path{};
  std::snprintf(path.data(), path.size(), "/proc/self/fdinfo/%d", pidfd);
  std::array<char, 512> text{};
  if (read_start(path.data(), text) <= 0) return true;
  constexpr std::string_view name = "\nPid:";
  char const* const line = std::strstr(text.data(), name.data());
  return line == nullptr || std::strtol(line + name.size(), nullptr, 10) == pid;
}

// As look(), by number, if the system refuses waitid() with a pidfd: a kernel before 5.4, or the
// system call profile of a container.
std::optional<Exit> look_by_number(int pidfd, pid_t pid, bool takes, bool& gone) noexcept {
  gone = !has_its_number(pidfd, pid);
  if (gone) return std::nullopt;
  if (!takes) {
    // Only a call that reaps the child tells how it ended.
    pollfd one{pidfd, POLLIN, 0};
    return pidfd < 0 || ::poll(&one, 1, 0) > 0 ? std::optional(Exit{}) : std::nullopt;
  }
  for (;;) {
    int status = 0;
    rusage usage{};
    pid_t const found = ::wait4(pid, &status, WNOHANG, &usage);
    if (found == pid) {
      bool const exited = WIFEXITED(status);
      return Exit{exited ? Exit::Kind::exited : Exit::Kind::signalled,
                  exited ? WEXITSTATUS(status) : WTERMSIG(status),
                  static_cast<std::uint64_t>(usage.ru_maxrss) * 1024};
    }
    if (found < 0 && errno == EINTR) continue;
    gone = found < 0;
    return std::nullopt;
  }
}

// The next answer of waitid. Nothing while the child cannot be waited for (ptrace). `gone`: it is
// no child of this process any more.
std::optional<Exit> look(int pidfd, pid_t pid, int flags, bool& gone) noexcept {
  for (;;) {
    siginfo_t info{};
    rusage usage{};
    // The library's waitid has no usage.
    if (::syscall(SYS_waitid, by_pidfd, pidfd, &info, WEXITED | WNOHANG | flags, &usage) == 0) {
      if (info.si_pid == 0) return std::nullopt;
      return Exit{info.si_code == CLD_EXITED ? Exit::Kind::exited : Exit::Kind::signalled,
                  info.si_status, static_cast<std::uint64_t>(usage.ru_maxrss) * 1024};
    }
    if (errno == EINTR) continue;
    if (errno != ECHILD) return look_by_number(pidfd, pid, (flags & WNOWAIT) == 0, gone);
    gone = true;
    return std::nullopt;
  }
}

// The blanks between the name and the field, in the text of `stat`.
constexpr int field_threads = 18;
constexpr int field_start = 20;
constexpr int field_status = 50;

std::uint64_t field_behind(char const* name_end, int blanks) noexcept {
  char const* field = name_end;
  for (int i = 0; i < blanks && field != nullptr; ++i) field = std::strchr(field + 1, ' ');
  return field == nullptr ? 0 : std::strtoull(field, nullptr, 10);
}

using StatText = std::array<char, 1024>;

// Reads /proc/PID/stat. Returns the end of the name, which may hold any characters, and behind which
// the fields follow: "pid (name) state ppid ...". Null: there is no such process.
char const* read_stat(pid_t pid, StatText& text) noexcept {
  std::array<char, 32> path{};
  std::snprintf(path.data(), path.size(), "/proc/%d/stat", static_cast<int>(pid));
  if (read_start(path.data(), text) <= 0) return nullptr;
  char const* const name_end = std::strrchr(text.data(), ')');
  return name_end == nullptr || name_end[1] == '\0' ? nullptr : name_end;
}

// The status of a process that has ended and waits for another parent to reap it. Zero: not known,
// which a caller without the right to ask is told as well.
int unreaped_status(int pidfd, pid_t pid) noexcept {
  StatText text{};
  char const* const name_end = read_stat(pid, text);
  if (name_end == nullptr || name_end[2] != 'Z' || !has_its_number(pidfd, pid)) return 0;
  return static_cast<int>(field_behind(name_end, field_status));
}

Exit exit_of(int status) noexcept {
  if (WIFEXITED(status)) return {Exit::Kind::exited, WEXITSTATUS(status)};
  if (WIFSIGNALED(status)) return {Exit::Kind::signalled, WTERMSIG(status)};
  return {};
}

// The status of a process that is reaped elsewhere. New kernels keep it from then on.
Exit remembered(int pidfd, pid_t pid) {
  for (int attempt = 0; attempt < 4; ++attempt) {
    PidfdInfo info{};
    info.mask = info_exit;
    bool const keeps = ::ioctl(pidfd, get_info, &info) == 0;
    if (keeps && (info.mask & info_exit) != 0) return exit_of(info.exit_code);
    if (int const status = unreaped_status(pidfd, pid); status != 0) return exit_of(status);
    if (!keeps) return {};
    // Under an ignored SIGCHLD the death shows a moment before the status is stored. POLLHUP comes
    // after that.
    pollfd one{pidfd, 0, 0};
    ::poll(&one, 1, 5);
  }
  return {};
}

// The end of a sentence about a call that older kernels, some containers and some emulators lack.
// Keeps errno.
std::string kernel_hint() {
  if (errno != ENOSYS && errno != EPERM) return {};
  return std::string(errno == ENOSYS ? ", which is missing here" : ", which is forbidden here") +
         ": workers need Linux 5.4 or newer, and a container or an emulator that has the call "
         "(valgrind "
         "3.19 has not); Start::in_process works without";
}

bool reaches_by_number(pid_t pid, int signal) { return pid > 1 && ::kill(-pid, signal) == 0; }

// Signals the process alone. By number, if the call is unknown or forbidden for every process.
bool reaches(int pidfd, pid_t pid, int signal) noexcept {
  if (pidfd_signal(pidfd, signal, 0) == 0) return true;
  if (errno != ENOSYS && errno != EPERM) return false;
  return pid > 1 && has_its_number(pidfd, pid) && ::kill(pid, signal) == 0;
}

}  // namespace

UniqueFd open_pidfd(pid_t pid) {
  long const fd = ::syscall(SYS_pidfd_open, pid, 0);
  if (fd < 0) {
    throw_errno("procpool could not open process " + std::to_string(pid) + " by pidfd_open" +
                kernel_hint());
  }
  return above_standard(UniqueFd(static_cast<int>(fd)));
}

bool send_signal(int pidfd, int signal) {
  if (pidfd_signal(pidfd, signal, 0) == 0) return true;
  if (errno == ESRCH || errno == EPERM) return false;
  throw_errno("procpool could not send signal " + std::to_string(signal) + " to a worker");
}

bool signal_group(int pidfd, pid_t pid, int signal) noexcept {
  // Through the pidfd the signal cannot reach another process, even if the number was given anew.
  if (pidfd_signal(pidfd, signal, signal_process_group) == 0) return true;
  // A process that was just forked may not lead a group yet.
  if (errno == ESRCH) return reaches(pidfd, pid, signal);
  if (errno != EINVAL && errno != ENOSYS && errno != EPERM) return false;
  bool gone = false;
  look(pidfd, pid, WNOWAIT, gone);
  // It is no child of this process, or not any more. Only the process itself is reached for
  // certain.
  if (gone) return reaches(pidfd, pid, signal);
  return reaches_by_number(pid, signal) || reaches(pidfd, pid, signal);
}

bool exited(int pidfd) {
  pollfd one{pidfd, POLLIN, 0};
  int n = -1;
  do n = ::poll(&one, 1, 0);
  while (n < 0 && errno == EINTR);
  if (n < 0) return false;  // the system has no memory just now; the caller looks again
  if ((one.revents & POLLNVAL) != 0) {
    throw_error(EBADF, "procpool was asked about a worker whose pidfd is closed");
  }
  return (one.revents & (POLLIN | POLLHUP)) != 0;
}

Exit reap(int pidfd, pid_t pid) noexcept {
  bool gone = false;
  std::optional<Exit> end = look(pidfd, pid, WNOWAIT, gone);
  // A tracer (strace, gdb) sees the end first. This process sees it when the tracer is done.
  for (int i = 0; !end && !gone && i < 50; ++i) {
    timespec const millisecond{0, 1'000'000};
    ::nanosleep(&millisecond, nullptr);
    end = look(pidfd, pid, WNOWAIT, gone);
  }
  signal_group(pidfd, pid, SIGKILL);
  if (gone) return remembered(pidfd, pid);
  bool taken = false;  // the program reaped it between the two looks: `end` is the answer
  std::optional<Exit> const reaped = look(pidfd, pid, 0, taken);
  return reaped ? *reaped : end.value_or(Exit{});
}

std::size_t thread_count() noexcept {
  // Each thread has a folder, which counts as a link beside the usual two.
  struct stat folder{};
  if (::stat("/proc/self/task", &folder) != 0 || folder.st_nlink < 3) return 0;
  return static_cast<std::size_t>(folder.st_nlink) - 2;
}

std::uint64_t start_time(pid_t pid) noexcept {
  StatText text{};
  char const* const name_end = read_stat(pid, text);
  if (name_end == nullptr || name_end[2] == 'X') return 0;
  // A process whose main thread has ended looks dead, though other threads go on.
  if (name_end[2] == 'Z' && field_behind(name_end, field_threads) < 2) return 0;
  return field_behind(name_end, field_start);
}

char thread_state(pid_t thread) noexcept {
  StatText text{};
  char const* const name_end = read_stat(thread, text);
  return name_end == nullptr || name_end[1] != ' ' ? '\0' : name_end[2];
}

MemoryUse memory_use() noexcept {
  std::array<char, 128> text{};
  if (read_start("/proc/thread-self/statm", text) <= 0) return {};
  // "all resident shared code 0 data 0", in pages
  std::array<std::uint64_t, 6> numbers{};
  char* next = text.data();
  for (std::uint64_t& number : numbers) number = std::strtoull(next, &next, 10);
  auto const page = static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE));
  return {numbers[0] * page, numbers[5] * page, numbers[1] * page};
}

std::uint64_t resident_bytes() noexcept { return memory_use().resident; }

std::uint64_t peak_resident_bytes() noexcept {
  rusage usage{};
  if (::getrusage(RUSAGE_SELF, &usage) != 0) return 0;
  return static_cast<std::uint64_t>(usage.ru_maxrss) * 1024;
}

void no_core_dumps() noexcept {
  rlimit limit{};
  if (::getrlimit(RLIMIT_CORE, &limit) != 0) return;
  limit.rlim_cur = 0;
  ::setrlimit(RLIMIT_CORE, &limit);
}

}  // namespace procpool::inline v0_1::os
