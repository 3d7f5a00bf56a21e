// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#include "forkserver/fork_server.hpp"

#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <iostream>
#include <optional>
#include <unordered_map>
#include <utility>

#include "channel/layout.hpp"
#include "engine/fork_detection.hpp"
#include "entry/entry_hook.hpp"
#include "forkserver/prebind.hpp"
#include "forkserver/preload.hpp"
#include "forkserver/signal_state.hpp"
#include "identity/module.hpp"
#include "os/activity.hpp"
#include "os/memfd.hpp"
#include "os/process.hpp"
#include "os/socket.hpp"
#include "os/spawn.hpp"
#include "protocol/fork_messages.hpp"
#include "protocol/handshake.hpp"
#include "worker/crash_handler.hpp"
#include "worker/parent_watchdog.hpp"
#include "worker/process_title.hpp"

namespace procpool::inline v0_1::forkserver {
namespace {

using namespace std::chrono_literals;

// For workers to end by themselves when the program is gone.
constexpr auto orphan_grace = 200ms;

bool has_ended(pid_t child) noexcept {
  siginfo_t info{};
  return ::waitid(P_PID, static_cast<id_t>(child), &info, WEXITED | WNOHANG | WNOWAIT) != 0 ||
         info.si_pid != 0;
}

// Output of static initialisation, or of the preload, that is not flushed would be printed by every
// worker. Nothing is printed after that.
void flush_output() noexcept {
  std::fflush(nullptr);
  try {
    std::cout.flush();
    std::clog.flush();
  } catch (...) {  // its exceptions are switched on
  }
}

class ForkServer {
 public:
  ForkServer(os::UniqueFd control, char* title) : control_(std::move(control)), title_(title) {
    follow_by_descriptors();
  }

  void greet() {
    os::Packet packet;
    if (os::receive_packet(control_.get(), packet, true) != os::ReceiveResult::received) end();
    auto const greeting = protocol::decode_greeting(packet.bytes);
    std::size_t const fds = greeting && greeting->preloads != 0 ? 2 : 1;
    if (!greeting || packet.fds.size() != fds || greeting->protocol != channel::protocol_version) {
      say(encode(
          protocol::Refusal{"the program's greeting is not one that its fork server knows"}));
      end();
    }
    program_ = std::move(packet.fds[protocol::greeting_fd_program]);
    maker_ = os::packet_peer(control_.get());
    worker::ProcessTitle::name_process(greeting->pool, "forkserver");
    flush_output();
    worker::prepare_crash_reports();
    prebind();
    say(encode(protocol::Ready{identity::loaded_modules()}));
    preloads_ = greeting->preloads != 0;
    if (!preloads_) return;
    entry::set_depth(greeting->depth);
    preload(os::Memfd(std::move(packet.fds[protocol::greeting_fd_preload])));
  }

  worker::WorkerStart serve() {
    for (;;) {
      std::array<pollfd, 2> watched{{{control_.get(), POLLIN, 0}, {program_.get(), POLLIN, 0}}};
      if (::poll(watched.data(), watched.size(), -1) < 0) {
        if (errno == EINTR) continue;
        // The kernel lacks memory, maybe for good. The socket tells both an order and an end.
        rest();
      } else if (watched[1].revents != 0) {
        end();
      }
      for (bool more = true; more;) {
        os::Packet packet;
        switch (os::receive_packet(control_.get(), packet, false)) {
          case os::ReceiveResult::would_block: more = false; break;
          case os::ReceiveResult::closed: end();
          case os::ReceiveResult::received:
            if (auto start = obey(packet)) return std::move(*start);
        }
      }
    }
  }

  // The fork server does not come up.
  [[noreturn]] void refuse(char const* why) noexcept {
    try {
      say(encode(protocol::Refusal{why}));
    } catch (std::exception const&) {
    }
    abandon();
  }

  // Workers go on.
  [[noreturn]] static void abandon() noexcept { ::_exit(EXIT_FAILURE); }

  // The program is gone, or does not use this fork server any more. Workers see that themselves
  // unless they are stopped. Those are resumed, and killed if that does not help.
  [[noreturn]] void end() noexcept {
    for (auto const& [request_id, pid] : workers_) ::kill(pid, SIGCONT);
    auto const limit = std::chrono::steady_clock::now() + orphan_grace;
    auto const left = [this] {
      for (auto const& [request_id, pid] : workers_) {
        if (!has_ended(pid)) return true;
      }
      return false;
    };
    while (left() && std::chrono::steady_clock::now() < limit) {
      timespec const pause{0, 1'000'000};
      ::nanosleep(&pause, nullptr);
    }
    // None has been reaped, so each pid is still the worker's.
    for (auto const& [request_id, pid] : workers_) {
      ::kill(-pid, SIGKILL);
      ::kill(pid, SIGKILL);  // it may not lead a group yet
    }
    // Destructors of static objects belong to workers.
    ::_exit(EXIT_SUCCESS);
  }

 private:
  void follow_by_descriptors() noexcept {
    // Neither a handler nor a disposition of the program may take our children's statuses.
    struct sigaction usual{};
    usual.sa_handler = SIG_DFL;
    ::sigaction(SIGCHLD, &usual, &sigchld_);
    // A stopped process cannot see the program end. Otherwise the descriptors tell it.
    ::prctl(PR_SET_PDEATHSIG, SIGCONT);
  }

  void preload(os::Memfd const& call) {
    // The call may take long, and nobody looks at the descriptors meanwhile.
    worker::follow_parent(control_.get());
    ::sigaction(SIGCHLD, &sigchld_, nullptr);
    signals_.emplace();
    os::no_core_dumps();
    protocol::PreloadReport report;
    try {
      Preload const preload(call);
      preloaded_ = preload.memory();
      report = preload.report();
    } catch (std::exception const& error) {  // its function is not in this process, or no memory
      report.reason = error.what();
    }
    follow_by_descriptors();
    flush_output();
    say(encode(report));
  }

  static void rest() noexcept {
    timespec const pause{0, 1'000'000};
    ::nanosleep(&pause, nullptr);
  }

  // The new worker, in that worker.
  std::optional<worker::WorkerStart> obey(os::Packet& packet) {
    auto const order = protocol::decode_fork_order(packet.bytes);
    if (!order) abandon();
    if (order->kind == protocol::ForkOrder::Kind::fork) return fork_worker(*order, packet.fds);
    reap(order->request_id);
    return std::nullopt;
  }

  std::optional<worker::WorkerStart> fork_worker(protocol::ForkOrder const& order,
                                                 std::vector<os::UniqueFd>& fds) {
    if (fds.empty()) abandon();
    protocol::ForkReport report;
    report.request_id = order.request_id;
    // A fork copies the calling thread alone. A lock of another thread would be held for ever.
    if (std::size_t const threads = os::thread_count(); threads != 1) {
      report.kind = protocol::ForkReport::Kind::unfit;
      report.reason = threads == 0 ? "it cannot be told how many threads it has (is /proc mounted?)"
                      : preloads_  ? "a thread has begun since the preload has ended"
                                   : "static initialisation has started a thread";
      say(encode(report));
      return std::nullopt;
    }
    // The worker would act with the fork server's rights for the process at the other end.
    if (os::packet_peer(fds[protocol::fork_fd_control].get()) != maker_) {
      report.kind = protocol::ForkReport::Kind::failed;
      report.reason =
          "the worker's socket was made by another process, or for another user, than the "
          "fork server's";
      say(encode(report));
      return std::nullopt;
    }
    worker::WorkerStart start{std::move(fds[protocol::fork_fd_control]), title_, order.title, true,
                              preloaded_};
    pid_t const pid = ::fork();
    if (pid == 0) {
      become_worker(fds);
      return start;
    }
    try {
      if (pid < 0) os::throw_errno("the fork server could not fork");
      os::UniqueFd const pidfd =
          os::open_pidfd(pid);  // still ours, even if it has died: only this process reaps it
      workers_.emplace(order.request_id, pid);
      report.pid = pid;
      int const descriptor = pidfd.get();
      say(encode(report), std::span(&descriptor, 1));
    } catch (std::exception const& error) {
      if (pid > 0) {
        ::kill(pid, SIGKILL);
        while (::waitpid(pid, nullptr, 0) < 0 && errno == EINTR) {
        }
        workers_.erase(order.request_id);
      }
      report.kind = protocol::ForkReport::Kind::failed;
      report.reason = error.what();
      say(encode(report));
    }
    return std::nullopt;
  }

  void become_worker(std::vector<os::UniqueFd> const& fds) noexcept {
    // A group is not enough: in the fork server's session a stopped worker gets SIGHUP when that
    // dies.
    ::setsid();
    control_.reset();
    program_.reset();
    // For the objects of static initialisation this is not a forked child of the program.
    forget_forks();
    ::sigaction(SIGCHLD, &sigchld_, nullptr);
    if (signals_) signals_->restore();
    if (fds.size() > protocol::fork_fd_output) {
      ::dup2(fds[protocol::fork_fd_output].get(), STDOUT_FILENO);
      ::dup2(fds[std::min<std::size_t>(fds.size() - 1, protocol::fork_fd_error)].get(),
             STDERR_FILENO);
    }
  }

  // Until here the dead worker's pid is its own, so its group can be killed by it.
  void reap(std::uint64_t request_id) {
    protocol::ForkReport report;
    report.kind = protocol::ForkReport::Kind::reaped;
    report.request_id = request_id;
    if (auto const worker = workers_.find(request_id); worker != workers_.end()) {
      os::let_go_traced(worker->second);
      // The pid is the worker's even if no pidfd can be opened, since it was not reaped.
      os::UniqueFd pidfd;
      try {
        pidfd = os::open_pidfd(worker->second);
      } catch (std::exception const&) {
        ::kill(-worker->second, SIGKILL);
      }
      report.exit = os::reap(pidfd.get(), worker->second);
      workers_.erase(worker);
    }
    say(encode(report));
  }

  void say(std::vector<std::byte> const& bytes, std::span<int const> fds = {}) {
    if (os::send_packet(control_.get(), bytes, fds, true) != os::SendResult::sent) end();
  }

  os::UniqueFd control_;
  os::UniqueFd program_;           // its pidfd
  std::optional<os::Peer> maker_;  // the program
  char* const title_;
  bool preloads_ = false;
  os::MemoryUse preloaded_;             // what the preload has filled
  std::optional<SignalState> signals_;  // ahead of the preload; workers have that
  struct sigaction sigchld_{};
  std::unordered_map<std::uint64_t, pid_t> workers_;  // by request id; not yet reaped
};

}  // namespace

worker::WorkerStart fork_server_main(char* title) {
  // Never destroyed: freeing its memory would make each worker copy the pages.
  static ForkServer* const fork_server_of_process =
      new ForkServer(os::above_standard(os::UniqueFd(os::child_control_fd)), title);
  ForkServer& self = *fork_server_of_process;
  try {
    self.greet();
  } catch (std::exception const& error) {
    self.refuse(error.what());
  }
  try {
    return self.serve();
  } catch (std::exception const&) {  // no memory or descriptors: the dispatcher starts another one
    ForkServer::abandon();
  }
}

}  // namespace procpool::inline v0_1::forkserver
