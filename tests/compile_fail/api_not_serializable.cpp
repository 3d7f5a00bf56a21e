// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// expect: procpool_argument<1, Locked>
#include <mutex>
#include <procpool.hpp>
#include <vector>
class Locked {
 public:
  explicit Locked(int value) : value_(value) {}
  int value() const { return value_; }

 private:
  mutable std::mutex mutex_;
  int value_;
};
int look_at(int x, Locked const& locked);
int use(procpool::ProcessPool& pool, Locked const& locked) { return pool.call<look_at>(1, locked); }
