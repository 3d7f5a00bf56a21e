// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#pragma once

// JobLink: the link of a client. Its peers are the other processes of the job, if there is one, and
// behind them a host on a thread of this process.
//
// The thread that makes it owns it. The host sees a link of its own.

#include <chrono>
#include <cstddef>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "cluster/link.hpp"
#include "cluster/memory_link.hpp"
#include "mpijob/launch.hpp"
#include "mpijob/mpi_link.hpp"

namespace procpool::inline v0_1::mpijob {

class JobLink final : public cluster::Link {
 public:
  // As MpiLink, if there is a launcher. Throws SetupError, also if it belongs to another MPI.
  explicit JobLink(std::optional<Launch> const& launch);
  ~JobLink() override;

  // Hosts that are other processes.
  std::size_t others() const noexcept { return mpi_ ? mpi_->size() - 1 : 0; }

  void send(Peer peer, detail::Bytes&& bytes) override;
  void wait(std::optional<TimePoint> deadline, std::vector<Event>& events) override;
  void ring() noexcept override;
  void drop(Peer peer) override;
  std::string name(Peer peer) const override;
  std::size_t largest_message() const override;
  void close(std::chrono::milliseconds patience) override;

 private:
  class HostEnd;

  // What the host of this process has sent.
  void take(std::optional<TimePoint> deadline, std::vector<Event>& events);

  std::optional<MpiLink> mpi_;
  std::string const name_;  // of this machine
  std::shared_ptr<cluster::MemoryNetwork> const network_;
  std::unique_ptr<cluster::Link> own_;  // null: closed
  std::vector<Event> heard_;
  std::thread host_;
};

}  // namespace procpool::inline v0_1::mpijob
