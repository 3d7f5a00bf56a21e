// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#include "parent/fork_server_client.hpp"

#include <signal.h>
#include <sys/epoll.h>

#include <cerrno>
#include <exception>
#include <system_error>
#include <utility>

#include <procpool/detail/engine/reason.hpp>
#include <procpool/errors.hpp>

#include "engine/describe.hpp"
#include "engine/patience.hpp"
#include "identity/module.hpp"
#include "parent/core.hpp"
#include "parent/exit_report.hpp"
#include "parent/poll_keys.hpp"
#include "parent/worker_launcher.hpp"

namespace procpool::inline v0_1::parent {
namespace {

using namespace std::chrono_literals;

// Fork servers in a row that were lost before they had forked a worker.
constexpr unsigned max_useless_in_a_row = 3;
// A fork server that cannot be asked for so long is not asked how a worker ended.
constexpr auto status_timeout = 1s;

}  // namespace

ForkServerClient::ForkServerClient(Core const& core, os::Poller& poller, WorkerLauncher& launcher)
    : core_(core), poller_(poller), launcher_(launcher) {}

bool ForkServerClient::forks() const noexcept {
  return core_.options.start.method == Start::forkserver && !never_forks_ && !spawns_next_;
}

bool ForkServerClient::preloads() const noexcept { return core_.options.start.preload.has_value(); }

bool ForkServerClient::prepare() {
  // The process stays, to reap the workers that it has forked.
  if (process_ && !process_->has_our_rights()) {
    spawn_from_now_on("the program acts for another user or group than its fork server");
  }
  if (preloads() && never_forks_) {
    throw SetupError("it cannot be forked, and a spawned worker has nothing of the preload: " +
                     why_never_);
  }
  if (!forks()) return false;
  if (process_) return true;
  process_.emplace(launcher_.fork_server_settings());
  first_request_id_ = last_request_id_ + 1;
  unreachable_ = false;
  try {
    poller_.add(process_->socket(), key(what_fork_server, 0), EPOLLIN);
    poller_.add(process_->pidfd(), key(what_fork_server, 0), EPOLLIN);
  } catch (...) {
    end();
    throw;
  }
  return true;
}

std::uint64_t ForkServerClient::fork(std::string title, std::span<int const> fds) {
  switch (process_->fork(last_request_id_ + 1, std::move(title), fds)) {
    case Order::given: return ++last_request_id_;
    case Order::later:
      throw std::system_error(ENOBUFS, std::system_category(),
                              "the fork server could not be asked");
    case Order::nobody: break;
  }
  unreachable_ = true;
  return 0;
}

ForkServerClient::Order ForkServerClient::reap(std::uint64_t request_id,
                                               std::optional<TimePoint>& since) {
  if (!process_ || request_id < first_request_id_) return Order::nobody;
  auto const order = process_->reap(request_id);
  if (order == Order::later) {
    // The system soon has again what it lacks now; an exit status is not worth more than that.
    auto const now = std::chrono::steady_clock::now();
    if (!since) since = now;
    if (now - *since > status_timeout) return Order::nobody;
  }
  return order;
}

std::optional<ForkServerClient::Event> ForkServerClient::next() {
  if (!process_) return std::nullopt;
  while (auto word = process_->next()) {
    if (auto const* const ready = std::get_if<protocol::Ready>(&*word)) {
      if (auto const difference = launcher_.first_difference(ready->modules)) {
        return lose(*difference, false);
      }
    } else if (auto const* const refusal = std::get_if<protocol::Refusal>(&*word)) {
      return lose(refusal->reason, false);
    } else if (auto const* const preload = std::get_if<protocol::PreloadReport>(&*word)) {
      if (!preload->thrown.empty() || !preload->reason.empty()) return lose_preload(*preload);
    } else {
      auto& forked = std::get<ForkServerProcess::Forked>(*word);
      if (forked.report.kind == protocol::ForkReport::Kind::unfit) {
        if (preloads()) return lose_preload({.reason = forked.report.reason});
        spawn_from_now_on(forked.report.reason);
      }
      return std::move(forked);
    }
  }
  if (process_->gone()) return lose({});
  return std::nullopt;
}

std::optional<ForkServerClient::TimePoint> ForkServerClient::deadline() const noexcept {
  if (!process_) return std::nullopt;
  return unreachable_ ? TimePoint() : process_->deadline();
}

std::optional<ForkServerClient::Loss> ForkServerClient::look(TimePoint now) {
  if (!process_) return std::nullopt;
  if (unreachable_) return lose("cannot be reached");
  if (!process_->late(now)) return std::nullopt;
  std::string const limit = std::to_string(core_.options.start.timeout.count()) + " ms";
  if (process_->preloads()) {
    std::string const why = "preloads for longer than " + limit;
    return lose(why, true, detail::patiently([&] {
                  return std::make_exception_ptr(TaskTimeout("the preload of pool \"" + core_.name +
                                                             "\" took longer than " + limit));
                }));
  }
  return lose(process_->greeted() ? "does not answer"
                                  : "did not say its first word within " + limit);
}

void ForkServerClient::end_useless(bool pending) {
  if (never_forks_ && process_ && !process_->useful() && !pending) end();
}

os::Exit ForkServerClient::end() noexcept {
  if (!process_) return {};
  poller_.remove(process_->socket());
  poller_.remove(process_->pidfd());
  os::Exit const exit = process_->end();
  process_.reset();
  return exit;
}

void ForkServerClient::spawn_from_now_on(std::string const& why) {
  if (std::exchange(never_forks_, true)) return;
  detail::patiently([&] { why_never_ = why; });
  if (preloads()) return;
  detail::if_possible([&] {
    core_.log("pool \"" + core_.name + "\": its workers are spawned and not forked: " + why);
  });
}

ForkServerClient::Loss ForkServerClient::lose_preload(protocol::PreloadReport const& report) {
  std::exception_ptr const error = detail::patiently([&] {
    if (report.thrown.empty()) {
      return std::make_exception_ptr(
          SetupError("the preload of pool \"" + core_.name + "\" is of no use: " + report.reason));
    }
    detail::OutcomeBlock block;
    block.count = 1;
    block.kind = detail::OutcomeBlock::Kind::thrown;
    block.pid = process_->pid();
    auto const bytes = std::as_bytes(std::span(report.thrown));
    block.payload = detail::Payload(detail::Bytes(bytes.begin(), bytes.end()));
    return detail::reason_of(block, 0);
  });
  std::string const why =
      detail::patiently([&] { return "failed in its preload: " + describe(error); });
  return lose(why, true, error);
}

ForkServerClient::Loss ForkServerClient::lose(std::string const& why, bool believed,
                                              std::exception_ptr error) {
  Loss loss;
  loss.came_up = believed && !error && process_->came_up();
  bool const in_preload = error || (believed && process_->preloads());
  bool const useful = process_->useful();
  pid_t const pid = process_->pid();
  os::Exit const exit = end();
  bool const killed_externally = why.empty() && may_be_killed_externally(exit);
  if (!loss.came_up) {
    loss.failure = killed_externally ? SpawnBackoff::Failure::external_kill
                   : in_preload      ? SpawnBackoff::Failure::initializer
                                     : SpawnBackoff::Failure::start;
    // If it was killed, a spawned worker will do. If the program does not start, nothing will.
    spawns_next_ = !preloads();
  } else {
    useless_in_a_row_ = useful ? 1 : useless_in_a_row_ + 1;
    if (useless_in_a_row_ >= max_useless_in_a_row) {
      never_forks_ = true;
      detail::patiently([&] { why_never_ = "its fork servers are ended again and again"; });
    }
    loss.useless_in_a_row = useless_in_a_row_;
  }
  loss.how = detail::patiently([&] {
    std::string const name = "the fork server (pid " + std::to_string(pid) + ") ";
    if (!why.empty()) return name + why;
    return name + text_of(exit) +
           (loss.came_up ? ""
            : in_preload ? " in its preload"
                         : " before its first word");
  });
  if (in_preload && !killed_externally) {
    loss.error = error ? error : detail::patiently([&] {
      return std::make_exception_ptr(
          SetupError("pool \"" + core_.name + "\" cannot start workers: " + loss.how));
    });
  }
  if (loss.came_up) {
    detail::if_possible([&] {
      core_.log("pool \"" + core_.name + "\": " + loss.how + "; its workers go on" +
                (never_forks_ && !preloads() ? ", and others are spawned from now on" : ""));
    });
  }
  return loss;
}

}  // namespace procpool::inline v0_1::parent
