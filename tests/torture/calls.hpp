#pragma once

// Calls: makes calls at random, with retries, deadlines, priorities and keys, and holds what becomes of each
// against what may become of it.

#include <gtest/gtest.h>

#include <chrono>
#include <cstdint>
#include <procpool.hpp>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "support/watchdog.hpp"
#include "torture/account.hpp"

namespace torture {

// Of one thread.
class Calls {
 public:
  Calls(Common& common, std::uint64_t seed)
      : common_(common), random_(static_cast<unsigned>(seed)) {}

  Account const& account() const { return account_; }

 protected:
  static constexpr int many = 20;  // retries

  struct Call {
    Deed deed;
    procpool::CallOptions options;
    procpool::Future<std::int64_t> future;
  };

  int between(int least, int most) { return std::uniform_int_distribution(least, most)(random_); }
  bool one_in(int count) { return between(1, count) == 1; }
  bool ending() const { return common_.ending.load(std::memory_order_seq_cst); }

  Deed deed() {
    // Mostly short ones.
    int const longest = one_in(4) ? 8'000 : 500;
    return {common_.last_id.fetch_add(1, std::memory_order_relaxed) + 1, between(0, longest)};
  }
  std::vector<Deed> deeds(int most) {
    std::vector<Deed> all(static_cast<std::size_t>(between(0, most)));
    for (Deed& one : all) one = deed();
    return all;
  }

  procpool::CallOptions options() {
    procpool::CallOptions options;
    if (!one_in(3)) options.retries = many;
    if (one_in(4)) options.timeout = std::chrono::milliseconds(between(1, 30));
    if (one_in(4)) options.queue_timeout = std::chrono::milliseconds(between(1, 50));
    if (one_in(4)) options.priority = between(-2, 2);
    if (one_in(4)) options.key = between(0, 5);
    return options;
  }

  // Waits for it, and holds what comes against what may come.
  void settle(Call call, bool was_cancelled, bool never_began) {
    int const attempts = 1 + (call.options.retries ? many : 0);
    Known known{call.deed.id, 0, never_began && attempts == 1 ? 0 : attempts};
    support::Watchdog::Wait const wait(common_.watchdog,
                                       "deed " + std::to_string(call.deed.id) +
                                           (was_cancelled ? ", which was cancelled" : "") +
                                           (call.options.key ? ", with a key" : ""));
    try {
      std::int64_t const value = call.future.get();
      EXPECT_EQ(value, 3 * call.deed.id + 1);
      EXPECT_FALSE(never_began);
      known.least = 1;
      ++account_.values;
    } catch (procpool::TaskCancelled const&) {
      // Should it not have been cancelled when the pool was ended: that was said before it was done.
      EXPECT_TRUE(was_cancelled || ending()) << "nobody cancelled it";
      ++account_.cancelled;
    } catch (procpool::TaskTimeout const& error) {
      EXPECT_TRUE(call.options.timeout || call.options.queue_timeout) << error.what();
      EXPECT_FALSE(never_began) << error.what();
      // It has waited too long: then it never runs.
      if (!call.options.timeout && attempts == 1) known.most = 0;
      ++account_.deadlines;
    } catch (procpool::WorkerDied const& error) {
      // A cancelled one is not run again.
      EXPECT_TRUE(attempts == 1 || was_cancelled || ending()) << error.what();
      ++account_.died;
    }
    account_.known.push_back(known);
  }

  Call submit() {
    Call call{deed(), options(), {}};
    call.future = common_.pool.with(call.options).submit<do_deed>(call.deed);
    return call;
  }

  Common& common_;
  std::mt19937 random_;
  Account account_;
};

}  // namespace torture
