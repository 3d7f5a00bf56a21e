// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#include "parent/strays.hpp"

#include <signal.h>
#include <sys/epoll.h>

#include <algorithm>
#include <exception>
#include <utility>

#include "engine/patience.hpp"
#include "os/socket.hpp"
#include "parent/cgroup_sweep.hpp"
#include "parent/core.hpp"
#include "parent/exit_report.hpp"
#include "parent/fork_server_client.hpp"
#include "parent/poll_keys.hpp"

namespace procpool::inline v0_1::parent {
namespace {

using namespace std::chrono_literals;

// Between two looks at a process that the poller cannot watch.
constexpr auto unwatched_interval = 100ms;
constexpr std::size_t min_exiting = 16;

}  // namespace

Strays::Strays(Core& core, os::Poller& poller, ForkServerClient& fork_server, CgroupSweep& cgroups)
    : core_(core), poller_(poller), fork_server_(fork_server), cgroups_(cgroups) {}

Strays::~Strays() {
  for (Stray& stray : strays_) os::close_socket(std::move(stray.control));
}

void Strays::watch(Stray& stray) noexcept {
  stray.watched = detail::if_possible(
      [&] { poller_.add(stray.child.pidfd.get(), key(what_stray, 0), EPOLLIN); });
}

void Strays::abandon(ChildProcess child, bool reached) {
  detail::patiently([&] { strays_.reserve(strays_.size() + 1); });
  strays_.push_back({std::move(child), reached});
  watch(strays_.back());
}

std::size_t Strays::exiting() const noexcept {
  return static_cast<std::size_t>(
      std::ranges::count_if(strays_, [](Stray const& stray) { return stray.exiting.has_value(); }));
}

bool Strays::full(std::size_t workers) const noexcept {
  return exiting() >= std::max(workers, min_exiting);
}

bool Strays::adopt(std::size_t index, ChildProcess& child, os::Cgroup& cgroup, int control,
                   int output, TimePoint deadline) {
  Stray stray;
  try {
    stray.control = os::duplicate(control);
    if (output >= 0) stray.output = os::duplicate(output);
    strays_.reserve(strays_.size() + 1);
  } catch (std::exception const&) {  // no descriptor or no memory
    return false;
  }
  poller_.remove(child.pidfd.get());
  stray.child = std::move(child);
  stray.cgroup = std::move(cgroup);
  stray.index = index;
  stray.exiting = Exiting{deadline};
  strays_.push_back(std::move(stray));
  watch(strays_.back());
  return true;
}

std::optional<Strays::TimePoint> Strays::tick(TimePoint now) {
  std::optional<TimePoint> next;
  auto const at = [&next](TimePoint time) { next = next ? std::min(*next, time) : time; };
  for (Stray& stray : strays_) {
    if (!stray.watched) at(now + unwatched_interval);
    if (!stray.exiting || stray.status_wanted) continue;
    ChildProcess const& child = stray.child;
    if (now >= stray.exiting->deadline && !os::exited(child.pidfd.get())) {
      if (stray.exiting->terminated) {
        stray.reached = os::signal_group(child.pidfd.get(), child.pid, SIGKILL);
        stray.exiting.reset();
        core_.count_forced();
        at(now);  // the end of the pool may have waited for it
        continue;
      }
      os::signal_group(child.pidfd.get(), child.pid, SIGTERM);
      stray.exiting = Exiting{detail::later(now, core_.options.shutdown.stop_grace), true};
    }
    at(stray.exiting->deadline);
  }
  std::size_t const before = strays_.size();
  reap();
  if (strays_.size() != before) at(now);  // as above
  return next;
}

bool Strays::reap() {
  std::erase_if(strays_, [this](Stray& stray) { return try_to_reap(stray); });
  return std::ranges::any_of(strays_, &Stray::reached);
}

bool Strays::try_to_reap(Stray& stray) {
  ChildProcess const& child = stray.child;
  if (!os::exited(child.pidfd.get())) return false;
  // A child of the fork server is reaped there, and its report is ignored.
  auto const order = fork_server_.reap(child.request_id, stray.status_wanted);
  if (order == ForkServerClient::Order::later) {
    poller_.remove(child.pidfd.get());
    stray.watched = false;  // it would be reported until the fork server can be asked
    return false;
  }
  if (order == ForkServerClient::Order::nobody) {
    os::Exit const exit = os::reap(child.pidfd.get(), child.pid);
    if (stray.index && exit.kind != os::Exit::Kind::unknown) {
      detail::if_possible([&] {
        std::string const name = worker_name(*stray.index, child.pid);
        core_.amend_last_end(*stray.index, name + " left", name + " " + text_of(exit));
      });
    }
  }
  os::close_socket(std::move(stray.control));
  cgroups_.add(std::move(stray.cgroup));
  return true;
}

void Strays::hurry(TimePoint now) noexcept {
  for (Stray& stray : strays_) {
    if (stray.exiting) stray.exiting = Exiting{now, true};
  }
}

}  // namespace procpool::inline v0_1::parent
