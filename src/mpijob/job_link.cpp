// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#include "mpijob/job_link.hpp"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <new>
#include <utility>

#include <procpool/errors.hpp>

#include "cluster/host.hpp"

namespace procpool::inline v0_1::mpijob {
namespace {

std::string machine() {
  std::array<char, 256> name{};
  return ::gethostname(name.data(), name.size() - 1) == 0 ? name.data() : "this machine";
}

}  // namespace

// The end of the host's link. The client sleeps in its MpiLink.
class JobLink::HostEnd final : public cluster::Link {
 public:
  // The client hears that its host is up.
  HostEnd(std::unique_ptr<Link> end, JobLink& client) : end_(std::move(end)), client_(client) {
    tell_client();
  }
  // The other side is to hear that it is down.
  ~HostEnd() override {
    end_.reset();
    tell_client();
  }

  void send(Peer peer, detail::Bytes&& bytes) override {
    end_->send(peer, std::move(bytes));
    tell_client();
  }
  void wait(std::optional<TimePoint> deadline, std::vector<Event>& events) override {
    end_->wait(deadline, events);
  }
  void ring() noexcept override { end_->ring(); }
  void drop(Peer peer) override { end_->drop(peer); }
  std::string name(Peer peer) const override { return end_->name(peer); }
  std::size_t largest_message() const override { return end_->largest_message(); }
  void close(std::chrono::milliseconds patience) override { end_->close(patience); }

 private:
  // Without MPI it sleeps at the other end of this link, and is woken there.
  void tell_client() noexcept {
    if (client_.mpi_) client_.mpi_->ring();
  }

  std::unique_ptr<Link> end_;
  JobLink& client_;
};

JobLink::JobLink(std::optional<Launch> const& launch)
    : name_(machine()), network_(cluster::MemoryNetwork::of({name_})) {
  if (launch) {
    mpi_.emplace();
    if (auto const why = mismatch(*launch, mpi_->size())) throw SetupError(*why);
  }
  own_ = network_->client();
  host_ = std::thread([this] {
    HostEnd end(network_->host(0), *this);
    try {
      cluster::run_host(end);
    } catch (std::bad_alloc const&) {
      // The client hears that this host is down.
    }
  });
}

JobLink::~JobLink() {
  own_.reset();
  host_.join();
}

void JobLink::send(Peer peer, detail::Bytes&& bytes) {
  if (peer < others()) return mpi_->send(peer, std::move(bytes));
  own_->send(0, std::move(bytes));
}

void JobLink::take(std::optional<TimePoint> deadline, std::vector<Event>& events) {
  constexpr TimePoint at_once{};
  own_->wait(heard_.empty() ? deadline : at_once, heard_);
  events.reserve(events.size() + heard_.size());
  for (Event& event : heard_) {
    event.peer = others();
    events.push_back(std::move(event));
  }
  heard_.clear();
}

void JobLink::wait(std::optional<TimePoint> deadline, std::vector<Event>& events) {
  if (!mpi_) return take(deadline, events);
  std::size_t const before = events.size();
  constexpr TimePoint at_once{};
  take(at_once, events);
  mpi_->wait(events.size() == before ? deadline : at_once, events);
  take(at_once, events);
}

void JobLink::ring() noexcept {
  if (mpi_) return mpi_->ring();
  own_->ring();
}

void JobLink::drop(Peer peer) {
  if (peer < others()) return mpi_->drop(peer);
  own_->drop(0);
}

std::string JobLink::name(Peer peer) const {
  if (peer < others()) return mpi_->name(peer);
  return mpi_ ? "rank 0 on " + name_ : name_;
}

std::size_t JobLink::largest_message() const {
  return mpi_ ? std::min(mpi_->largest_message(), own_->largest_message())
              : own_->largest_message();
}

void JobLink::close(std::chrono::milliseconds patience) {
  if (mpi_) mpi_->close(patience);
}

}  // namespace procpool::inline v0_1::mpijob
