// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

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
#include <sstream>
#include <stdexcept>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include <procpool/bound_call.hpp>
#include <procpool/detail/engine/engine.hpp>
#include <procpool/detail/operations/call_options.hpp>
#include <procpool/exceptions.hpp>
#include <procpool/pool.hpp>
#include <procpool/process.hpp>

#include "support/errors.hpp"

namespace {

using namespace std::chrono_literals;
using procpool::Count;
using procpool::PoolOptions;
using procpool::detail::checked;

template <class I>
class CountOf : public testing::Test {};
using Integers = testing::Types<char, signed char, unsigned char, short, unsigned short, int,
                                unsigned, long, unsigned long, long long, unsigned long long,
                                wchar_t, char8_t, char16_t, char32_t, std::size_t, std::ptrdiff_t>;
TYPED_TEST_SUITE(CountOf, Integers);

TYPED_TEST(CountOf, TakesTheTypeAsItIs) {
  using I = TypeParam;
  using Limits = std::numeric_limits<I>;
  EXPECT_EQ(checked(Count(I{5}), "n", 10), 5u);
  EXPECT_EQ(checked(Count(Limits::max()), "n", std::numeric_limits<std::size_t>::max()),
            static_cast<std::size_t>(Limits::max()));
  EXPECT_THROW(checked(Count(I{0}), "n", 10), std::invalid_argument);
  if constexpr (std::is_signed_v<I>) {
    EXPECT_THROW(checked(Count(I{-1}), "n", SIZE_MAX), std::invalid_argument);
    auto const error = support::thrown_by<std::invalid_argument>(
        [] { checked(Count(Limits::min()), "n", SIZE_MAX); });
    EXPECT_TRUE(support::says(error, "is " + std::to_string(Limits::min()) + ";"));
  }
}

TEST(Count, LimitsAreIncluded) {
  EXPECT_EQ(checked(Count(1), "n", 1), 1u);
  EXPECT_EQ(checked(Count(10), "n", 10), 10u);
  EXPECT_THROW(checked(Count(11), "n", 10), std::invalid_argument);
}

TEST(Count, SaysWhatWhichAndWhy) {
  auto const text = [](Count count) {
    return std::string(
        support::thrown_by<std::invalid_argument>([&] { checked(count, "workers", 4096); }).what());
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
  EXPECT_NE(refusal({.workers = 0, .start = {.method = procpool::Start::in_process}})
                .find("workers is 0"),
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
    says({.shutdown = {.timeout = time}}, "shutdown.timeout");
    says({.start = {.timeout = time}}, "PoolOptions::start.timeout");
    says({.shutdown = {.stop_grace = time}}, "shutdown.stop_grace");
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
          .deadline = std::chrono::steady_clock::time_point(std::chrono::hours(number)),
          .retries = {.times = number},
          .priority = number,
          .key = number,
          .when_full = procpool::WhenFull::refuse,
          .stream = static_cast<std::uint64_t>(number),
          .stop = std::stop_token(),
          .label = "call " + std::to_string(number)};
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
      "when_full stream deadline stop label ";
  EXPECT_EQ(names_of_given({}), "");
  EXPECT_EQ(names_of_given(all_given(1)), all);
  using procpool::detail::merge_options;
  EXPECT_EQ(names_of_given(merge_options({}, {})), "");
  EXPECT_EQ(names_of_given(merge_options({}, all_given(1))), all);
  EXPECT_EQ(names_of_given(merge_options(all_given(1), {})), all);
  CallOptions const merged = merge_options(all_given(1), {.slices = 3, .priority = 2});
  EXPECT_EQ(checked(*merged.slices, "slices", 5), 3u);
  EXPECT_EQ(merged.priority, 2);
  EXPECT_EQ(checked(*merged.window, "window", 5), 1u);
}

// ---- comparison and text

template <class T>
std::string printed(T const& value) {
  std::ostringstream out;
  out << value;
  return out.str();
}

void nothing(int) {}
void nothing_else(int) {}

// Makes no engine: a pool that asks it for one says its name.
class NamedMaker final : public procpool::detail::EngineMaker {
 public:
  explicit NamedMaker(std::string name) : name_(std::move(name)) {}
  std::unique_ptr<procpool::detail::Engine> make(PoolOptions const& options) const override {
    throw procpool::SetupError("pool \"" + options.name + "\" asked " + name_);
  }
  std::string text() const override { return name_; }

 private:
  std::string const name_;
};
procpool::PoolEngine named_engine(std::string const& name) {
  return procpool::detail::PoolEngineAccess::of(std::make_shared<NamedMaker const>(name));
}

// One for each member, in which it differs from its default.
std::vector<PoolOptions> pool_options() {
  using namespace procpool;
  return {{.workers = 2},
          {.name = "another"},
          {.start = {.method = Start::forkserver}},
          {.start = {.timeout = 2s}},
          {.start = {.initializer = bound<nothing>(1)}},
          {.start = {.exit_handler = bound<nothing>(1)}},
          {.start = {.environment = {{"TOKEN", "secret"}}}},
          {.lifetime = {.max_tasks = 5}},
          {.lifetime = {.recycle_above = 1 << 30}},
          {.lifetime = {.recycle_after = 1min}},
          {.lifetime = {.idle_timeout = std::chrono::hours::max()}},
          {.limits = {.memory = 1 << 30}},
          {.limits = {.address_space = 1 << 30}},
          {.limits = {.cpu_time = 2s}},
          {.limits = {.open_files = 100}},
          {.limits = {.core_size = 0}},
          {.shutdown = {.at_exit = End::kill}},
          {.shutdown = {.timeout = 1s}},
          {.shutdown = {.stop_grace = 1s}},
          {.shutdown = {.ask_grace = 1s}},
          {.shutdown = {.term_grace = 1s}},
          {.shutdown = {.ignore_sigterm = true}},
          {.placement = {.cpus = {0, 1}}},
          {.placement = {.nice = 3}},
          {.placement = {.cgroup = "/a/\"folder\"\n"}},
          {.output = {.mode = Output::capture}},
          {.output = {.limit = 10}},
          {.defaults = {.chunk = 5}},
          {.queue_limit = 5},
          {.nesting_limit = 5},
          {.seed = 0},
          {.harden = true},
          {.log = [](std::string_view) {}},
          {.exceptions = exception_types<std::runtime_error>()},
          {.trace = "trace.json"},
          {.engine = named_engine("elsewhere({.hosts = 2})")}};
}

TEST(PoolOptions, AreEqualIfEachMemberIs) {
  auto const all = pool_options();
  auto const again = pool_options();
  EXPECT_EQ(PoolOptions(), PoolOptions());
  for (std::size_t i = 0; i < all.size(); ++i) {
    EXPECT_NE(all[i], PoolOptions());
    EXPECT_EQ(all[i], again[i]);
    for (std::size_t other = 0; other < i; ++other) EXPECT_NE(all[i], all[other]);
  }
}

TEST(PoolOptions, AnEngineMakesThePoolOfCheckedOptions) {
  PoolOptions options{.name = "far", .engine = named_engine("a")};
  auto const asked =
      support::thrown_by<procpool::SetupError>([&] { procpool::ProcessPool const pool(options); });
  EXPECT_STREQ(asked.what(), "pool \"far\" asked a");
  options.workers = 0;
  EXPECT_THROW(procpool::ProcessPool{options}, std::invalid_argument);
  EXPECT_NE(named_engine("a"), named_engine("b"));
  EXPECT_EQ(printed(procpool::PoolEngine()), "this machine");
}

TEST(PoolOptions, CallsAreEqualIfFunctionAndArgumentsAre) {
  using procpool::bound;
  EXPECT_EQ(bound<nothing>(1), bound<nothing>(1));
  EXPECT_NE(bound<nothing>(1), bound<nothing>(2));
  EXPECT_NE(bound<nothing>(1), bound<nothing_else>(1));
}

TEST(PoolOptions, ArePrintedAsTheyWouldBeWritten) {
  EXPECT_EQ(printed(PoolOptions()), "{}");
  std::string all;
  for (auto const& options : pool_options()) all += printed(options) + "\n";
  EXPECT_EQ(all,
            R"({.workers = 2}
{.name = "another"}
{.start = {.method = Start::forkserver}}
{.start = {.timeout = 2000ms}}
{.start = {.initializer = given}}
{.start = {.exit_handler = given}}
{.start = {.environment = {"TOKEN"}}}
{.lifetime = {.max_tasks = 5}}
{.lifetime = {.recycle_above = 1073741824}}
{.lifetime = {.recycle_after = 60000ms}}
{.lifetime = {.idle_timeout = for ever}}
{.limits = {.memory = 1073741824}}
{.limits = {.address_space = 1073741824}}
{.limits = {.cpu_time = 2s}}
{.limits = {.open_files = 100}}
{.limits = {.core_size = 0}}
{.shutdown = {.at_exit = End::kill}}
{.shutdown = {.timeout = 1000ms}}
{.shutdown = {.stop_grace = 1000ms}}
{.shutdown = {.ask_grace = 1000ms}}
{.shutdown = {.term_grace = 1000ms}}
{.shutdown = {.ignore_sigterm = true}}
{.placement = {.cpus = {0, 1}}}
{.placement = {.nice = 3}}
{.placement = {.cgroup = "/a/\"folder\" "}}
{.output = {.mode = Output::capture}}
{.output = {.limit = 10}}
{.defaults = {.chunk = 5}}
{.queue_limit = 5}
{.nesting_limit = 5}
{.seed = 0}
{.harden = true}
{.log = given}
{.exceptions = given}
{.trace = "trace.json"}
{.engine = elsewhere({.hosts = 2})}
)");
  EXPECT_EQ(
      printed(PoolOptions{.workers = -3, .lifetime = {.max_tasks = 1}, .defaults = {.key = 4}}),
      "{.workers = -3, .lifetime = {.max_tasks = 1}, .defaults = {.key = 4}}");
}

TEST(CallOptions, AreComparedAndPrinted) {
  EXPECT_EQ(CallOptions(), CallOptions());
  EXPECT_EQ(printed(CallOptions()), "{}");
  EXPECT_EQ(all_given(1), all_given(1));
  EXPECT_NE(all_given(1), all_given(2));
  EXPECT_EQ(
      printed(all_given(2)),
      "{.chunk = 2, .window = 2, .slices = 2, .on_error = OnError::collect, .progress = given, "
      ".executor = given, .timeout = 2ms, .queue_timeout = 2ms, .deadline = given, "
      ".retries = {.times = 2}, .priority = 2, .key = 2, .when_full = WhenFull::refuse, "
      ".stream = 2, .stop = given, .label = \"call 2\"}");
  EXPECT_EQ(printed(procpool::Retries{.times = 3,
                                      .backoff = 10ms,
                                      .on_crash = false,
                                      .also_on = procpool::thrown<std::logic_error>()}),
            "{.times = 3, .backoff = 10ms, .on_crash = false, .also_on = given}");
  EXPECT_NE(procpool::thrown<std::logic_error>(), procpool::thrown<std::runtime_error>());
}

TEST(CallOptions, FunctionsAreComparedByWhatTheyAre) {
  auto const with = [](procpool::ProgressCallback progress) {
    return CallOptions{.progress = std::move(progress)};
  };
  void (*const one)(procpool::Progress const&) = [](procpool::Progress const&) {};
  void (*const other)(procpool::Progress const&) = [](procpool::Progress const&) { nothing(1); };
  EXPECT_EQ(with(one), with(one));
  EXPECT_NE(with(one), with(other));
  EXPECT_NE(with(one), with({}));
  auto const capturing = [](int x) { return [x](procpool::Progress const&) { nothing(x); }; };
  EXPECT_EQ(with(capturing(1)), with(capturing(2)));  // captures cannot be seen
  EXPECT_NE(with(capturing(1)), with([](procpool::Progress const&) {}));
}

TEST(ProcessOptions, AreComparedAndPrinted) {
  using procpool::ProcessOptions;
  ProcessOptions const options{.name = "reader", .timeout = 2s, .limits = {.open_files = 10}};
  EXPECT_EQ(options, ProcessOptions(options));
  EXPECT_NE(options, ProcessOptions());
  EXPECT_EQ(printed(options),
            R"({.name = "reader", .timeout = 2000ms, .limits = {.open_files = 10}})");
}

TEST(ActorOptions, AreComparedAndPrinted) {
  using procpool::ActorOptions;
  ActorOptions const options{.restarts = 3, .checkpoint_every = 1};
  EXPECT_EQ(options, ActorOptions(options));
  EXPECT_NE(options, ActorOptions());
  EXPECT_EQ(printed(options), "{.restarts = 3, .checkpoint_every = 1}");
}

TEST(Count, HasItsNumber) {
  EXPECT_EQ(Count(5).value(), 5u);
  EXPECT_EQ(Count(5), Count(5u));
  EXPECT_NE(Count(-1), Count(SIZE_MAX));
  EXPECT_EQ(printed(Count(-3)), "-3");
  EXPECT_TRUE(support::says(
      support::thrown_by<std::invalid_argument>([] { static_cast<void>(Count(-3).value()); }),
      "-3"));
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

TEST(OptionTimes, ADeadlineIsAPointInTimeOfEitherClock) {
  using procpool::Deadline;
  auto const now = std::chrono::steady_clock::now();
  EXPECT_EQ(Deadline(now).time(), now);
  EXPECT_EQ(Deadline(std::chrono::steady_clock::time_point::max()).time(), std::nullopt);
  EXPECT_LE(Deadline(std::chrono::steady_clock::time_point::min()).time(), now);
  auto const system = Deadline(std::chrono::system_clock::now() + 10min).time();
  ASSERT_TRUE(system);
  EXPECT_GE(*system, now + 9min);
  EXPECT_LE(*system, std::chrono::steady_clock::now() + 11min);
  EXPECT_GT(Deadline(std::chrono::system_clock::time_point::max()).time(),
            now + std::chrono::years(100));
  auto const past = Deadline(std::chrono::system_clock::time_point::min()).time();
  auto const long_past = Deadline(std::chrono::sys_days()).time();
  EXPECT_LE(past, std::chrono::steady_clock::now());
  EXPECT_LE(long_past, std::chrono::steady_clock::now());
  using FarOff = std::chrono::time_point<std::chrono::steady_clock, std::chrono::hours>;
  EXPECT_EQ(Deadline(FarOff::max()).time(), std::nullopt);
}

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
  procpool::PoolOptions const pool{
      .start = {.timeout = 1h},
      .lifetime = {.idle_timeout = std::chrono::hours(2)},
      .shutdown = {.timeout = std::chrono::years::max(), .ask_grace = std::chrono::days::max()}};
  EXPECT_EQ(pool.shutdown.timeout->count(), std::chrono::milliseconds::max().count());
  EXPECT_EQ(pool.start.timeout.count(), 3'600'000);
  EXPECT_EQ(pool.shutdown.ask_grace.count(), std::chrono::milliseconds::max().count());
  procpool::Retries const retries{.times = 1, .backoff = std::chrono::hours::max()};
  EXPECT_EQ(procpool::detail::backoff_before(3, retries).count(),
            std::chrono::milliseconds::max().count());
}

}  // namespace
