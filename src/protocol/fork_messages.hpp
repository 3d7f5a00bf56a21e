// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#pragma once

// The messages between the dispatcher and its fork server, over a socket pair of their own:
//
//   dispatcher -> fork server   Greeting, with a pidfd of the program
//                               (and, if there is a preload, the memory file with its call)
//   fork server -> dispatcher   Ready with its modules, or Refusal, like a worker
//   fork server -> dispatcher   PreloadReport, if there is a preload
//   dispatcher -> fork server   ForkOrder: fork a worker (with its end of the control socket and, if
//                               output is captured, of the pipe), or reap one that has ended
//   fork server -> dispatcher   ForkReport for each order, in their order: the pid of the new worker
//                               (with its pidfd), how the dead one ended, or why there is no worker
//
// The fork server has run static initialisation and the preload of the program, and no task, so
// neither side suspects the other. A message that cannot be understood ends the fork server all the
// same.

#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "os/process.hpp"

namespace procpool::inline v0_1::protocol {

// The worker mark of a fresh execution that is to become a fork server, see handshake.hpp.
inline constexpr char const* fork_server_mark = "forkserver";

struct Greeting {
  std::uint32_t protocol = 0;
  std::string pool;
  std::uint32_t depth = 1;     // pools above the fork server
  std::uint32_t preloads = 0;  // 1: the call to preload comes along
};

// The descriptors of a Greeting.
enum GreetingFd : std::size_t { greeting_fd_program, greeting_fd_preload };

// How the preload has ended. Both are empty: well.
struct PreloadReport {
  std::string thrown{};  // the encoded exception
  std::string reason{};  // any other failure
};

struct ForkOrder {
  enum class Kind : std::uint8_t { fork, reap } kind = Kind::fork;
  std::uint64_t request_id = 0;  // the dispatcher's name for the worker
  std::string title{};           // fork: what `ps` shows
};

// The descriptors that come with the order to fork. The second is the output, unless that is
// inherited. The third is the standard error, unless that is the same.
enum ForkFd : std::size_t { fork_fd_control, fork_fd_output, fork_fd_error };

struct ForkReport {
  enum class Kind : std::uint8_t {
    forked,
    failed,  // the system refused; it may work another time
    unfit,   // this program's static initialisation does something that forbids to fork
    reaped
  } kind = Kind::forked;
  std::uint64_t request_id = 0;
  pid_t pid = 0;         // forked
  os::Exit exit{};       // reaped
  std::string reason{};  // failed, unfit
};

std::vector<std::byte> encode(Greeting const& greeting);
std::vector<std::byte> encode(PreloadReport const& report);
std::vector<std::byte> encode(ForkOrder const& order);
std::vector<std::byte> encode(ForkReport const& report);

// Nothing: the bytes are no such message.
std::optional<Greeting> decode_greeting(std::span<std::byte const> bytes);
std::optional<PreloadReport> decode_preload_report(std::span<std::byte const> bytes);
std::optional<ForkOrder> decode_fork_order(std::span<std::byte const> bytes);
std::optional<ForkReport> decode_fork_report(std::span<std::byte const> bytes);

}  // namespace procpool::inline v0_1::protocol
