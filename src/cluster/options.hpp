// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#pragma once

// Options: what the client of a cluster was told of its hosts. Checked by those who take them from the
// program. A plain value.

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>

namespace procpool::inline v0_1::cluster {

// What becomes of an element that a lost host had been given and may have begun.
enum class OnLost : std::uint8_t {
  fail,  // HostLost
  again  // another host runs it, as if the first one never had
};

struct Options {
  std::optional<std::size_t> workers_per_host{};    // nothing: the usable CPUs of each
  std::chrono::milliseconds start_timeout{60'000};  // for every host to answer for the first time
  std::chrono::milliseconds beat{500};              // between two signs of life
  std::chrono::milliseconds lost_after{5'000};      // without one a host is lost
  OnLost on_host_lost = OnLost::fail;
};

}  // namespace procpool::inline v0_1::cluster
