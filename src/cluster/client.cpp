// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#include "cluster/client.hpp"

#include <pthread.h>

#include <algorithm>
#include <chrono>
#include <system_error>
#include <utility>

#include <procpool/errors.hpp>

#include "cluster/conversation.hpp"
#include "engine/patience.hpp"
#include "os/blocked_signals.hpp"
#include "parent/next_look.hpp"

namespace procpool::inline v0_1::cluster {

Client::Client(MakeLink make) {
  try {
    os::BlockedSignals const blocked;
    thread_ = std::thread([this, make = std::move(make)] { run(make); });
  } catch (std::system_error const& error) {
    throw SetupError(std::string("there is no thread for the hosts: ") + error.what());
  }
  pthread_setname_np(thread_.native_handle(), "procpool/link");
  detail::Lock lock(mutex_);
  while (!made_ && !failure_) changed_.wait(lock);
  if (!failure_) return;
  std::exception_ptr const failure = failure_;
  lock.unlock();
  thread_.join();
  std::rethrow_exception(failure);
}

Client::~Client() {
  {
    detail::Lock const lock(mutex_);
    ends_ = true;
    ring();  // with the lock: the thread frees the link
  }
  thread_.join();
}

std::shared_ptr<Client> make_client(Client::MakeLink make) {
  return std::make_shared<Client>(std::move(make));
}

void Client::join(Member& member) {
  {
    detail::Lock const lock(mutex_);
    joining_.push_back(&member);
  }
  ring();
}

void Client::leave(Member& member) {
  detail::Lock lock(mutex_);
  detail::patiently([&]() PROCPOOL_REQUIRES(mutex_) { leaving_.push_back(&member); });
  ring();
  while (std::ranges::find(leaving_, &member) != leaving_.end()) changed_.wait(lock);
}

void Client::run(MakeLink const& make) {
  try {
    auto link = make();
    detail::Lock const lock(mutex_);
    link_ = std::move(link);
    made_ = true;
    changed_.notify_all();
  } catch (...) {
    detail::Lock const lock(mutex_);
    failure_ = std::current_exception();
    changed_.notify_all();
    return;
  }
  detail::Reserve reserve;
  reserve.hold();
  work();
  constexpr std::chrono::seconds patience{10};  // for hosts that end what they run
  link_->close(patience);
  detail::Lock const lock(mutex_);
  link_.reset();
}

void Client::show_life(TimePoint now) {
  if (now - shown_ < beat_of_client) return;
  shown_ = now;
  for (auto const& [peer, event] : hosts_) {
    // The next one tells as much.
    if (event.kind != Link::Event::Kind::up) continue;
    detail::if_possible([&, to = peer] { link_->send(to, sign_of_life()); });
  }
}

void Client::work() {
  std::vector<Link::Event> events;
  for (;;) {
    std::vector<Member*> joining;
    {
      detail::Lock const lock(mutex_);
      if (ends_) return;
      joining = std::exchange(joining_, {});
      for (Member* const member : leaving_) {
        std::erase(members_, member);
        std::erase(joining, member);
      }
      if (!std::exchange(leaving_, {}).empty()) changed_.notify_all();
    }
    for (Member* const member : joining) {
      detail::patiently([&] { members_.push_back(member); });
      for (auto const& [peer, event] : hosts_) member->handle(*link_, event);
    }
    parent::NextLook next;
    auto const now = std::chrono::steady_clock::now();
    show_life(now);
    if (!hosts_.empty()) next.at(shown_ + beat_of_client);
    for (Member* const member : members_) {
      if (auto const at = member->turn(*link_, now)) next.at(*at);
    }
    events.clear();
    detail::patiently([&] { link_->wait(next.time(), events); });
    for (Link::Event& event : events) {
      if (event.kind != Link::Event::Kind::message) {
        detail::patiently([&] { hosts_.insert_or_assign(event.peer, event); });
      }
      for (Member* const member : members_) member->handle(*link_, event);
    }
  }
}

}  // namespace procpool::inline v0_1::cluster
