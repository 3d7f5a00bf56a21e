// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#pragma once

// Calls: makes calls at random, with retries, deadlines, priorities and keys, and holds what
// becomes of each against what may become of it.

#include <gtest/gtest.h>
#include <signal.h>

#include <chrono>
#include <cstdint>
#include <optional>
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

  using Clock = std::chrono::steady_clock;
  struct Call {
    Deed deed;
    procpool::CallOptions options;
    procpool::Future<std::int64_t> future;
    Clock::time_point begin = Clock::now();
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
    if (!one_in(3)) options.retries.times = many;
    if (one_in(4)) options.timeout = std::chrono::milliseconds(between(1, 30));
    if (one_in(4)) options.queue_timeout = std::chrono::milliseconds(between(1, 50));
    if (one_in(4)) options.priority = between(-2, 2);
    if (one_in(4)) options.key = between(0, 5);
    return options;
  }

  // A worker dies because somebody kills it. Whom the pool ends, for what it runs or for good, it
  // ends by SIGTERM, and no element has that as its reason.
  void judge(procpool::WorkerDied const& error) {
    EXPECT_TRUE(common_.kills) << "nobody kills workers: " << error.what();
    // Nothing is known of a worker if its fork server was killed too.
    EXPECT_TRUE(!error.signal() || *error.signal() == SIGKILL) << error.what();
    EXPECT_FALSE(error.exit_status()) << error.what();
    ++account_.died;
  }

  // Waits for it, and holds what comes against what may come: its value, or the reason that it must
  // be. `said`: what cancel() said, if it was asked.
  void settle(Call call, std::optional<procpool::Cancel> said = {}) {
    using procpool::Cancel;
    bool const never_began = said == Cancel::never_began;
    int const attempts = 1 + (call.options.retries.times ? many : 0);
    Known known{call.deed.id, 0, never_began && attempts == 1 ? 0 : attempts};
    std::string const what = "deed " + std::to_string(call.deed.id) +
                             (said ? ", which was cancelled" : "") +
                             (call.options.key ? ", with a key" : "");
    support::Watchdog::Wait const wait(common_.watchdog, what);
    // It had ended, or it has: there is nothing more to wait for.
    EXPECT_TRUE(!said || call.future.ready()) << what << ": it goes on";
    try {
      std::int64_t const value = call.future.get();
      if (call.deed.listens && value == value_when_asked(call.deed)) {
        EXPECT_TRUE(call.options.timeout || said == Cancel::ended || ending()) << what;
        ++account_.asked;
      } else {
        EXPECT_EQ(value, value_of(call.deed));
        EXPECT_NE(call.deed.microseconds, for_ever) << what << ": nobody has ended it";
        // A task that listens is told, and may be through by then.
        EXPECT_TRUE(!said || said == Cancel::too_late ||
                    (said == Cancel::ended && call.deed.listens))
            << what << ": cancel() says that it was cancelled, and it has its value";
      }
      known.least = 1;
      ++account_.values;
    } catch (procpool::TaskCancelled const& error) {
      // Should it not have been cancelled when the pool was ended: that was said before it was
      // done.
      EXPECT_TRUE(said || ending()) << what << ": nobody cancelled it";
      EXPECT_TRUE(said != Cancel::too_late || ending())
          << what << ": cancel() says that it had ended: " << error.what();
      ++account_.cancelled;
    } catch (procpool::TaskTimeout const& error) {
      judge(error, call, said);
      // It has waited too long: then it never runs.
      if (!call.options.timeout && attempts == 1) known.most = 0;
      ++account_.deadlines;
    } catch (procpool::WorkerDied const& error) {
      // A cancelled one is not run again.
      EXPECT_TRUE(attempts == 1 || said || ending()) << error.what();
      // A task that listens was told, and was killed before it could react.
      EXPECT_TRUE(!said || said == Cancel::too_late || (said == Cancel::ended && call.deed.listens))
          << what << ": cancel() says that it was cancelled: " << error.what();
      judge(error);
    }
    account_.known.push_back(known);
  }

  // A deadline that it has, and that was over.
  void judge(procpool::TaskTimeout const& error, Call const& call,
             std::optional<procpool::Cancel> said) {
    std::string const text = error.what();
    bool const waited = text.find("had not begun after its queue_timeout") != std::string::npos;
    auto const& limit = waited ? call.options.queue_timeout : call.options.timeout;
    EXPECT_TRUE(waited || text.find("ran longer than its timeout") != std::string::npos) << text;
    EXPECT_TRUE(limit && Clock::now() - call.begin >= *limit) << text;
    EXPECT_TRUE(!said || said == procpool::Cancel::too_late) << text;
  }

  Call submit() { return submit(deed(), options()); }
  Call submit(Deed const& deed, procpool::CallOptions const& options) {
    Call call{deed, options, {}};
    call.future = common_.pool.with(call.options).submit<do_deed>(call.deed);
    return call;
  }

  Common& common_;
  std::mt19937 random_;
  Account account_;
};

}  // namespace torture
