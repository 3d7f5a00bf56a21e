// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#pragma once

// FakeCluster: a cluster whose hosts are threads of this process. Their workers are real processes. The
// link between them delays nothing by itself; a test says what it does to messages.

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <procpool.hpp>
#include <random>
#include <set>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "cluster/client.hpp"
#include "cluster/cluster_engine.hpp"
#include "cluster/host.hpp"
#include "cluster/memory_link.hpp"
#include "support/errors.hpp"

namespace support {

// What becomes of messages. Any thread.
struct LinkFaults {
  std::atomic<bool> twice{false};         // each message comes twice
  std::atomic<bool> disorder{false};      // messages of one turn come in any order
  std::atomic<int> delay_us{0};           // of what hosts send
  std::atomic<unsigned> cut{0};           // hosts whose messages are lost, either way: bits
  std::atomic<unsigned> late{0};          // hosts of which the client hears nothing for now: bits
  std::atomic<std::uint64_t> arrived{0};  // messages from hosts
  // Called by the client's thread as it begins to wait (true), and as it goes on.
  std::atomic<void (*)(bool)> in_wait{nullptr};
};

class FaultyLink final : public procpool::cluster::Link {
 public:
  FaultyLink(std::unique_ptr<Link> inner, LinkFaults& faults)
      : inner_(std::move(inner)), faults_(faults) {}

  void send(Peer peer, procpool::detail::Bytes&& message) override {
    if (is_cut(peer)) return;
    if (faults_.twice) inner_->send(peer, procpool::detail::Bytes(message));
    if (!faults_.disorder) return inner_->send(peer, std::move(message));
    held_[peer].push_back(std::move(message));
  }

  void wait(std::optional<TimePoint> deadline, std::vector<Event>& events) override {
    if (auto const told = faults_.in_wait.load()) told(true);
    wait_told(deadline, events);
    if (auto const told = faults_.in_wait.load()) told(false);
  }

  void ring() noexcept override { inner_->ring(); }
  void drop(Peer peer) override { inner_->drop(peer); }
  std::string name(Peer peer) const override { return inner_->name(peer); }
  std::size_t largest_message() const override { return inner_->largest_message(); }
  void close(std::chrono::milliseconds patience) override { inner_->close(patience); }

 private:
  void wait_told(std::optional<TimePoint> deadline, std::vector<Event>& events) {
    for (auto& [peer, messages] : std::exchange(held_, {})) {
      std::shuffle(messages.begin(), messages.end(), random_);
      for (auto& message : messages) inner_->send(peer, std::move(message));
    }
    if (!late_.empty())
      deadline = std::min(deadline.value_or(late_.front().first), late_.front().first);
    std::vector<Event> arrived;
    if (faults_.late == 0) arrived = std::exchange(unheard_, {});
    inner_->wait(deadline, arrived);
    if (faults_.disorder) shuffle(arrived);
    auto const now = std::chrono::steady_clock::now();
    auto const due = now + std::chrono::microseconds(faults_.delay_us);
    for (Event& event : arrived) {
      if (event.kind == Event::Kind::message && is_cut(event.peer)) continue;
      if ((faults_.late >> event.peer & 1) != 0) {
        unheard_.push_back(std::move(event));
        continue;
      }
      bool const twice = faults_.twice && event.kind == Event::Kind::message;
      if (twice) late_.emplace_back(due, event);
      late_.emplace_back(due, std::move(event));
    }
    while (!late_.empty() && late_.front().first <= now) {
      if (late_.front().second.kind == Event::Kind::message) ++faults_.arrived;
      events.push_back(std::move(late_.front().second));
      late_.pop_front();
    }
  }

  bool is_cut(Peer peer) const { return (faults_.cut >> peer & 1) != 0; }
  // Messages alone: a host is up before its first one.
  void shuffle(std::vector<Event>& events) {
    auto const first = std::partition(events.begin(), events.end(), [](Event const& event) {
      return event.kind == Event::Kind::up;
    });
    std::shuffle(first, events.end(), random_);
  }

  std::unique_ptr<Link> const inner_;
  LinkFaults& faults_;
  std::map<Peer, std::vector<procpool::detail::Bytes>> held_;
  std::deque<std::pair<TimePoint, Event>> late_;
  std::vector<Event> unheard_;  // of hosts that are late
  std::mt19937 random_{1};
};

class FakeCluster {
 public:
  // A host ends when nothing was heard of its client for that time. `late`: as in LinkFaults, from the
  // beginning.
  explicit FakeCluster(std::size_t hosts = 3, procpool::cluster::Options options = quick(),
                       std::chrono::milliseconds patience = std::chrono::minutes(10),
                       unsigned late = 0)
      : options_(options), hosts_(hosts) {
    faults.late = late;
    std::vector<std::string> names;
    for (std::size_t i = 0; i < hosts; ++i) names.push_back("node" + std::to_string(i));
    network_ = procpool::cluster::MemoryNetwork::of(names);
    for (std::size_t i = 0; i < hosts; ++i) {
      threads_.emplace_back([this, patience, link = network_->host(i)] {
        procpool::cluster::run_host(*link, patience);
        ++ended_;
      });
    }
    client_ = std::make_shared<procpool::cluster::Client>(
        [this] { return std::make_unique<FaultyLink>(network_->client(), faults); });
  }
  FakeCluster(FakeCluster const&) = delete;
  FakeCluster& operator=(FakeCluster const&) = delete;
  ~FakeCluster() {
    faults.cut = 0;
    client_.reset();
    for (std::thread& thread : threads_) thread.join();
  }

  // Two workers on each host. A pool ends before its cluster.
  static procpool::cluster::Options quick() {
    procpool::cluster::Options options;
    options.workers_per_host = 2;
    options.lost_after = std::chrono::seconds(60);
    return options;
  }

  std::unique_ptr<procpool::cluster::ClusterEngine> engine(procpool::PoolOptions const& options) {
    return std::make_unique<procpool::cluster::ClusterEngine>(client_, options_, options, hosts_);
  }
  procpool::ProcessPool pool(procpool::PoolOptions options = {}) {
    return procpool::detail::EngineAccess::pool_over(engine(options), options);
  }

  // Hosts that have no worker any more, and never will.
  std::size_t ended() const { return ended_; }

  LinkFaults faults;

 private:
  procpool::cluster::Options const options_;
  std::size_t const hosts_;
  std::atomic<std::size_t> ended_{0};
  std::shared_ptr<procpool::cluster::MemoryNetwork> network_;
  std::vector<std::thread> threads_;
  std::shared_ptr<procpool::cluster::Client> client_;
};

// How many elements were lost with this host, which may have begun them. The value of each other one
// is its index.
inline std::size_t lost_with(std::string const& host,
                             std::vector<procpool::Outcome<int>> const& outcomes) {
  std::size_t lost = 0;
  for (std::size_t i = 0; i < outcomes.size(); ++i) {
    if (outcomes[i].has_value()) {
      EXPECT_EQ(*outcomes[i], static_cast<int>(i));
      continue;
    }
    EXPECT_EQ(outcomes[i].error().kind(), procpool::FailureKind::host_lost);
    auto const* const error = outcomes[i].error().as<procpool::HostLost>();
    EXPECT_NE(error, nullptr) << text_of(outcomes[i]);
    if (error == nullptr) continue;
    EXPECT_EQ(error->host(), host);
    EXPECT_EQ(error->begun(), procpool::HostLost::Begun::maybe);
    ++lost;
  }
  return lost;
}

}  // namespace support
