// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// expect: not_serializable<Locked
#include <mutex>
#include <procpool.hpp>
class Locked {
 public:
  explicit Locked(int value) : value_(value) {}

 private:
  mutable std::mutex mutex_;
  int value_;
};
void use(procpool::ProcessPool& pool, Locked const& locked) { pool.share(locked); }
