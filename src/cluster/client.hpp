// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#pragma once

// Client: the thread of the link, in the process that has the pools. It moves what the pools of this
// process say to their hosts and what the hosts say, and gives each pool its turn.
//
// Any thread may call anything. The link is made, used and ended by the client's thread alone.

#include <chrono>
#include <cstddef>
#include <exception>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include <procpool/detail/engine/mutex.hpp>
#include <procpool/detail/export.hpp>

#include "cluster/link.hpp"

namespace procpool::inline v0_1::cluster {

// A pool, as the thread of the link sees it. All functions are called by that thread. They wait for
// memory if there is none, and throw nothing: nobody else has the elements.
class Member {
 public:
  using TimePoint = std::chrono::steady_clock::time_point;

  // Acts on an event, which is of none in particular: on a message only if the session is its own.
  virtual void handle(Link& link, Link::Event const& event) = 0;
  // Its turn, after each event and ring: returns when the next one is due.
  virtual std::optional<TimePoint> turn(Link& link, TimePoint now) = 0;

 protected:
  ~Member() = default;
};

class Client {
 public:
  using MakeLink = std::function<std::unique_ptr<Link>()>;
  using TimePoint = Member::TimePoint;

  // `make` runs on the client's thread. What it throws passes through. Throws SetupError if there can be
  // no thread.
  explicit Client(MakeLink make);
  Client(Client const&) = delete;
  Client& operator=(Client const&) = delete;
  // All members have left.
  ~Client();

  // The hosts that the link had told of so far are told to the member first.
  void join(Member& member);
  // Returns when the thread does not use the member any more. Not on the client's thread.
  void leave(Member& member);
  void ring() noexcept { link_->ring(); }
  Link const& link() const noexcept { return *link_; }

 private:
  void run(MakeLink const& make);
  void work();
  // Hosts without a pool hear of this process too.
  void show_life(TimePoint now);

  detail::Mutex mutex_;
  detail::Condition changed_;
  bool made_ PROCPOOL_GUARDED_BY(mutex_) = false;
  bool ends_ PROCPOOL_GUARDED_BY(mutex_) = false;
  std::exception_ptr failure_ PROCPOOL_GUARDED_BY(mutex_);
  std::vector<Member*> joining_ PROCPOOL_GUARDED_BY(mutex_);
  std::vector<Member*> leaving_ PROCPOOL_GUARDED_BY(mutex_);

  std::unique_ptr<Link> link_;               // set before made_
  std::vector<Member*> members_;             // the thread's alone
  std::map<Link::Peer, Link::Event> hosts_;  // the last event that says that it is up, or down
  TimePoint shown_{};                        // when hosts were told that this process lives
  std::thread thread_;
};

// A client, for another library.
PROCPOOL_API std::shared_ptr<Client> make_client(Client::MakeLink make);

}  // namespace procpool::inline v0_1::cluster
