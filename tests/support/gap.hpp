// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#pragma once

// Gaps: work that a worker was given and that was revoked before it began, in every way in which
// that comes about. The next work of that worker comes behind serials that were never marked as
// done.

#include <gtest/gtest.h>

#include <chrono>
#include <ostream>
#include <procpool.hpp>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

#include "until.hpp"

namespace support {

struct Gap {
  enum class By { nothing, cancel, priority, balance, resize } by = By::nothing;
  int elements = 0;
};
inline std::ostream& operator<<(std::ostream& out, Gap gap) {
  constexpr char const* names[] = {"nothing", "cancel", "priority", "balance", "resize"};
  return out << names[static_cast<int>(gap.by)] << "_" << gap.elements;
}
inline auto each_gap() {
  using By = Gap::By;
  return testing::Values(Gap{}, Gap{By::cancel, 1}, Gap{By::cancel, 63}, Gap{By::cancel, 64},
                         Gap{By::cancel, 65}, Gap{By::cancel, 1'000}, Gap{By::priority, 100},
                         Gap{By::balance, 100}, Gap{By::resize, 100});
}
struct NameOfGap {
  template <class Info>
  std::string operator()(Info const& info) const {
    std::ostringstream name;
    name << info.param;
    return name.str();
  }
};

inline int rest_for(int microseconds) {
  std::this_thread::sleep_for(std::chrono::microseconds(microseconds));
  return microseconds;
}

// The tasks that made the gap are still under way for some milliseconds. Work for the pool
// meanwhile comes behind the gap. To be kept until all of that has ended.
class MadeGap {
 public:
  // Of a pool that does nothing, of so many workers.
  static int workers(Gap gap) { return gap.by == Gap::By::balance ? 2 : 1; }
  MadeGap(procpool::ProcessPool& pool, Gap gap) : pool_(pool) {
    if (gap.by == Gap::By::nothing) return;
    auto const workers = static_cast<int>(pool.size());
    // All are there, and the cost is known to be small: so something is given to a worker that runs
    // it.
    EXPECT_TRUE(until([&] {
      pool.map<rest_for>(std::vector<int>(20, 10));
      std::vector<procpool::Future<int>> calls;
      for (int i = 0; i < workers; ++i) calls.push_back(pool.submit<rest_for>(10));
      for (auto& call : calls) call.get();
      return pool.stats().workers == static_cast<unsigned>(workers);
    }));
    run(30'000);
    // The second worker is soon idle, and gets what the first has ahead.
    if (gap.by == Gap::By::balance) run(5'000);
    // Behind the first.
    std::vector<int> const rests(static_cast<std::size_t>(gap.elements), 10);
    procpool::CallOptions options{.chunk = gap.elements};
    if (gap.by == Gap::By::priority) options.priority = -1;
    revoked_.push_back(pool.with(options).map_async<rest_for>(rests));
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
    if (gap.by == Gap::By::cancel) {
      for (auto& results : revoked_) {
        EXPECT_EQ(results.cancel(), procpool::Cancel::never_began);
      }
    } else if (gap.by == Gap::By::resize) {
      pool.resize(workers + 1);
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
    }
  }
  MadeGap(MadeGap const&) = delete;
  MadeGap& operator=(MadeGap const&) = delete;
  ~MadeGap() {
    for (auto& future : running_) EXPECT_EQ(future.wait_for(std::chrono::seconds(20)), true);
    for (auto& results : revoked_) results.wait();
  }

  // So many calls at a time have one behind each gap.
  std::size_t calls() const { return pool_.size(); }

 private:
  void run(int microseconds) { running_.push_back(pool_.submit<rest_for>(microseconds)); }

  procpool::ProcessPool& pool_;
  std::vector<procpool::Future<int>> running_;
  std::vector<procpool::Results<int>> revoked_;
};

}  // namespace support
