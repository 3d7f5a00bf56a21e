// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#pragma once

// The board: a page that a program under faults, its workers and its fork server share, and the
// library that makes calls fail (preload.cpp) reads: which call fails, with which error, when, and
// in whom. It counts what was called and what was refused. Written by the program while nothing is
// armed; the counters by all.

#include <atomic>
#include <cerrno>
#include <cstddef>
#include <cstdint>

namespace faults {

// A process, or one of its threads. Bits of Order::who.
enum Who : std::uint32_t {
  main_thread = 1,    // of the program
  other_threads = 2,  // of the program: the pool's own
  program = main_thread | other_threads,
  worker = 4,
  fork_server_process = 8
};
inline constexpr std::size_t roles = 4;  // one for each bit

// What can be made to fail, and how it plausibly does. 0 ends the list. Values, where a call gives
// an error as its result; else errno. Some calls are told apart by what they are asked for.
struct Call {
  char const* name;
  int errors[6];
};

inline constexpr Call calls[] = {
    {"malloc", {ENOMEM}},
    {"epoll_create1", {EMFILE, ENOMEM}},
    {"epoll_ctl_add", {ENOSPC, ENOMEM}},
    {"epoll_wait", {EINTR}},
    {"eventfd", {EMFILE, ENOMEM}},
    {"timerfd_create", {EMFILE, ENOMEM}},
    {"memfd_create", {EMFILE, ENOMEM, EACCES, EINVAL}},
    {"fallocate", {ENOSPC, ENOMEM, EINTR}},
    {"ftruncate", {ENOSPC, EINTR}},
    {"fcntl_dup", {EMFILE}},
    {"fcntl_seal", {EBUSY, EPERM}},
    {"fcntl_owner", {EPERM, EINVAL}},
    {"fstat", {ENOMEM}},
    {"fstatfs", {ENOMEM}},
    {"mmap", {ENOMEM, EPERM}},
    {"mprotect", {ENOMEM}},
    {"madvise", {EAGAIN, ENOMEM, EINVAL}},
    {"socketpair", {EMFILE, ENFILE, ENOMEM}},
    {"sendmsg", {ENOBUFS, ENOMEM, ETOOMANYREFS, EINTR}},
    {"send", {ENOBUFS, ENOMEM, EINTR}},
    {"recvmsg", {ENOMEM, EINTR, EMFILE}},  // EMFILE: the packet comes, its descriptors do not
    {"recv", {ENOMEM, EINTR}},
    {"pipe2", {EMFILE, ENFILE}},
    {"fchmod", {EPERM}},
    {"open", {EMFILE, ENOMEM, ENOENT, EACCES}},
    {"read", {EINTR, EIO}},
    {"write",
     {EINTR}},  // to events: EAGAIN says that it is rung already, which would have to be true
    {"pread", {EINTR, ENOMEM}},
    {"pwrite", {EINTR, ENOSPC}},
    {"ioctl", {ENOTTY, EPERM}},
    {"stat", {EACCES}},
    {"posix_spawn", {EAGAIN, ENOMEM}},
    {"fork", {EAGAIN, ENOMEM}},
    {"pthread_create", {EAGAIN}},
    {"pidfd_open", {EMFILE, ENOMEM, EPERM, ENOSYS}},
    {"pidfd_send_signal", {EPERM, ENOSYS}},
    {"waitid", {EPERM, ENOSYS, EINVAL, EINTR}},
    {"waitpid", {EPERM, EINTR}},
    {"kill", {EPERM}},
    {"poll", {EINTR, ENOMEM}},
    {"ppoll", {EINTR, ENOMEM}},
    {"futex_wait", {EINTR}},
    {"prctl", {EPERM, EINVAL}},
    {"setsid", {EPERM}},
    {"dup2", {EBUSY, EINTR}},
    {"getrandom", {ENOSYS, EINTR}},
    {"sigaltstack", {ENOMEM}},
    {"getrlimit", {EPERM}},
    {"setrlimit", {EPERM}},
    {"sched_getaffinity", {EPERM, EINVAL}},
    {"dlopen", {ENOMEM}},
    {"process_vm_readv", {EPERM, ENOSYS}},
};
inline constexpr std::size_t call_count = sizeof calls / sizeof calls[0];

struct Board {
  // Guarded by nobody: written while `armed` is 0.
  std::uint32_t call;  // index in calls
  std::int32_t error;
  std::uint32_t who;        // bits
  std::uint32_t each;       // 1: each process counts by itself; 0: all together
  std::uint64_t from;       // the first that fails; 1 is the first call of all
  std::uint64_t to;         // the last
  std::uint32_t per_mille;  // not 0: instead of from and to, so many at random
  std::uint64_t seed;
  std::int32_t program;  // its pid

  std::atomic<std::uint32_t> armed;
  std::atomic<std::uint64_t> count;  // of the call, where all count together
  std::atomic<std::uint64_t> refused;
  std::atomic<std::uint64_t> made[roles][call_count];  // while armed
};

inline constexpr char const* board_variable = "FAULTS_BOARD";  // the path of its file
inline constexpr char const* trace_variable = "FAULTS_TRACE";  // set: each refusal tells its stack

}  // namespace faults
