// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#pragma once

// PoolTable: one pool as lines of text, from one view to the next. One thread.

#include <sys/types.h>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <tuple>
#include <vector>

#include "protocol/live_view.hpp"
#include "top/process_table.hpp"

namespace procpool::inline v0_1::top {

class PoolTable {
 public:
  using Usages = std::map<pid_t, Usage>;

  // The next view of the pool, and what its workers use as far as it is known. From the second view on the lines
  // have rates, and for how long each element has been seen.
  void update(protocol::LiveView view, Usages usages);

  // Without characters that a terminal would act on.
  std::vector<std::string> lines() const;

 private:
  struct Moment {
    protocol::LiveView view;
    Usages usages;
  };
  using Element = std::tuple<std::uint32_t, pid_t, std::uint64_t, std::uint64_t>;

  std::chrono::nanoseconds passed() const;  // between the two views; zero: there is one only
  std::string rate(std::uint64_t now, std::uint64_t before) const;
  std::string work_of(protocol::LiveWorker const& worker) const;
  std::string line_of(protocol::LiveWorker const& worker) const;

  std::optional<Moment> now_;
  std::optional<Moment> before_;
  std::map<Element, std::uint64_t> seen_;  // since when
};

// A time as "1.2 ms".
std::string duration_text(std::chrono::nanoseconds time);
// A number as "12,345".
std::string number_text(std::uint64_t number);

}  // namespace procpool::inline v0_1::top
