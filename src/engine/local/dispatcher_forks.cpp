// The dispatcher's part that has workers forked by a template process (Start::forkserver): when there is one,
// what it answers, and what its death means: no worker ends for it, and births that it had not answered begin
// anew.

#include <signal.h>
#include <sys/epoll.h>
#include <unistd.h>

#include <algorithm>
#include <bit>
#include <cerrno>
#include <system_error>
#include <utility>

#include "engine/local/dispatcher.hpp"
#include "engine/local/dispatcher_keys.hpp"
#include "engine/local/obituary.hpp"
#include "engine/patience.hpp"

namespace procpool::inline v0::local {
namespace {

// In a row, each before it had forked once.
constexpr unsigned most_useless_templates = 3;

// Until a template that cannot be asked how a worker ended is asked no more.
constexpr std::chrono::seconds status_patience{1};

// Which of the template's descriptors it is, in the place of the slot.
enum TemplateKey : std::size_t { key_socket, key_pidfd };

}  // namespace

bool Dispatcher::forks() const {
  return core_.options.start == Start::forkserver && !never_forks_ && !spawns_next_;
}

void Dispatcher::make_template() {
  if (forkserver_) return;
  forkserver_.emplace(Forkserver::Making{
      image_.get(), self_.get(), core_.name, environment_, core_.options.output != Output::inherit,
      core_.options.start_timeout, core_.options.ignore_sigterm ? SIGTERM : 0});
  ++template_number_;
  try {
    poller_->add(forkserver_->socket(), key(what_template, key_socket), EPOLLIN);
    poller_->add(forkserver_->pidfd(), key(what_template, key_pidfd), EPOLLIN);
  } catch (...) {
    end_template();
    throw;
  }
}

os::Exit Dispatcher::end_template() {
  if (!forkserver_) return {};
  poller_->remove(forkserver_->socket());
  poller_->remove(forkserver_->pidfd());
  os::Exit const exit = forkserver_->end();
  forkserver_.reset();
  return exit;
}

bool Dispatcher::ask_for_fork(std::size_t slot) {
  // It stays to bury the workers that it has forked.
  if (forkserver_ && !forkserver_->has_our_rights() && !std::exchange(never_forks_, true)) {
    core_.log("pool \"" + core_.name +
              "\": its workers are spawned from now on, and not forked: the program acts for "
              "another user or group than its template process");
  }
  if (!forks()) return false;
  make_template();
  Life& life = lives_[slot];
  std::vector<int> fds{life.cradle.theirs.get()};
  if (life.cradle.output) fds.push_back(life.cradle.output->workers_end());
  // Said ahead, so that the new worker need not wait for it; but it must be in its group first.
  if (!life.cgroup) send_hello(slot, life.cradle);
  life.ticket = ++last_ticket_;
  life.template_number = template_number_;
  switch (forkserver_->fork(life.ticket, title(slot), fds)) {
    case Forkserver::Order::given: life.unborn = true; return true;
    case Forkserver::Order::later:
      throw std::system_error(ENOBUFS, std::system_category(),
                              "the template process could not be asked");
    case Forkserver::Order::nobody: break;
  }
  lose_template("cannot be reached");
  life.ticket = 0;
  return false;
}

Forkserver::Order Dispatcher::ask_template(std::uint64_t ticket, std::uint64_t template_number,
                                           std::optional<TimePoint>& wanted) {
  if (ticket == 0 || !forkserver_ || template_number != template_number_) {
    return Forkserver::Order::nobody;
  }
  auto const order = forkserver_->bury(ticket);
  if (order == Forkserver::Order::later) {
    // What the system lacks for a moment it has again soon; how a worker ended is not worth more.
    auto const now = std::chrono::steady_clock::now();
    if (!wanted) wanted = now;
    if (now - *wanted > status_patience) return Forkserver::Order::nobody;
  }
  return order;
}

Forkserver::Order Dispatcher::ask_for_status(std::size_t slot) {
  Life& life = lives_[slot];
  auto const order = ask_template(life.ticket, life.template_number, life.status_wanted);
  if (order != Forkserver::Order::nobody) {
    // No more of it is to be heard; where the template could not be asked yet, it is asked again.
    poller_->remove(life.pidfd.get());
    life.unwatched = true;
    std::lock_guard const lock(core_.mutex);
    if (life.state == State::ready) core_.scheduler.worker_leaves(slot);  // it is given nothing
  }
  life.ended = order == Forkserver::Order::given;
  return order;
}

void Dispatcher::on_template() {
  while (forkserver_) {
    auto word = forkserver_->next();
    if (!word) break;
    if (auto const* const ready = std::get_if<Ready>(&*word)) {
      auto const difference = identity::first_difference(modules_, ready->modules);
      if (difference) lose_template(*difference, false);
    } else if (auto const* const refusal = std::get_if<Refusal>(&*word)) {
      lose_template(refusal->reason, false);
    } else {
      on_report(std::get<Forkserver::Forked>(*word));
    }
  }
  if (forkserver_ && forkserver_->gone()) lose_template({});
}

void Dispatcher::on_report(Forkserver::Forked& forked) {
  ForkReport const& report = forked.report;
  auto const found = std::ranges::find(lives_, report.ticket, &Life::ticket);
  if (found == lives_.end()) return;  // a worker that nobody asked for has nobody to talk to
  auto const slot = static_cast<std::size_t>(found - lives_.begin());
  Life& life = *found;
  switch (report.kind) {
    case ForkReport::Kind::forked:
      useless_templates_ = 0;
      born(slot, {report.pid, std::move(forked.pidfd)});
      break;
    case ForkReport::Kind::failed:
      unmake(slot, detail::patiently([&] {
               return "worker " + std::to_string(slot) + " could not be made: " + report.reason;
             }));
      break;
    case ForkReport::Kind::unfit:
      if (!std::exchange(never_forks_, true)) {
        detail::if_possible([&] {
          core_.log("pool \"" + core_.name +
                    "\": its workers are spawned and not forked: " + report.reason);
        });
      }
      unmake(slot);
      if (!forkserver_->useful() && std::ranges::none_of(lives_, &Life::unborn)) end_template();
      break;
    case ForkReport::Kind::buried:
      if (life.ended) bury(slot, report.exit);
      break;
  }
}

void Dispatcher::unmake(std::size_t slot, std::string const& failure, bool shot) {
  Life& life = lives_[slot];
  bool const failed = life.state == State::starting && !failure.empty();
  if (life.cgroup) {
    detail::patiently([&] { ended_groups_.push_back(std::move(life.cgroup)); });
  }
  State const state = life.state;
  life = Life();
  life.state = state;
  if (failed) {
    start_failed(slot, failure, nullptr, shot);
  } else {
    change(slot, State::vacant);
  }
}

void Dispatcher::lose_template(std::string const& why, bool believed) {
  bool const came_up = believed && forkserver_->greeted();
  bool const useful = forkserver_->useful();
  pid_t const pid = forkserver_->pid();
  os::Exit const exit = end_template();
  std::string const how = detail::patiently([&] {
    return "the template process (pid " + std::to_string(pid) + ") " +
           (why.empty() ? text_of(exit) : why);
  });
  bool reported = came_up;
  for (std::size_t slot = 0; slot < lives_.size(); ++slot) {
    Life& life = lives_[slot];
    if (life.unborn) {
      // A template that does not come up is like a worker that does not: one failed start.
      bool const report = life.state == State::starting && !std::exchange(reported, true);
      unmake(slot, detail::patiently([&] {
               return report ? how + (why.empty() ? " before its first word" : "") : std::string();
             }),
             why.empty() && may_be_shot(exit));
    } else if (life.ended) {
      // Its parent is another one now: only new kernels remember how it ended.
      bury(slot, os::reap(life.pidfd.get(), life.pid));
    }
  }
  if (!came_up) {
    // Should it have been killed, a spawned worker will do; should the program not start, nothing will.
    spawns_next_ = true;
    return;
  }
  useless_templates_ = useful ? 1 : useless_templates_ + 1;
  if (useless_templates_ >= most_useless_templates) never_forks_ = true;
  if (useless_templates_ > 1) {
    put_off_births(std::chrono::steady_clock::now(), useless_templates_);
  }
  detail::if_possible([&] {
    core_.log("pool \"" + core_.name + "\": " + how + "; its workers go on" +
              (never_forks_ ? ", and others are spawned from now on" : ""));
  });
}

std::optional<Dispatcher::TimePoint> Dispatcher::look_at_template(TimePoint now) {
  if (!forkserver_) return std::nullopt;
  auto const deadline = forkserver_->deadline();
  if (!deadline || now < *deadline) return deadline;
  lose_template(forkserver_->greeted()
                    ? "does not answer"
                    : "did not say its first word within " +
                          std::to_string(core_.options.start_timeout.count()) + " ms");
  return now;  // to look at what that has ended
}

}  // namespace procpool::inline v0::local
