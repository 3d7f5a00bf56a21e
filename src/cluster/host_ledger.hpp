// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#pragma once

// HostLedger: the elements that one host was given and has not answered, as the client knows them. A
// chunk is given, then granted; only then may the host begin it. What is not granted can be withdrawn
// at once. Outcomes of a chunk come in any order, because a host has several workers.
//
// Pure. The thread of the link owns it. It waits for memory if there is none.

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <utility>
#include <vector>

#include "cluster/messages.hpp"
#include "parent/chunk.hpp"

namespace procpool::inline v0_1::cluster {

class HostLedger {
 public:
  // Elements that are not in the ledger any more.
  struct Taken {
    parent::Chunk chunk;
    std::size_t place = 0;
    parent::Amount amount{};  // the work that it counted as
    std::uint64_t serial = 0;
    bool granted = false;
    bool is_long = false;
    bool last = false;  // nothing else of the chunk that was given is left
  };

  // Returns the serial. `is_long`: others must not wait behind it, as far as is known.
  std::uint64_t give(std::size_t place, parent::Chunk chunk, bool is_long = false);
  // Returns its amount of time, as estimated, and whether it is long.
  struct Granted {
    std::uint64_t estimate_ns = 0;
    bool is_long = false;
  };
  Granted grant(std::uint64_t serial);

  // The host has answered these. Nothing: it does not hold them all, or they were not granted.
  std::optional<Taken> answer(std::uint64_t task, std::uint64_t first, std::uint64_t count);
  // Withdraws what `cut(place, chunk)` cuts off the end of each chunk that is not granted, the newest
  // chunk first. Adds what the host is to be told.
  std::vector<Taken> withdraw(std::function<parent::Chunk(std::size_t, parent::Chunk&)> const& cut,
                              Withdraw& told);
  // All of it.
  std::vector<Taken> lose();

  bool holds(std::uint64_t task) const;
  bool empty() const noexcept { return given_.empty(); }
  std::uint64_t elements() const noexcept { return elements_; }

 private:
  struct Given {
    std::size_t place = 0;
    bool is_long = false;
    bool granted = false;
    std::uint64_t estimate_ns = 0;
    std::size_t ranges = 0;  // parts of it that are held
  };
  struct Range {
    parent::Chunk chunk;
    std::uint64_t serial = 0;
  };
  using Key = std::pair<std::uint64_t, std::uint64_t>;  // task, first element

  void hold(parent::Chunk chunk, std::uint64_t serial);
  Taken taken(parent::Chunk chunk, std::uint64_t serial);

  std::uint64_t last_serial_ = 0;
  std::uint64_t elements_ = 0;
  std::map<std::uint64_t, Given> given_;  // by serial
  std::map<Key, Range> held_;
};

}  // namespace procpool::inline v0_1::cluster
