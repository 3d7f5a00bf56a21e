// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#pragma once

// MemoryNetwork: links between a client and hosts that are threads of one process. The machine of the
// client is a host of its cluster that way, and tests have hosts without a launcher.
//
// Any thread. A link outlives neither its network nor the threads that use it.

#include <cstddef>
#include <deque>
#include <memory>
#include <string>
#include <vector>

#include <procpool/detail/engine/mutex.hpp>
#include <procpool/detail/export.hpp>

#include "cluster/link.hpp"

namespace procpool::inline v0_1::cluster {

class PROCPOOL_API MemoryNetwork : public std::enable_shared_from_this<MemoryNetwork> {
 public:
  // A host for each of these names.
  static std::shared_ptr<MemoryNetwork> of(std::vector<std::string> hosts);

  // Once each. The end of a link is the end of its process: the other side hears that it is down.
  std::unique_ptr<Link> client();
  std::unique_ptr<Link> host(Link::Peer number);

 private:
  class End;

  // What one side has to hear. Under its own mutex, which is the only one held.
  struct Inbox {
    detail::Mutex mutex;
    detail::Condition changed;
    std::deque<Link::Event> events PROCPOOL_GUARDED_BY(mutex);
    bool rung PROCPOOL_GUARDED_BY(mutex) = false;
  };

  explicit MemoryNetwork(std::vector<std::string> hosts);
  static void tell(Inbox& inbox, Link::Event&& event);

  std::vector<std::string> const names_;
  Inbox of_client_;
  std::vector<std::unique_ptr<Inbox>> of_hosts_;
};

}  // namespace procpool::inline v0_1::cluster
