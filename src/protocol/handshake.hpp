// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#pragma once

// The messages of the parent and a new worker on the control socket before the first frame:
//
//   parent -> worker   Hello, with the descriptors of the worker's channel
//   worker -> parent   Ready with its modules, or Refusal with a sentence
//
// After that the socket carries only the descriptors of large messages, either way. The parent
// believes the worker's messages only as far as it can check them.

#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <variant>
#include <vector>

#include "identity/module.hpp"

namespace procpool::inline v0_1::protocol {

// Tells a fresh execution of the program that it is a worker, by a protocol version, or a fork
// server, see fork_messages.hpp. Removed from the environment at entry, so that programs which the
// worker starts are not taken for workers.
inline constexpr char const* worker_mark = "PROCPOOL_WORKER";

// The descriptors of a Hello, in this order. The last one ends the worker's control group, and
// comes only if there is one. (A path would have the worker open, with its own rights, a file that
// somebody else names.)
enum HelloFd : std::size_t {
  fd_inbox,
  fd_outbox,
  fd_event,
  fd_parent,
  fd_liveness_pipe,
  fd_cgroup_kill,
  max_hello_fds
};

inline constexpr std::size_t longest_message = 256 * 1024;

struct Hello {
  std::uint32_t protocol = 0;
  std::uint32_t worker = 0;
  std::int64_t parent = 0;  // pid
  std::uint64_t ring_bytes = 0;
  std::string pool;
  struct Limit {
    std::int32_t resource = 0;  // RLIMIT_*
    std::uint64_t soft = 0;
    std::uint64_t hard = 0;
  };
  std::vector<Limit> limits{};
  std::vector<std::int32_t> cpus{};        // to be pinned to; empty: none
  std::int32_t nice = 0;                   // to be added
  std::uint32_t harden = 0;                // 1: yes
  std::uint32_t depth = 1;                 // pools above the worker
  std::uint64_t recycle_above = 0;         // bytes resident; 0: no matter
  std::uint32_t cgroup = 0;                // 1: it has a control group of its own
  std::string output_token{};              // not empty: output is captured, see OutputCapture
  std::uint64_t parent_began = 0;          // os::start_time of the parent
  std::uint32_t ignore_sigterm = 0;        // 1: yes; it is blocked until then
  std::string exceptions{};                // ListedExceptions::text_of the pool's
  std::uint32_t dedicated = 0;             // 1: it is the only worker of the pool that it names
  std::uint32_t whole_lines = 0;           // 1: each line is written at once
  std::vector<std::string> environment{};  // "NAME=value", to be set
};

struct Ready {
  std::vector<identity::LoadedModule>
      modules;  // empty from a forked worker: its fork server has sent them
};

struct Refusal {
  std::string reason;
};

std::vector<std::byte> encode(Hello const& hello);
std::optional<Hello> decode_hello(std::span<std::byte const> bytes);

std::vector<std::byte> encode(Ready const& ready);
std::vector<std::byte> encode(Refusal const& refusal);
// Nothing: the bytes are neither message.
std::optional<std::variant<Ready, Refusal>> decode_answer(std::span<std::byte const> bytes);

}  // namespace procpool::inline v0_1::protocol
