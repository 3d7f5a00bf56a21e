// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#include "cluster/host.hpp"

#include <chrono>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <vector>

#include "cluster/hosted_pool.hpp"
#include "parent/next_look.hpp"

namespace procpool::inline v0_1::cluster {

void run_host(Link& link, std::chrono::milliseconds patience) {
  std::map<std::uint64_t, std::unique_ptr<HostedPool>> pools;  // by session
  std::set<std::uint64_t> over;
  std::vector<Link::Event> events;
  std::optional<std::chrono::steady_clock::time_point> heard;
  for (;;) {
    auto now = std::chrono::steady_clock::now();
    parent::NextLook next;
    for (auto at = pools.begin(); at != pools.end();) {
      next.at(at->second->turn(now));
      bool const is_over = at->second->is_over(now);
      if (is_over) over.insert(at->first);
      at = is_over ? pools.erase(at) : std::next(at);
    }
    if (heard) {
      if (now - *heard > patience) return;
      next.at(*heard + patience);
    }
    events.clear();
    link.wait(next.time(), events);
    now = std::chrono::steady_clock::now();
    for (Link::Event const& event : events) {
      if (event.kind == Link::Event::Kind::down) return;
      auto const envelope = open_envelope(event.bytes);
      if (event.kind != Link::Event::Kind::message || !envelope) continue;
      heard = now;
      if (envelope->session == session_of_none || over.contains(envelope->session)) continue;
      auto& pool = pools[envelope->session];
      if (!pool) pool = std::make_unique<HostedPool>(link, envelope->session);
      pool->accept(*envelope, now);
    }
  }
}

}  // namespace procpool::inline v0_1::cluster
