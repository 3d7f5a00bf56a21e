// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#pragma once

// RemoteHost: one host as a pool of the client sees it: what it has been told and given, and when it was
// last heard of.
//
// For the thread of the client alone. It waits for memory if there is none.

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <utility>

#include <procpool/detail/engine/task.hpp>

#include "cluster/conversation.hpp"
#include "cluster/host_ledger.hpp"
#include "cluster/link.hpp"
#include "cluster/messages.hpp"

namespace procpool::inline v0_1::cluster {

class RemoteHost {
 public:
  using TimePoint = std::chrono::steady_clock::time_point;
  enum class State : std::uint8_t { greeted, ready, lost };

  RemoteHost(Link::Peer of, std::string called, std::uint64_t session, TimePoint now)
      : peer(of),
        shared_name(std::make_shared<std::string const>(std::move(called))),
        conversation(session),
        heard(now) {}

  void post(Message const& message) { post(message, Conversation::Lane::in_order); }
  void post_urgent(Message const& message) { post(message, Conversation::Lane::urgent); }
  // What the chunk needs and the host lacks, and the chunk.
  void give(parent::Chunk const& chunk, std::uint64_t serial, bool granted, TimePoint now);
  // Tells it of tasks and values that nobody needs any more.
  void sweep();
  void send(Link& link, TimePoint now);

  Link::Peer const peer;
  std::shared_ptr<std::string const> const
      shared_name;  // outcomes have it longer than the pool lives
  std::string const& name = *shared_name;
  State state = State::greeted;
  Conversation conversation;
  HostLedger ledger;
  std::size_t first_place = 0;
  std::size_t workers = 0;
  TimePoint heard;
  TimePoint sent{};
  bool ended = false;  // it has no worker of the pool any more
  StatsMessage stats{};
  std::set<std::uint64_t> starts{};  // requests to start workers that it has not answered

 private:
  void post(Message const& message, Conversation::Lane lane);
  void give_values(detail::Resource::List const& resources, std::vector<std::uint64_t>& ids);

  std::map<std::uint64_t, std::weak_ptr<detail::Task>> declared_;
  std::map<std::uint64_t, std::weak_ptr<detail::Resource>> values_;
  std::uint64_t ended_resources_ = 0;
};

}  // namespace procpool::inline v0_1::cluster
