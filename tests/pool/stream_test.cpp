// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// imap: the results of a loop, in the order of the inputs, which are read as the results are taken;
// and what becomes of a stream when elements, inputs, its pool or its consumer fail or leave.

#include <gtest/gtest.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <exception>
#include <filesystem>
#include <iterator>
#include <list>
#include <memory>
#include <numeric>
#include <optional>
#include <procpool.hpp>
#include <random>
#include <ranges>
#include <sstream>
#include <stdexcept>
#include <string>
#include <system_error>
#include <thread>
#include <type_traits>
#include <utility>
#include <vector>

#include "support/errors.hpp"
#include "support/gate.hpp"
#include "support/seed.hpp"
#include "support/tasks.hpp"
#include "support/trace.hpp"
#include "support/until.hpp"

namespace {

using procpool::CallOptions;

using tasks::add;
using tasks::boxed;
using tasks::note;
using tasks::same;
using tasks::square;
int unboxed(std::unique_ptr<int> x) { return *x; }
std::string twice_text(std::string const& text) { return text + text; }
int same_after(int x, int milliseconds) {
  std::this_thread::sleep_for(std::chrono::milliseconds(milliseconds));
  return x;
}
int some_throw(int x) {
  if (x % 10 == 3) throw std::out_of_range(std::to_string(x));
  if (x % 10 == 7) throw std::system_error(ENOSPC, std::generic_category());
  return x;
}
int crash_at_7(int x) {
  if (x == 7) ::raise(SIGSEGV);
  return x;
}
int wait_for_three(int x) {
  support::Trace::note(x);
  auto const three_began = [] {
    return std::filesystem::file_size(std::getenv(support::Trace::variable)) >= 3 * sizeof(long);
  };
  return support::until(three_began) ? x : -1;
}

int all_but_0_wait(int x, std::string const& gate) {
  support::Trace::note(x);
  if (x != 0) support::wait_at(gate);
  return x;
}

// Numbers from 0 on that can be read once only and count how many were; the iterator cannot be
// copied.
class CountedRange {
 public:
  explicit CountedRange(int& pulled, int end = -1) : pulled_(&pulled), end_(end) {}
  CountedRange(CountedRange&&) = default;
  CountedRange& operator=(CountedRange&&) = default;
  // The action that takes the place of this number.
  CountedRange throwing_at(int number) && {
    bad_ = number;
    return std::move(*this);
  }

  class iterator {
   public:
    using value_type = int;
    using difference_type = std::ptrdiff_t;
    using iterator_concept = std::input_iterator_tag;

    explicit iterator(CountedRange& from) : from_(&from) { arrive(); }
    iterator(iterator&&) = default;
    iterator& operator=(iterator&&) = default;
    int operator*() const { return at_; }
    iterator& operator++() {
      ++at_;
      arrive();
      return *this;
    }
    void operator++(int) { ++*this; }
    bool operator==(std::default_sentinel_t) const { return at_ == from_->end_; }

   private:
    void arrive() {
      if (at_ == from_->bad_) throw std::underflow_error("no more of these");
      if (at_ != from_->end_) ++*from_->pulled_;
    }
    CountedRange* from_;
    int at_ = 0;
  };
  iterator begin() { return iterator(*this); }
  std::default_sentinel_t end() const { return {}; }

 private:
  int* pulled_;
  int end_;
  int bad_ = -2;
};

struct PickyOnSave {
  int value = 0;
  template <class A>
  void serialize(A& archive, unsigned) {
    if (A::is_saving::value && value == 5) throw std::domain_error("not this one");
    archive & value;
  }
};
int value_of(PickyOnSave const& picky) { return picky.value; }

// Can be made over there and not be read here.
struct Unreadable {
  int value = 0;
  template <class A>
  void serialize(A& archive, unsigned) {
    archive & value;
    if (A::is_loading::value && value == 5) throw std::domain_error("not this one");
  }
};
Unreadable unreadable(int x) { return {x}; }

template <class Stream>
auto all_of(Stream&& stream) {
  std::vector<std::ranges::range_value_t<Stream>> results;
  for (auto result : stream) results.push_back(std::move(result));
  return results;
}

using tasks::numbers;

// The course of a loop over a failing stream: values, errors of elements, and its end.
struct Course {
  std::vector<int> values;
  std::vector<std::exception_ptr> errors;
  std::exception_ptr end;
};
template <class Stream>
Course course_of(Stream& stream) {
  Course course;
  try {
    for (auto it = stream.begin(); it != stream.end(); ++it) {
      try {
        course.values.push_back(*it);
      } catch (...) {
        course.errors.push_back(std::current_exception());
      }
    }
  } catch (...) {
    course.end = std::current_exception();
  }
  return course;
}

}  // namespace

// ---- the same as a loop

TEST(Stream, IsAMoveOnlyInputView) {
  procpool::ProcessPool pool{1};
  using Ints = decltype(pool.imap<square>(std::vector<int>{}));
  static_assert(std::ranges::input_range<Ints> && !std::ranges::forward_range<Ints>);
  static_assert(std::ranges::view<Ints> && !std::copyable<Ints>);
  static_assert(std::is_same_v<std::ranges::range_reference_t<Ints>, int&&>);
  static_assert(std::is_same_v<std::ranges::range_value_t<Ints>, int>);
}

TEST(Stream, EqualsTheLoopForRangesOfAnyKind) {
  procpool::ProcessPool pool{2};
  std::vector<int> const wanted{0, 1, 4, 9, 16, 25, 36};
  std::vector const vector = numbers(7);
  EXPECT_EQ(all_of(pool.imap<square>(vector)), wanted);
  EXPECT_EQ(all_of(pool.imap(square, numbers(7))), wanted);
  EXPECT_EQ(all_of(pool.imap([](int x) { return x * x; }, vector)), wanted);
  EXPECT_EQ(all_of(pool.imap<square>(std::views::iota(0, 7))), wanted);
  EXPECT_EQ(all_of(pool.imap<square>(std::list(vector.begin(), vector.end()))), wanted);
  std::istringstream text("0 1 2 3 4 5 6");
  EXPECT_EQ(all_of(pool.imap<square>(std::views::istream<int>(text))), wanted);
  auto even = std::views::iota(0, 13) | std::views::filter([](int x) { return x % 2 == 0; });
  auto halves = even | std::views::transform([](int x) { return x / 2; });
  EXPECT_EQ(all_of(pool.imap<square>(halves)), wanted);
  int pulled = 0;
  EXPECT_EQ(all_of(pool.imap<square>(CountedRange(pulled, 7))), wanted);
  EXPECT_EQ(pulled, 7);
}

TEST(Stream, ZipsSeveralRangesUpToTheShortest) {
  procpool::ProcessPool pool{2};
  EXPECT_EQ(all_of(pool.imap<add>(std::vector{1, 2, 3, 4}, std::list{10, 20, 30})),
            (std::vector{11, 22, 33}));
  std::istringstream text("5 6");
  EXPECT_EQ(all_of(pool.imap<add>(std::views::iota(0), std::views::istream<int>(text))),
            (std::vector{5, 7}));
  EXPECT_TRUE(all_of(pool.imap<add>(std::vector<int>{}, std::views::iota(0))).empty());
}

TEST(Stream, CarriesMoveOnlyElementsAndResults) {
  procpool::ProcessPool pool{2};
  std::vector<std::unique_ptr<int>> boxes;
  for (int i = 0; i < 20; ++i) boxes.push_back(std::make_unique<int>(i));
  auto moving =
      std::ranges::subrange(std::move_iterator(boxes.begin()), std::move_iterator(boxes.end()));
  EXPECT_EQ(all_of(pool.imap<unboxed>(moving)), numbers(20));
  EXPECT_EQ(all_of(pool.imap<unboxed>(std::move(boxes))), numbers(20));
  auto const results = all_of(pool.imap<boxed>(numbers(20)));
  ASSERT_EQ(results.size(), 20u);
  for (int i = 0; i < 20; ++i) EXPECT_EQ(*results[static_cast<std::size_t>(i)], i);
}

TEST(Stream, OfAVoidFunctionHasAPlaceForEachElement) {
  support::Trace trace;
  procpool::ProcessPool pool{2};
  EXPECT_EQ(all_of(pool.imap<note>(numbers(50))).size(), 50u);
  EXPECT_EQ(trace.counts().size(), 50u);
}

TEST(Stream, OfNothingAndOfOne) {
  procpool::ProcessPool pool{2};
  EXPECT_TRUE(all_of(pool.imap<square>(std::vector<int>{})).empty());
  EXPECT_EQ(pool.stats().worker_starts, 0u);
  EXPECT_EQ(all_of(pool.imap<square>(std::vector{9})), std::vector{81});
  EXPECT_EQ(all_of(pool.imap<twice_text>(std::vector{"ab"})), std::vector<std::string>{"abab"});
}

TEST(Stream, BeginsWhereItIs) {
  procpool::ProcessPool pool{2};
  auto stream = pool.imap<same>(numbers(5));
  EXPECT_EQ(*stream.begin(), 0);
  EXPECT_EQ(*stream.begin(), 0);
  ++stream.begin();
  EXPECT_EQ(all_of(stream), (std::vector{1, 2, 3, 4}));
  EXPECT_TRUE(stream.begin() == stream.end());
}

TEST(Stream, GoesOnWhereverItIsMoved) {
  procpool::ProcessPool pool{2};
  auto unread = pool.imap<same>(numbers(30));
  auto begun = std::move(unread);
  EXPECT_EQ(*++begun.begin(), 1);
  auto rest = std::move(begun);
  EXPECT_EQ(*rest.begin(), 1);
  rest = pool.imap<same>(numbers(3));  // the other one is abandoned
  EXPECT_EQ(all_of(rest), numbers(3));
  EXPECT_TRUE(support::until([&] { return pool.stats().done == pool.stats().submitted; }));
}

TEST(Stream, GoesThroughViews) {
  procpool::ProcessPool pool{2};
  EXPECT_EQ(all_of(pool.imap<square>(std::views::iota(0)) | std::views::take(5)),
            (std::vector{0, 1, 4, 9, 16}));
  EXPECT_EQ(
      all_of(pool.imap<square>(numbers(6)) | std::views::filter([](int x) { return x % 2 == 0; })),
      (std::vector{0, 4, 16}));
}

// ---- laziness

class StreamWithWindow : public testing::TestWithParam<int> {};

TEST_P(StreamWithWindow, ReadsNoFurtherThanTheWindow) {
  int const window = GetParam();
  procpool::ProcessPool pool{{.workers = 2, .defaults = {.window = window}}};
  for (auto const& options : {CallOptions{}, CallOptions{.chunk = 1}, CallOptions{.chunk = 5}}) {
    int pulled = 0;
    int results = 0;
    int max_ahead = 0;
    auto watched = CountedRange(pulled, 60) | std::views::transform([&](int x) {
                     max_ahead = std::max(max_ahead, pulled - results);
                     return x;
                   });
    auto stream = pool.with(options).imap<same>(std::move(watched));
    EXPECT_EQ(pulled, 0);
    for (int const result : stream) {
      EXPECT_EQ(result, results++);
      EXPECT_LE(pulled, results + window);
    }
    EXPECT_EQ(results, 60);
    EXPECT_EQ(pulled, 60);
    EXPECT_LE(max_ahead, window);
  }
}

INSTANTIATE_TEST_SUITE_P(Sizes, StreamWithWindow, testing::Values(1, 3, 16));

TEST(StreamWindow, IsWorkedOnAtTheSameTime) {
  support::Trace trace;
  procpool::ProcessPool pool{3};
  EXPECT_EQ(all_of(pool.with({.chunk = 1, .window = 3}).imap<wait_for_three>(numbers(3))),
            numbers(3));
}

TEST(StreamWindow, OfAnEndlessInputIsAllThatIsReadAhead) {
  procpool::ProcessPool pool{2};
  int pulled = 0;
  {
    auto stream = pool.with({.window = 16}).imap<same>(CountedRange(pulled));
    int results = 0;
    for (int const result : stream) {
      ASSERT_EQ(result, results);
      if (++results == 1000) break;
    }
  }
  EXPECT_LE(pulled, 1016);
  EXPECT_TRUE(support::until([&] { return pool.stats().done == pool.stats().submitted; }));
  EXPECT_LE(pool.stats().submitted, 1016u);
  EXPECT_GE(pool.stats().submitted, 1000u);
  EXPECT_EQ(pool.call<square>(5), 25);
}

// begin() must not wait for a whole window.
TEST(StreamWindow, DoesNotDelayResultsFromSlowInputs) {
  procpool::ProcessPool pool{1};
  int pulled = 0;
  auto slow = CountedRange(pulled) | std::views::transform([](int x) {
                std::this_thread::sleep_for(std::chrono::milliseconds(5));
                return x;
              });
  auto stream = pool.with({.window = 4000}).imap<same>(std::move(slow));
  EXPECT_EQ(*stream.begin(), 0);
  EXPECT_LT(pulled, 4000);
}

TEST(StreamLeft, CancelsWhatHasNotBegun) {
  support::Trace trace;
  procpool::ProcessPool pool{1};
  support::Gate gate;
  int pulled = 0;
  {
    auto stream = pool.with({.chunk = 1, .window = 8})
                      .imap(procpool::bind_back<all_but_0_wait>(gate.path()), CountedRange(pulled));
    EXPECT_EQ(*stream.begin(), 0);
    ASSERT_TRUE(support::until([&] { return trace.size() == 2; }));
  }
  gate.open();
  EXPECT_TRUE(support::until([&] { return pool.stats().done == pool.stats().submitted; }));
  EXPECT_EQ(pool.call<square>(5), 25);
  EXPECT_EQ(trace.numbers(), (std::vector<std::int64_t>{0, 1}));
  auto const summary = pool.shutdown();
  EXPECT_EQ(summary.done, 3u);
  EXPECT_EQ(summary.cancelled, static_cast<std::uint64_t>(pulled - 2));
}

TEST(StreamLeft, UnreadHasReadNothing) {
  procpool::ProcessPool pool{2};
  int pulled = 0;
  {
    auto const unread = pool.imap<square>(CountedRange(pulled));
  }
  EXPECT_EQ(pulled, 0);
  EXPECT_EQ(pool.stats().submitted, 0u);
  EXPECT_EQ(pool.call<square>(3), 9);
}

// ---- order

class StreamOrder : public testing::TestWithParam<int> {};

TEST_P(StreamOrder, IsThatOfTheInputsHoweverLongEachTakes) {
  procpool::ProcessPool pool{GetParam()};
  int const count = 60;
  std::mt19937 random(support::new_seed());
  std::vector<int> durations;
  for (int i = 0; i < count; ++i) {
    durations.push_back(random() % 20 == 0 ? 20 : static_cast<int>(random() % 4));
  }
  EXPECT_EQ(all_of(pool.imap<same_after>(numbers(count), durations)), numbers(count));
  for (int const chunk : {1, 3, count, count + 1}) {
    SCOPED_TRACE("chunk " + std::to_string(chunk));
    EXPECT_EQ(all_of(pool.with({.chunk = chunk}).imap<same_after>(numbers(count), durations)),
              numbers(count));
    EXPECT_EQ(
        all_of(
            pool.with({.chunk = chunk, .window = 7}).imap<same_after>(numbers(count), durations)),
        numbers(count));
  }
}

INSTANTIATE_TEST_SUITE_P(Workers, StreamOrder, testing::Values(1, 2, 4, 16));

TEST(StreamOrder, IsThatOfEachStreamWhenTwoTakeTurns) {
  procpool::ProcessPool pool{2};
  auto up = pool.imap<same>(std::views::iota(0));
  auto squares = pool.with({.chunk = 3, .window = 5}).imap<square>(std::views::iota(0));
  auto a = up.begin();
  auto b = squares.begin();
  for (int i = 0; i < 300; ++i, ++a, ++b) {
    ASSERT_EQ(*a, i);
    ASSERT_EQ(*b, i * i);
  }
}

TEST(StreamOrder, IsThatOfEachStreamInFourThreads) {
  procpool::ProcessPool pool{3};
  std::vector<std::vector<int>> results(4);
  std::vector<std::thread> threads;
  for (auto& each : results) {
    threads.emplace_back([&] { each = all_of(pool.imap<square>(std::views::iota(0, 2000))); });
  }
  for (std::thread& thread : threads) thread.join();
  std::vector<int> wanted;
  for (int const x : numbers(2000)) wanted.push_back(x * x);
  for (auto const& each : results) EXPECT_EQ(each, wanted);
}

// ---- errors

TEST(StreamErrors, AreThrownAtTheirPlacesAndTheStreamGoesOn) {
  procpool::ProcessPool pool{2};
  for (auto const& options : {CallOptions{}, CallOptions{.chunk = 1}, CallOptions{.chunk = 40}}) {
    auto stream = pool.with(options).imap<some_throw>(numbers(40));
    int place = 0;
    for (auto it = stream.begin(); it != stream.end(); ++it, ++place) {
      if (place % 10 == 3) {
        auto const error =
            support::thrown_by<procpool::FromWorker<std::out_of_range>>([&] { *it; });
        EXPECT_EQ(error.what(), std::to_string(place));
        EXPECT_EQ(error.element, static_cast<std::uint64_t>(place));
        EXPECT_THROW(*it, std::out_of_range);
      } else if (place % 10 == 7) {
        EXPECT_EQ(support::thrown_by<std::system_error>([&] { *it; }).code(),
                  std::errc::no_space_on_device);
      } else {
        EXPECT_EQ(*it, place);
      }
    }
    EXPECT_EQ(place, 40);
  }
}

TEST(StreamErrors, ACrashCostsOneElement) {
  procpool::ProcessPool pool{2};
  for (auto const& options : {CallOptions{}, CallOptions{.chunk = 1}, CallOptions{.chunk = 20}}) {
    auto stream = pool.with(options).imap<crash_at_7>(numbers(20));
    Course const course = course_of(stream);
    std::vector<int> wanted = numbers(20);
    std::erase(wanted, 7);
    EXPECT_EQ(course.values, wanted);
    ASSERT_EQ(course.errors.size(), 1u);
    auto const died = support::thrown_by<procpool::WorkerDied>(
        [&] { std::rethrow_exception(course.errors.front()); });
    EXPECT_EQ(died.signal(), SIGSEGV);
    EXPECT_EQ(died.element(), 7u);
    EXPECT_FALSE(course.end) << support::text_of(course.end);
  }
}

TEST(StreamErrors, OfTheInputsComeBehindTheResults) {
  procpool::ProcessPool pool{2};
  for (int const window : {1, 4, 16, 64}) {
    int pulled = 0;
    auto stream = pool.with({.window = window}).imap<square>(CountedRange(pulled).throwing_at(20));
    Course const course = course_of(stream);
    EXPECT_EQ(course.values.size(), 20u);
    EXPECT_TRUE(course.errors.empty());
    EXPECT_TRUE(support::is<std::underflow_error>(course.end)) << support::text_of(course.end);
    EXPECT_TRUE(stream.begin() == stream.end());
    EXPECT_EQ(pool.call<square>(3), 9);
  }
}

TEST(StreamErrors, OfTheFirstInputComeFromBegin) {
  procpool::ProcessPool pool{2};
  int pulled = 0;
  auto stream = pool.imap<square>(CountedRange(pulled).throwing_at(0));
  EXPECT_THROW(static_cast<void>(stream.begin()), std::underflow_error);
  EXPECT_TRUE(stream.begin() == stream.end());
}

TEST(StreamErrors, OfEncodingAnInputEndTheInputs) {
  procpool::ProcessPool pool{2};
  std::vector<PickyOnSave> inputs(10);
  for (int i = 0; i < 10; ++i) inputs[static_cast<std::size_t>(i)].value = i;
  for (int const window : {1, 3, 16}) {
    auto stream = pool.with({.window = window}).imap<value_of>(inputs);
    Course const course = course_of(stream);
    EXPECT_EQ(course.values, numbers(5));
    EXPECT_TRUE(support::is<std::domain_error>(course.end)) << support::text_of(course.end);
  }
  EXPECT_EQ(pool.call<value_of>(PickyOnSave{3}), 3);
}

TEST(StreamErrors, OfDecodingAResultAreThrownAtItsPlace) {
  procpool::ProcessPool pool{2};
  for (auto const& options : {CallOptions{}, CallOptions{.chunk = 10}}) {
    auto stream = pool.with(options).imap<unreadable>(numbers(10));
    int place = 0;
    for (auto it = stream.begin(); it != stream.end(); ++it, ++place) {
      if (place == 5) {
        EXPECT_THROW(*it, std::domain_error);
      } else {
        EXPECT_EQ((*it).value, place);
      }
    }
    EXPECT_EQ(place, 10);
  }
}

TEST(StreamErrors, OfOptionsAreRefusedByTheCall) {
  procpool::ProcessPool pool{1};
  int pulled = 0;
  auto const refused = [&](CallOptions const& options) {
    EXPECT_THROW(static_cast<void>(pool.with(options).imap<same>(CountedRange(pulled, 3))),
                 std::invalid_argument);
  };
  refused({.window = 0});
  refused({.window = -1});
  refused({.chunk = 0});
  refused({.chunk = -5});
  refused({.on_error = procpool::OnError::stop});
  refused({.on_error = procpool::OnError::collect});
  refused({.slices = 2});
  EXPECT_EQ(pulled, 0);
  EXPECT_EQ(pool.stats().submitted, 0u);
}

// ---- and the end of the pool

TEST(StreamAndItsPool, CloseLetsItGoOn) {
  procpool::ProcessPool pool{2};
  auto unread = pool.imap<same>(numbers(200));
  auto begun = pool.with({.window = 3}).imap<same>(numbers(200));
  EXPECT_EQ(*begun.begin(), 0);
  pool.close();
  EXPECT_THROW(static_cast<void>(pool.imap<same>(numbers(3))), procpool::PoolClosed);
  EXPECT_EQ(all_of(unread), numbers(200));
  EXPECT_EQ(all_of(begun), numbers(200));
}

TEST(StreamAndItsPool, JoinEndsItBehindWhatWasRead) {
  procpool::ProcessPool pool{2};
  int pulled = 0;
  auto stream = pool.with({.window = 8}).imap<same>(CountedRange(pulled));
  auto it = stream.begin();
  for (int i = 0; i < 5; ++i) ++it;
  int const read = pulled;
  pool.join();
  Course const course = course_of(stream);
  std::vector<int> const wanted = numbers(read);
  EXPECT_EQ(course.values, std::vector(wanted.begin() + 5, wanted.end()));
  EXPECT_TRUE(course.errors.empty());
  EXPECT_TRUE(support::is<procpool::PoolClosed>(course.end)) << support::text_of(course.end);
}

TEST(StreamAndItsPool, JoinTakesNothingFromOneThatWasReadToItsEnd) {
  procpool::ProcessPool pool{2};
  for (int const count : {5, 16}) {  // 16: that it is the end is not known yet
    procpool::ProcessPool other{2};
    auto stream = other.with({.window = 16}).imap<same>(numbers(count));
    EXPECT_EQ(*stream.begin(), 0);
    other.join();
    EXPECT_EQ(all_of(stream), numbers(count));
  }
}

TEST(StreamAndItsPool, TerminateCancelsWhatWasRead) {
  support::Trace trace;
  procpool::ProcessPool pool{1};
  support::Gate gate;
  int pulled = 0;
  auto stream = pool.with({.chunk = 1, .window = 8})
                    .imap(procpool::bind_back<all_but_0_wait>(gate.path()), CountedRange(pulled));
  EXPECT_EQ(*stream.begin(), 0);
  auto const read = static_cast<std::size_t>(pulled);
  pool.terminate();
  Course const course = course_of(stream);
  EXPECT_EQ(course.values, std::vector{0});
  EXPECT_EQ(course.errors.size(), read - 1);
  for (auto const& error : course.errors) {
    EXPECT_TRUE(support::is<procpool::TaskCancelled>(error)) << support::text_of(error);
  }
  EXPECT_TRUE(support::is<procpool::PoolClosed>(course.end)) << support::text_of(course.end);
}

TEST(StreamAndItsPool, OutlivesIt) {
  std::optional<procpool::ProcessPool> pool(std::in_place, 2);
  int pulled = 0;
  auto endless = pool->with({.window = 8}).imap<same>(CountedRange(pulled));
  auto finite = pool->imap<same>(numbers(5));
  auto unread = pool->imap<same>(numbers(5));
  using Dropped = decltype(pool->imap<same>(std::views::iota(0)));
  auto dropped = std::make_unique<Dropped>(pool->imap<same>(std::views::iota(0)));
  EXPECT_EQ(*endless.begin(), 0);
  EXPECT_EQ(*finite.begin(), 0);
  EXPECT_EQ(*dropped->begin(), 0);
  int const read = pulled;
  pool.reset();
  Course const course = course_of(endless);
  EXPECT_EQ(course.values, numbers(read));
  EXPECT_TRUE(support::is<procpool::PoolClosed>(course.end)) << support::text_of(course.end);
  EXPECT_EQ(all_of(finite), numbers(5));
  EXPECT_THROW(static_cast<void>(unread.begin()), procpool::PoolClosed);
  dropped.reset();
}

TEST(StreamAndItsPool, InProcess) {
  procpool::ProcessPool pool{{.start = {.method = procpool::Start::in_process}}};
  int pulled = 0;
  auto stream = pool.with({.window = 4}).imap<some_throw>(CountedRange(pulled));
  int place = 0;
  for (auto it = stream.begin(); place < 30; ++it, ++place) {
    EXPECT_LE(pulled, place + 1 + 4);
    if (place % 10 == 3) {
      EXPECT_THROW(*it, std::out_of_range);
    } else if (place % 10 == 7) {
      EXPECT_THROW(*it, std::system_error);
    } else {
      EXPECT_EQ(*it, place);
    }
  }
  pool.join();
  EXPECT_TRUE(support::is<procpool::PoolClosed>(course_of(stream).end));
  EXPECT_THROW(static_cast<void>(pool.imap<same>(numbers(3))), procpool::PoolClosed);
}
