// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// Exceptions, error codes and error categories of the program's own, across the process boundary:
// with each way to start workers, and without workers.

#include <gtest/gtest.h>

#include <atomic>
#include <boost/throw_exception.hpp>
#include <mutex>
#include <procpool.hpp>
#include <set>
#include <stdexcept>
#include <string>
#include <system_error>
#include <thread>
#include <vector>

#include "support/errors.hpp"
#include "support/start.hpp"

namespace own {

enum class Parse { bad_header = 1, truncated };

struct Category : std::error_category {
  char const* name() const noexcept override { return "parse"; }
  std::string message(int value) const override { return value == 1 ? "bad header" : "truncated"; }
  std::error_condition default_error_condition(int value) const noexcept override {
    return value == 2 ? std::make_error_condition(std::errc::io_error)
                      : std::error_condition(value, *this);
  }
};
Category const& category() {
  static Category const one;
  return one;
}
std::error_code make_error_code(Parse code) { return {static_cast<int>(code), category()}; }

struct BadIndex : std::out_of_range {
  using std::out_of_range::out_of_range;
};

// On which threads its own code has run.
struct Threads {
  std::mutex mutex;
  std::set<std::thread::id> ids;
};
Threads threads;

struct ParseError : std::runtime_error {
  explicit ParseError(std::string const& text = {}, int at = 0)
      : std::runtime_error(text), line(at) {}
  template <class A>
  void serialize(A& archive, unsigned) {
    if (A::is_loading::value) {
      std::lock_guard const lock(threads.mutex);
      threads.ids.insert(std::this_thread::get_id());
    }
    archive & line;
  }
  int line;
};
struct HeaderError : ParseError {
  using ParseError::ParseError;
  template <class A>
  void serialize(A& archive, unsigned version) {
    ParseError::serialize(archive, version);
  }
};
struct Refused {
  int code = 0;
};
struct Renamed : std::logic_error {
  using std::logic_error::logic_error;
};

}  // namespace own

template <>
struct std::is_error_code_enum<own::Parse> : std::true_type {};

namespace {

using procpool::Start;

int fail_in_way(int how) {
  switch (how) {
    case 0: throw std::system_error(own::Parse::bad_header, "file a");
    case 1: throw std::system_error(own::Parse::truncated, "file b");
    case 2: throw own::BadIndex("index 7");
    case 3: boost::throw_exception(std::out_of_range("index 8"));
    case 4: throw own::ParseError("line", 4);
    case 5: throw own::HeaderError("header", 5);
    case 6: throw own::Refused{6};
    case 7: throw own::Renamed("renamed");
    default: return how;
  }
}

class OwnExceptions : public testing::TestWithParam<Start> {
 protected:
  static procpool::PoolOptions options() {
    return {.workers = 1,
            .start = {.method = GetParam()},
            .exceptions = procpool::exception_types<own::ParseError, own::HeaderError, own::Refused,
                                                    own::Renamed>()};
  }
};

TEST_P(OwnExceptions, ErrorCodesCompareEqual) {
  procpool::ProcessPool pool{options()};
  auto const header = support::thrown_by<std::system_error>([&] { pool.call<fail_in_way>(0); });
  EXPECT_EQ(header.code(), own::Parse::bad_header);
  EXPECT_EQ(header.code().message(), "bad header");
  auto const body = support::thrown_by<std::system_error>([&] { pool.call<fail_in_way>(1); });
  EXPECT_EQ(body.code(), std::errc::io_error);
  EXPECT_NE(body.code(), own::Parse::bad_header);
}

TEST_P(OwnExceptions, AreCaughtByTheirStandardBase) {
  procpool::ProcessPool pool{options()};
  auto const index = support::thrown_by<procpool::FromWorker<std::out_of_range>>(
      [&] { pool.call<fail_in_way>(2); });
  EXPECT_EQ(index.type, "own::BadIndex");
  EXPECT_STREQ(index.what(), "index 7");
  auto const boost = support::thrown_by<procpool::FromWorker<std::out_of_range>>(
      [&] { pool.call<fail_in_way>(3); });
  EXPECT_EQ(boost.type, "std::out_of_range");
}

TEST_P(OwnExceptions, ThatAreListedComeBackAsThemselves) {
  procpool::ProcessPool pool{options()};
  auto const outcomes = pool.outcomes().map<fail_in_way>(std::vector{4, 5, 6, 7, 8});
  try {
    outcomes[0].value();
    FAIL();
  } catch (own::ParseError const& error) {
    EXPECT_EQ(error.line, 4);
    EXPECT_STREQ(error.what(), "line");
    auto const* const origin = dynamic_cast<procpool::Origin const*>(&error);
    ASSERT_NE(origin, nullptr);
    EXPECT_EQ(origin->element, 0u);
    EXPECT_EQ(origin->type, "own::ParseError");
  }
  EXPECT_EQ(support::error_of<own::HeaderError>(outcomes[1]).line, 5);
  EXPECT_EQ(support::error_of<own::Refused>(outcomes[2]).code, 6);
  EXPECT_STREQ(support::error_of<own::Renamed>(outcomes[3]).what(), "renamed");
  EXPECT_EQ(outcomes[4].value(), 8);
  // And through every other operation.
  EXPECT_THROW(pool.call<fail_in_way>(4), own::ParseError);
  EXPECT_THROW(pool.map<fail_in_way>(std::vector{4}), own::ParseError);
  EXPECT_THROW(*pool.imap<fail_in_way>(std::vector{5}).begin(), own::HeaderError);
  EXPECT_THROW(pool.with({.timeout = std::chrono::minutes(1)}).submit<fail_in_way>(6).get(),
               own::Refused);
}

TEST_P(OwnExceptions, ThatAreListedAreTriedAgain) {
  procpool::ProcessPool pool{options()};
  own::threads.ids.clear();
  procpool::Retries const retries{.times = 2, .also_on = procpool::thrown<own::ParseError>()};
  EXPECT_THROW(pool.with({.retries = retries}).call<fail_in_way>(5), own::HeaderError);
  EXPECT_THROW(pool.with({.retries = retries}).call<fail_in_way>(7), own::Renamed);
  if (GetParam() == Start::in_process) return;
  EXPECT_EQ(pool.stats().retries, 2u);  // none for what is no ParseError
  // Its own code has run where its results were asked for, and not on the pool's thread.
  std::lock_guard const lock(own::threads.mutex);
  EXPECT_EQ(own::threads.ids, std::set{std::this_thread::get_id()});
}

TEST_P(OwnExceptions, WithoutAListComeAsTheirBase) {
  procpool::ProcessPool pool{{.workers = 1, .start = {.method = GetParam()}}};
  auto const error = support::thrown_by<procpool::FromWorker<std::runtime_error>>(
      [&] { pool.call<fail_in_way>(5); });
  EXPECT_EQ(error.type, "own::HeaderError");
  EXPECT_THROW(pool.call<fail_in_way>(6), procpool::RemoteError);
  EXPECT_THROW(pool.call<fail_in_way>(7), procpool::FromWorker<std::logic_error>);
}

INSTANTIATE_TEST_SUITE_P(Starts, OwnExceptions, support::every_start(), support::start_name);

}  // namespace
