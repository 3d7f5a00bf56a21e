// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#include "cluster/memory_link.hpp"

#include <set>
#include <utility>

#include "engine/patience.hpp"

namespace procpool::inline v0_1::cluster {

using detail::Lock;

// One side. `number`: of a host; nothing: the client.
class MemoryNetwork::End final : public Link {
 public:
  End(std::shared_ptr<MemoryNetwork> network, std::optional<Peer> number)
      : network_(std::move(network)),
        number_(number),
        inbox_(number ? *network_->of_hosts_[*number] : network_->of_client_) {}
  ~End() override { tell_all(Event::Kind::down, "its process has ended"); }

  void begin() { tell_all(Event::Kind::up, ""); }

  void send(Peer peer, detail::Bytes&& message) override {
    if (dropped_.contains(peer)) return;
    Event event{Event::Kind::message, from(), std::move(message), {}};
    try {
      tell(inbox_of(peer), std::move(event));
    } catch (...) {
      message = std::move(event.bytes);
      throw;
    }
  }

  void wait(std::optional<TimePoint> deadline, std::vector<Event>& events) override {
    Lock lock(inbox_.mutex);
    while (inbox_.events.empty() && !inbox_.rung) {
      if (!deadline) {
        inbox_.changed.wait(lock);
      } else if (!inbox_.changed.wait_until(lock, *deadline)) {
        break;
      }
    }
    inbox_.rung = false;
    while (!inbox_.events.empty()) {
      if (!dropped_.contains(inbox_.events.front().peer)) {
        events.push_back(std::move(inbox_.events.front()));
      }
      inbox_.events.pop_front();
    }
  }

  void ring() noexcept override {
    Lock const lock(inbox_.mutex);
    inbox_.rung = true;
    inbox_.changed.notify_all();
  }

  void drop(Peer peer) override { dropped_.insert(peer); }
  std::string name(Peer peer) const override {
    return number_ ? std::string("client") : network_->names_[peer];
  }
  std::size_t largest_message() const override { return std::size_t{1} << 30; }
  void close(std::chrono::milliseconds) override {}  // what was sent has arrived

 private:
  Peer from() const noexcept { return number_.value_or(0); }
  Inbox& inbox_of(Peer peer) { return number_ ? network_->of_client_ : *network_->of_hosts_[peer]; }
  void tell_all(Event::Kind kind, char const* text) {
    std::size_t const peers = number_ ? 1 : network_->of_hosts_.size();
    for (Peer peer = 0; peer < peers; ++peer) {
      detail::patiently([&] { tell(inbox_of(peer), {kind, from(), {}, text}); });
    }
  }

  std::shared_ptr<MemoryNetwork> const network_;
  std::optional<Peer> const number_;
  Inbox& inbox_;
  std::set<Peer> dropped_;
};

MemoryNetwork::MemoryNetwork(std::vector<std::string> hosts) : names_(std::move(hosts)) {
  for (std::size_t i = 0; i < names_.size(); ++i) of_hosts_.push_back(std::make_unique<Inbox>());
}

std::shared_ptr<MemoryNetwork> MemoryNetwork::of(std::vector<std::string> hosts) {
  return std::shared_ptr<MemoryNetwork>(new MemoryNetwork(std::move(hosts)));
}

// Throws std::bad_alloc, having done nothing.
void MemoryNetwork::tell(Inbox& inbox, Link::Event&& event) {
  Lock const lock(inbox.mutex);
  inbox.events.push_back(std::move(event));
  inbox.changed.notify_all();
}

std::unique_ptr<Link> MemoryNetwork::client() {
  auto end = std::make_unique<End>(shared_from_this(), std::nullopt);
  end->begin();
  return end;
}

std::unique_ptr<Link> MemoryNetwork::host(Link::Peer number) {
  auto end = std::make_unique<End>(shared_from_this(), number);
  end->begin();
  return end;
}

}  // namespace procpool::inline v0_1::cluster
