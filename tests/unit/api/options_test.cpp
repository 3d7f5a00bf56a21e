// Options: numbers of any integral type, and options that make no sense are refused by a
// sentence, before anything is started.

#include <procpool/options.hpp>

#include <gtest/gtest.h>

#include <chrono>
#include <climits>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <limits>
#include <stdexcept>
#include <string>
#include <type_traits>

#include <procpool/detail/engine/engine.hpp>
#include <procpool/detail/operations/call_options.hpp>

#include "support/errors.hpp"

namespace {

using namespace std::chrono_literals;
using procpool::Count;
using procpool::PoolOptions;

template <class I>
class CountOf : public testing::Test {};
using Integers = testing::Types<char, signed char, unsigned char, short, unsigned short, int,
                                unsigned, long, unsigned long, long long, unsigned long long,
                                wchar_t, char8_t, char16_t, char32_t, std::size_t, std::ptrdiff_t>;
TYPED_TEST_SUITE(CountOf, Integers);

TYPED_TEST(CountOf, TakesTheTypeAsItIs) {
  using I = TypeParam;
  using Limits = std::numeric_limits<I>;
  EXPECT_EQ(Count(I{5}).checked("n", 10), 5u);
  EXPECT_EQ(Count(Limits::max()).checked("n", std::numeric_limits<std::size_t>::max()),
            static_cast<std::size_t>(Limits::max()));
  EXPECT_THROW(Count(I{0}).checked("n", 10), std::invalid_argument);
  if constexpr (std::is_signed_v<I>) {
    EXPECT_THROW(Count(I{-1}).checked("n", SIZE_MAX), std::invalid_argument);
    auto const error = support::thrown_by<std::invalid_argument>(
        [] { Count(Limits::min()).checked("n", SIZE_MAX); });
    EXPECT_TRUE(support::says(error, "is " + std::to_string(Limits::min()) + ";"));
  }
}

TEST(Count, LimitsAreIncluded) {
  EXPECT_EQ(Count(1).checked("n", 1), 1u);
  EXPECT_EQ(Count(10).checked("n", 10), 10u);
  EXPECT_THROW(Count(11).checked("n", 10), std::invalid_argument);
}

TEST(Count, SaysWhatWhichAndWhy) {
  auto const text = [](Count count) {
    return std::string(
        support::thrown_by<std::invalid_argument>([&] { count.checked("workers", 4096); }).what());
  };
  EXPECT_EQ(text(-3), "procpool: workers is -3; it must be from 1 to 4096");
  EXPECT_EQ(text(5000u), "procpool: workers is 5000; it must be from 1 to 4096");
  EXPECT_EQ(text(ULLONG_MAX),
            "procpool: workers is 18446744073709551615; it must be from 1 to 4096");
}

TEST(Count, IsNoBoolAndNoFraction) {
  static_assert(!std::is_convertible_v<bool, Count>);
  static_assert(!std::is_convertible_v<double, Count>);
  static_assert(!std::is_constructible_v<procpool::ProcessPool, bool>);
  static_assert(!std::is_convertible_v<int, procpool::ProcessPool>);
}

// The sentence with which these options are refused.
std::string refusal(PoolOptions const& options) {
  return support::thrown_by<std::invalid_argument>([&] { procpool::detail::make_engine(options); })
      .what();
}

TEST(PoolOptions, WorkersOutOfRange) {
  EXPECT_EQ(refusal({.workers = 0}), "procpool: workers is 0; it must be from 1 to 4096");
  EXPECT_EQ(refusal({.workers = -3}), "procpool: workers is -3; it must be from 1 to 4096");
  EXPECT_EQ(refusal({.workers = 5000}), "procpool: workers is 5000; it must be from 1 to 4096");
  EXPECT_THROW(procpool::ProcessPool{0}, std::invalid_argument);
  EXPECT_THROW(procpool::ProcessPool{-1L}, std::invalid_argument);
  EXPECT_THROW(procpool::ProcessPool{std::size_t{5000}}, std::invalid_argument);
}

TEST(PoolOptions, TheyAreRefusedInProcessToo) {
  EXPECT_NE(refusal({.workers = 0, .start = procpool::Start::in_process}).find("workers is 0"),
            std::string::npos);
}

TEST(PoolOptions, TimesMustBePositive) {
  for (auto const time : {0ms, -1ms, std::chrono::milliseconds::min()}) {
    std::string const given = std::to_string(time.count()) + " ms";
    auto const says = [&](PoolOptions const& options, std::string const& name) {
      std::string const text = refusal(options);
      EXPECT_NE(text.find(name), std::string::npos) << text;
      EXPECT_NE(text.find(given), std::string::npos) << text;
    };
    says({.at_exit_deadline = time}, "at_exit_deadline");
    says({.start_timeout = time}, "start_timeout");
    says({.stop_grace = time}, "stop_grace");
  }
}

TEST(PoolOptions, ANameIsAShortLine) {
  EXPECT_NE(refusal({.workers = 1, .name = std::string(256, 'n')}).find("256 bytes"),
            std::string::npos);
  for (char const* const name : {"two\nlines", "red \x1b[31m", "\x7f"}) {
    EXPECT_NE(refusal({.workers = 1, .name = name}).find("control character"), std::string::npos);
  }
  EXPECT_NO_THROW((procpool::ProcessPool{{.workers = 1, .name = std::string(255, 'n')}}));
  EXPECT_NO_THROW((procpool::ProcessPool{{.workers = 1, .name = "L\u00f6ser"}}));
}

TEST(PoolOptions, AChunkOutOfRange) {
  EXPECT_NE(refusal({.defaults = {.chunk = 0}}).find("chunk is 0"), std::string::npos);
  EXPECT_NE(refusal({.defaults = {.chunk = -8}}).find("chunk is -8"), std::string::npos);
}

TEST(PoolOptions, ConstructingStartsNothing) {
  procpool::ProcessPool const pool{{.workers = 4096}};
  EXPECT_EQ(pool.size(), 4096u);
  EXPECT_EQ(pool.stats().worker_starts, 0u);
}

// ---- options of a call

using procpool::CallOptions;

CallOptions all_given(int number) {
  return {.chunk = number,
          .window = number,
          .slices = number,
          .on_error = procpool::OnError::collect,
          .progress = [](procpool::Progress const&) {},
          .executor = [](std::function<void()> const& work) { work(); },
          .timeout = std::chrono::milliseconds(number),
          .queue_timeout = std::chrono::milliseconds(number),
          .retries = number,
          .priority = number,
          .key = number,
          .when_full = procpool::WhenFull::refuse,
          .stream = static_cast<std::uint64_t>(number)};
}

// The names of the options that are given, by the refusal of each.
std::string names_of_given(CallOptions const& options) {
  std::string names;
  for (unsigned bit = 1; bit != 0; bit *= 2) {
    try {
      procpool::detail::refuse_unused(options, ~bit, "it");
    } catch (std::invalid_argument const& error) {
      std::string const text = error.what();
      auto const begin = text.find('`') + 1;
      names += text.substr(begin, text.find('`', begin) - begin) + " ";
    }
  }
  return names;
}

TEST(CallOptions, EachIsMergedAndEachUnusedOneIsRefused) {
  std::string const all =
      "chunk window slices on_error progress executor timeout queue_timeout retries priority key "
      "when_full stream ";
  EXPECT_EQ(names_of_given({}), "");
  EXPECT_EQ(names_of_given(all_given(1)), all);
  using procpool::detail::merge_options;
  EXPECT_EQ(names_of_given(merge_options({}, {})), "");
  EXPECT_EQ(names_of_given(merge_options({}, all_given(1))), all);
  EXPECT_EQ(names_of_given(merge_options(all_given(1), {})), all);
  CallOptions const merged = merge_options(all_given(1), {.slices = 3, .priority = 2});
  EXPECT_EQ(merged.slices->checked("slices", 5), 3u);
  EXPECT_EQ(merged.priority, 2);
  EXPECT_EQ(merged.window->checked("window", 5), 1u);
}

// ---- times

using procpool::Milliseconds;

static_assert(Milliseconds(5s) == 5000ms);
static_assert(Milliseconds(1us) == 1ms, "a fraction counts as a whole one");
static_assert(Milliseconds(-1us) == 0ms);
static_assert(Milliseconds(0.5s) == 500ms);
static_assert(Milliseconds(std::chrono::milliseconds::max()) == std::chrono::milliseconds::max());
static_assert(Milliseconds(std::chrono::hours::max()) == std::chrono::milliseconds::max());
static_assert(Milliseconds(std::chrono::hours::min()) == std::chrono::milliseconds::min());
static_assert(Milliseconds(std::chrono::duration<double>(1e300)) ==
              std::chrono::milliseconds::max());
static_assert(procpool::Seconds(std::chrono::hours::max()) == std::chrono::seconds::max());
static_assert(procpool::Seconds(std::chrono::nanoseconds::max()) > 9'000'000'000s);

TEST(OptionTimes, OfAnyUnitAreTakenForWhatTheyAre) {
  procpool::CallOptions call{.timeout = std::chrono::hours::max(), .queue_timeout = 3min};
  EXPECT_NO_THROW(procpool::detail::check_options(call));
  EXPECT_EQ(call.timeout->count(), std::chrono::milliseconds::max().count());
  call.timeout = std::chrono::duration<double>(std::numeric_limits<double>::quiet_NaN());
  EXPECT_EQ(call.timeout->count(), 0);
  call.timeout = 1us;
  EXPECT_EQ(call.timeout->count(), 1);
  EXPECT_NO_THROW(procpool::detail::check_options(call));
  call.timeout = -1us;
  EXPECT_THROW(procpool::detail::check_options(call), std::invalid_argument);
  procpool::PoolOptions const pool{.at_exit_deadline = std::chrono::years::max(),
                                   .start_timeout = 1h,
                                   .idle_timeout = std::chrono::hours(2),
                                   .ask_grace = std::chrono::days::max()};
  EXPECT_EQ(pool.at_exit_deadline->count(), std::chrono::milliseconds::max().count());
  EXPECT_EQ(pool.start_timeout.count(), 3'600'000);
  EXPECT_EQ(pool.ask_grace.count(), std::chrono::milliseconds::max().count());
  procpool::Retries retries(1);
  retries.backoff = std::chrono::hours::max();
  EXPECT_EQ(retries.backoff_before(3).count(), std::chrono::milliseconds::max().count());
}

}  // namespace
