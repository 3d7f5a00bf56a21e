// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#pragma once

// ForkServerProcess: one fork server of Start::forkserver, as the dispatcher sees it. The class
// starts the process, sends orders and returns the answers in the order of the orders. For the
// dispatcher's thread alone.
//
// Only end() waits for the process; deadline() finds a process that is stopped. The fork server may
// die at any point: unanswered orders are lost then, and gone() is true. Its workers live on. They
// have another parent then, and only new kernels tell how they end. The death of this process ends
// the fork server, see forkserver/fork_server.hpp.

#include <chrono>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <variant>
#include <vector>

#include "os/fd.hpp"
#include "os/spawn.hpp"
#include "protocol/fork_messages.hpp"
#include "protocol/handshake.hpp"

namespace procpool::inline v0_1::parent {

class ForkServerProcess {
 public:
  using TimePoint = std::chrono::steady_clock::time_point;

  // An answer may take so many times longer than that of a process that is stopped.
  static constexpr int max_more_time = 9;

  struct Settings {
    int image = -1;
    int program = -1;  // pidfd of this process
    std::string pool;
    std::vector<std::string> environment;
    bool drops_output = false;
    std::chrono::milliseconds start_timeout;
    int blocked = 0;       // as in os::SpawnRequest, also for the workers
    int preload = -1;      // the memory file with the call; -1: none
    unsigned depth = 1;    // pools above the fork server
    std::string module{};  // as in entry::WorkerProgram
  };
  // Throws std::system_error.
  explicit ForkServerProcess(Settings const& settings);
  ForkServerProcess(ForkServerProcess const&) = delete;
  ForkServerProcess& operator=(ForkServerProcess const&) = delete;
  // Ends the process.
  ~ForkServerProcess();

  pid_t pid() const noexcept { return process_.pid; }
  // To be watched: call next() when the socket is readable, and gone() when either is.
  int socket() const noexcept { return socket_.get(); }
  int pidfd() const noexcept { return process_.pidfd.get(); }

  enum class Order {
    given,
    later,   // the socket is full, or the system lacks memory or descriptors for a moment
    nobody,  // the process is gone
  };
  // Orders may precede the first answer.
  Order fork(std::uint64_t request_id, std::string title, std::span<int const> fds);
  Order reap(std::uint64_t request_id);
  // Enough orders are unanswered. The next answer changes that.
  bool busy() const noexcept;

  struct Forked {
    protocol::ForkReport report;
    os::UniqueFd pidfd;
  };
  using Word = std::variant<protocol::Ready, protocol::Refusal, protocol::PreloadReport, Forked>;
  // Nothing: no more is there now.
  std::optional<Word> next();
  // The process is dead, or it said something else.
  bool gone();
  bool greeted() const noexcept { return greeted_; }
  // The process has its modules, and makes the call of the preload.
  bool preloads() const noexcept { return greeted_ && !came_up(); }
  // The process takes orders.
  bool came_up() const noexcept { return greeted_ && preload_ended_; }
  // This process still acts for the user and group for which it started the fork server. If not,
  // workers would have rights that this process has dropped.
  bool has_our_rights() const noexcept;
  // The process has forked a worker.
  bool useful() const noexcept { return useful_; }
  // The process may be to be abandoned if it has not answered by then: ask late().
  std::optional<TimePoint> deadline() const noexcept;
  // The process is to be abandoned. On a busy machine an answer may be here and not read, or the process
  // may get no time: one that nobody has stopped gets a later deadline a few times.
  bool late(TimePoint now) noexcept;

  // Kills the process and returns how it ended. Blocks for a second at most.
  os::Exit end();

 private:
  Order order(protocol::ForkOrder const& order, std::span<int const> fds);

  uid_t const user_;
  gid_t const group_;
  os::UniqueFd socket_;
  os::Child process_;
  std::chrono::milliseconds const start_timeout_;
  TimePoint waiting_since_;
  int more_time_ = max_more_time;  // so often
  std::size_t unanswered_ = 0;
  bool greeted_ = false;
  bool preload_ended_;
  bool useful_ = false;
  bool gone_ = false;
};

}  // namespace procpool::inline v0_1::parent
