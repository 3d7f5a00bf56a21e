// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// Makes calls fail as the board says. Preloaded into a program that uses the library, and by
// inheritance into its workers; stands between them and the C library. Any thread of any of these
// processes; what it counts lies in the board, so that it survives whoever dies. Uses nothing of
// the C++ library, allocates nothing.

#include <dlfcn.h>
#include <errno.h>
#include <execinfo.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "board.hpp"

namespace {

using faults::Board;

Board* board = nullptr;
bool is_fork_server = false;
bool is_program = false;
bool traces = false;
std::atomic<std::uint64_t> own_count{0};

constexpr std::size_t index_of(char const* name) {
  for (std::size_t i = 0; i < faults::call_count; ++i) {
    char const* a = name;
    char const* b = faults::calls[i].name;
    while (*a != '\0' && *a == *b) ++a, ++b;
    if (*a == *b) return i;
  }
  return faults::call_count;  // an index out of range: does not compile below
}

std::uint32_t role_bit() {
  if (is_fork_server) return faults::fork_server_process;
  if (!is_program) return faults::worker;
  return ::getpid() == ::gettid() ? faults::main_thread : faults::other_threads;
}

std::uint64_t mix(std::uint64_t x) {  // splitmix64
  x += 0x9e3779b97f4a7c15;
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9;
  x = (x ^ (x >> 27)) * 0x94d049bb133111eb;
  return x ^ (x >> 31);
}

// Where a call is refused, to standard error.
void trace() {
  void* stack[32];
  int const depth = ::backtrace(stack, 32);
  ::backtrace_symbols_fd(stack, depth, STDERR_FILENO);
}

// The error that this call is to fail with; 0: none.
int refusal(std::size_t call) {
  if (board == nullptr || board->armed.load(std::memory_order_acquire) == 0) return 0;
  std::uint32_t const role = role_bit();
  board->made[__builtin_ctz(role)][call].fetch_add(1, std::memory_order_relaxed);
  if (board->call != call || (board->who & role) == 0) return 0;
  auto& counter = board->each != 0 ? own_count : board->count;
  std::uint64_t const number = counter.fetch_add(1, std::memory_order_relaxed) + 1;
  bool const fails = board->per_mille != 0 ? mix(board->seed + number) % 1000 < board->per_mille
                                           : number >= board->from && number <= board->to;
  if (!fails) return 0;
  board->refused.fetch_add(1, std::memory_order_relaxed);
  if (traces) trace();
  return board->error;
}

// Before the program's own code, and that of libraries which need this one.
__attribute__((constructor(101))) void begin(int argc, char** argv, char**) {
  char const* const path = ::getenv(faults::board_variable);
  if (path == nullptr) return;
  traces = ::getenv(faults::trace_variable) != nullptr;
  void* first[1];
  if (traces) ::backtrace(first, 1);  // which allocates
  long const fd = ::syscall(SYS_openat, AT_FDCWD, path, O_RDWR | O_CLOEXEC);
  if (fd < 0) return;
  void* const found =
      ::mmap(nullptr, sizeof(Board), PROT_READ | PROT_WRITE, MAP_SHARED, static_cast<int>(fd), 0);
  ::close(static_cast<int>(fd));
  if (found == MAP_FAILED) return;
  auto* const there = static_cast<Board*>(found);
  // The mark of workers may be gone by now; what `ps` shows of them is not.
  bool const ours = argc > 1 && argv[1][0] == '[';
  is_program = !ours;
  is_fork_server = ours && ::strstr(argv[1], "/forkserver]") != nullptr;
  board = there;
}

// Of the next library that has it.
template <class F>
F* real(char const* name, F*& known) {
  if (known == nullptr) known = reinterpret_cast<F*>(::dlsym(RTLD_NEXT, name));
  return known;
}

}  // namespace

// A call that gives -1 and sets errno, or whatever `failed` is.
#define FAULTS_CALL(result, name, entry, failed, parameters, arguments)      \
  extern "C" __attribute__((visibility("default"))) result name parameters { \
    static result(*known) parameters = nullptr;                              \
    constexpr std::size_t call = index_of(entry);                            \
    static_assert(call < faults::call_count);                                \
    if (int const error = refusal(call)) {                                   \
      errno = error;                                                         \
      return failed;                                                         \
    }                                                                        \
    return real(#name, known) arguments;                                     \
  }

// One that gives the error itself.
#define FAULTS_RESULT(name, parameters, arguments)                        \
  extern "C" __attribute__((visibility("default"))) int name parameters { \
    static int(*known) parameters = nullptr;                              \
    constexpr std::size_t call = index_of(#name);                         \
    static_assert(call < faults::call_count);                             \
    if (int const error = refusal(call)) return error;                    \
    return real(#name, known) arguments;                                  \
  }

FAULTS_CALL(int, epoll_create1, "epoll_create1", -1, (int flags), (flags))
FAULTS_CALL(int, epoll_wait, "epoll_wait", -1, (int fd, epoll_event* events, int most, int time),
            (fd, events, most, time))
FAULTS_CALL(int, eventfd, "eventfd", -1, (unsigned value, int flags), (value, flags))
FAULTS_CALL(int, timerfd_create, "timerfd_create", -1, (int clock, int flags), (clock, flags))
FAULTS_CALL(int, memfd_create, "memfd_create", -1, (char const* name, unsigned flags),
            (name, flags))
FAULTS_CALL(int, fallocate, "fallocate", -1, (int fd, int mode, off_t from, off_t size),
            (fd, mode, from, size))
FAULTS_CALL(int, fallocate64, "fallocate", -1, (int fd, int mode, off64_t from, off64_t size),
            (fd, mode, from, size))
FAULTS_CALL(int, ftruncate, "ftruncate", -1, (int fd, off_t size), (fd, size))
FAULTS_CALL(int, ftruncate64, "ftruncate", -1, (int fd, off64_t size), (fd, size))
FAULTS_CALL(int, fstat, "fstat", -1, (int fd, struct stat* status), (fd, status))
FAULTS_CALL(int, fstatfs, "fstatfs", -1, (int fd, struct statfs* status), (fd, status))
FAULTS_CALL(int, stat, "stat", -1, (char const* path, struct stat* status), (path, status))
FAULTS_CALL(void*, mmap, "mmap", MAP_FAILED,
            (void* place, size_t size, int protection, int flags, int fd, off_t from),
            (place, size, protection, flags, fd, from))
FAULTS_CALL(void*, mmap64, "mmap", MAP_FAILED,
            (void* place, size_t size, int protection, int flags, int fd, off64_t from),
            (place, size, protection, flags, fd, from))
FAULTS_CALL(int, mprotect, "mprotect", -1, (void* place, size_t size, int protection),
            (place, size, protection))
FAULTS_CALL(int, madvise, "madvise", -1, (void* place, size_t size, int advice),
            (place, size, advice))
FAULTS_CALL(int, socketpair, "socketpair", -1, (int domain, int type, int protocol, int ends[2]),
            (domain, type, protocol, ends))
FAULTS_CALL(ssize_t, sendmsg, "sendmsg", -1, (int fd, msghdr const* message, int flags),
            (fd, message, flags))
FAULTS_CALL(ssize_t, send, "send", -1, (int fd, void const* from, size_t size, int flags),
            (fd, from, size, flags))
FAULTS_CALL(ssize_t, recv, "recv", -1, (int fd, void* into, size_t size, int flags),
            (fd, into, size, flags))
FAULTS_CALL(int, pipe2, "pipe2", -1, (int ends[2], int flags), (ends, flags))
FAULTS_CALL(int, fchmod, "fchmod", -1, (int fd, mode_t mode), (fd, mode))
FAULTS_CALL(ssize_t, read, "read", -1, (int fd, void* into, size_t size), (fd, into, size))
FAULTS_CALL(ssize_t, write, "write", -1, (int fd, void const* from, size_t size), (fd, from, size))
FAULTS_CALL(ssize_t, pread, "pread", -1, (int fd, void* into, size_t size, off_t at),
            (fd, into, size, at))
FAULTS_CALL(ssize_t, pread64, "pread", -1, (int fd, void* into, size_t size, off64_t at),
            (fd, into, size, at))
FAULTS_CALL(ssize_t, pwrite, "pwrite", -1, (int fd, void const* from, size_t size, off_t at),
            (fd, from, size, at))
FAULTS_CALL(ssize_t, pwrite64, "pwrite", -1, (int fd, void const* from, size_t size, off64_t at),
            (fd, from, size, at))
FAULTS_CALL(pid_t, waitpid, "waitpid", -1, (pid_t pid, int* status, int flags),
            (pid, status, flags))
FAULTS_CALL(int, kill, "kill", -1, (pid_t pid, int signal), (pid, signal))
FAULTS_CALL(int, poll, "poll", -1, (pollfd * ones, nfds_t count, int time), (ones, count, time))
FAULTS_CALL(int, ppoll, "ppoll", -1,
            (pollfd * ones, nfds_t count, timespec const* time, sigset_t const* mask),
            (ones, count, time, mask))
FAULTS_CALL(pid_t, setsid, "setsid", -1, (), ())
FAULTS_CALL(int, dup2, "dup2", -1, (int from, int to), (from, to))
FAULTS_CALL(ssize_t, getrandom, "getrandom", -1, (void* into, size_t size, unsigned flags),
            (into, size, flags))
FAULTS_CALL(int, sigaltstack, "sigaltstack", -1, (stack_t const* now, stack_t* before),
            (now, before))
FAULTS_CALL(int, getrlimit, "getrlimit", -1, (__rlimit_resource_t what, rlimit* limit),
            (what, limit))
FAULTS_CALL(int, setrlimit, "setrlimit", -1, (__rlimit_resource_t what, rlimit const* limit),
            (what, limit))
FAULTS_CALL(int, sched_getaffinity, "sched_getaffinity", -1,
            (pid_t pid, size_t size, cpu_set_t* set), (pid, size, set))
FAULTS_CALL(ssize_t, process_vm_readv, "process_vm_readv", -1,
            (pid_t pid, iovec const* into, unsigned long many, iovec const* from,
             unsigned long count, unsigned long flags),
            (pid, into, many, from, count, flags))

FAULTS_RESULT(posix_spawn,
              (pid_t * pid, char const* path, posix_spawn_file_actions_t const* actions,
               posix_spawnattr_t const* attributes, char* const arguments[], char* const names[]),
              (pid, path, actions, attributes, arguments, names))
FAULTS_RESULT(pthread_create,
              (pthread_t * thread, pthread_attr_t const* attributes, void* (*start)(void*),
               void* given),
              (thread, attributes, start, given))

#define FAULTS_EXPORT extern "C" __attribute__((visibility("default")))

FAULTS_EXPORT int epoll_ctl(int set, int what, int fd, epoll_event* event) {
  static int (*known)(int, int, int, epoll_event*) = nullptr;
  constexpr std::size_t add = index_of("epoll_ctl_add");
  if (int const error = what == EPOLL_CTL_ADD ? refusal(add) : 0) {
    errno = error;
    return -1;
  }
  return real("epoll_ctl", known)(set, what, fd, event);
}

namespace {

int fcntl_with(char const* name, int (*&known)(int, int, ...), int fd, int what, long value) {
  std::size_t call = faults::call_count;
  if (what == F_DUPFD_CLOEXEC || what == F_DUPFD) call = index_of("fcntl_dup");
  if (what == F_ADD_SEALS) call = index_of("fcntl_seal");
  if (what == F_SETOWN || what == F_SETSIG || what == F_SETFL) call = index_of("fcntl_owner");
  if (call != faults::call_count) {
    if (int const error = refusal(call)) {
      errno = error;
      return -1;
    }
  }
  return real(name, known)(fd, what, value);
}

}  // namespace

FAULTS_EXPORT int fcntl(int fd, int what, ...) {
  static int (*known)(int, int, ...) = nullptr;
  va_list rest;
  va_start(rest, what);
  long const value = va_arg(rest, long);
  va_end(rest);
  return fcntl_with("fcntl", known, fd, what, value);
}

FAULTS_EXPORT int fcntl64(int fd, int what, ...) {
  static int (*known)(int, int, ...) = nullptr;
  va_list rest;
  va_start(rest, what);
  long const value = va_arg(rest, long);
  va_end(rest);
  return fcntl_with("fcntl64", known, fd, what, value);
}

FAULTS_EXPORT int open(char const* path, int flags, ...) {
  static int (*known)(char const*, int, ...) = nullptr;
  va_list rest;
  va_start(rest, flags);
  int const mode = va_arg(rest, int);
  va_end(rest);
  constexpr std::size_t call = index_of("open");
  if (int const error = refusal(call)) {
    errno = error;
    return -1;
  }
  return real("open", known)(path, flags, mode);
}

FAULTS_EXPORT int ioctl(int fd, unsigned long what, ...) {
  static int (*known)(int, unsigned long, ...) = nullptr;
  va_list rest;
  va_start(rest, what);
  void* const value = va_arg(rest, void*);
  va_end(rest);
  constexpr std::size_t call = index_of("ioctl");
  if (int const error = refusal(call)) {
    errno = error;
    return -1;
  }
  return real("ioctl", known)(fd, what, value);
}

FAULTS_EXPORT int prctl(int what, ...) {
  static int (*known)(int, ...) = nullptr;
  va_list rest;
  va_start(rest, what);
  long values[4];
  for (long& value : values) value = va_arg(rest, long);
  va_end(rest);
  constexpr std::size_t call = index_of("prctl");
  if (int const error = refusal(call)) {
    errno = error;
    return -1;
  }
  return real("prctl", known)(what, values[0], values[1], values[2], values[3]);
}

FAULTS_EXPORT ssize_t recvmsg(int fd, msghdr* message, int flags) {
  static ssize_t (*known)(int, msghdr*, int) = nullptr;
  constexpr std::size_t call = index_of("recvmsg");
  int const error = refusal(call);
  if (error != 0 && error != EMFILE) {
    errno = error;
    return -1;
  }
  ssize_t const got = real("recvmsg", known)(fd, message, flags);
  if (error == 0 || got < 0 || message->msg_controllen == 0) return got;
  // As the kernel does where there is no number for a descriptor.
  for (cmsghdr* c = CMSG_FIRSTHDR(message); c != nullptr; c = CMSG_NXTHDR(message, c)) {
    if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS) continue;
    std::size_t const many = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    for (std::size_t i = 0; i < many; ++i) {
      int received = -1;
      ::memcpy(&received, CMSG_DATA(c) + i * sizeof(int), sizeof(int));
      ::close(received);
    }
  }
  message->msg_controllen = 0;
  message->msg_flags |= MSG_CTRUNC;
  return got;
}

FAULTS_EXPORT pid_t fork() {
  static pid_t (*known)() = nullptr;
  constexpr std::size_t call = index_of("fork");
  if (int const error = refusal(call)) {
    errno = error;
    return -1;
  }
  pid_t const pid = real("fork", known)();
  if (pid == 0) {
    is_fork_server = false;  // a worker that it has forked
    own_count.store(0, std::memory_order_relaxed);
  }
  return pid;
}

FAULTS_EXPORT void* dlopen(char const* path, int flags) {
  static void* (*known)(char const*, int) = nullptr;
  constexpr std::size_t call = index_of("dlopen");
  // dlerror() has nothing to say then.
  if (refusal(call) != 0) return nullptr;
  return real("dlopen", known)(path, flags);
}

FAULTS_EXPORT long syscall(long number, ...) {
  static long (*known)(long, ...) = nullptr;
  va_list rest;
  va_start(rest, number);
  long values[6];
  for (long& value : values) value = va_arg(rest, long);
  va_end(rest);
  std::size_t call = faults::call_count;
  if (number == SYS_pidfd_open) call = index_of("pidfd_open");
  if (number == SYS_pidfd_send_signal) call = index_of("pidfd_send_signal");
  if (number == SYS_waitid) call = index_of("waitid");
  if (number == SYS_futex && (values[1] & FUTEX_CMD_MASK) == FUTEX_WAIT_BITSET) {
    call = index_of("futex_wait");
  }
  if (call != faults::call_count) {
    if (int const error = refusal(call)) {
      errno = error;
      return -1;
    }
  }
  return real("syscall", known)(number, values[0], values[1], values[2], values[3], values[4],
                                values[5]);
}

// ---- memory: all of it counts as one call

extern "C" {
void* __libc_malloc(size_t);
void* __libc_calloc(size_t, size_t);
void* __libc_realloc(void*, size_t);
void* __libc_memalign(size_t, size_t);
}

namespace {

bool no_memory() {
  constexpr std::size_t call = index_of("malloc");
  int const error = refusal(call);
  if (error != 0) errno = error;
  return error != 0;
}

}  // namespace

FAULTS_EXPORT void* malloc(size_t size) { return no_memory() ? nullptr : __libc_malloc(size); }
FAULTS_EXPORT void* calloc(size_t count, size_t size) {
  return no_memory() ? nullptr : __libc_calloc(count, size);
}
FAULTS_EXPORT void* realloc(void* place, size_t size) {
  return no_memory() ? nullptr : __libc_realloc(place, size);
}
FAULTS_EXPORT void* aligned_alloc(size_t alignment, size_t size) {
  return no_memory() ? nullptr : __libc_memalign(alignment, size);
}
FAULTS_EXPORT int posix_memalign(void** into, size_t alignment, size_t size) {
  if (no_memory()) return ENOMEM;
  *into = __libc_memalign(alignment, size);
  return *into == nullptr ? ENOMEM : 0;
}
