// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// The trimmer looks when something is expected, or when an object has asked for it, and wakes the thread
// that looks only if that thread would sleep.

#include "parent/trimmer.hpp"

#include <gtest/gtest.h>

#include <chrono>
#include <memory>
#include <string>
#include <vector>

namespace procpool::parent {
namespace {

using namespace std::chrono_literals;

struct Object final : Trimmable {
  Object(std::string given, std::vector<std::string>& all) : name(std::move(given)), looks(all) {}
  std::optional<TimePoint> trim(TimePoint) override {
    looks.push_back(name);
    if (expects != nullptr) expects->expect();
    return next;
  }

  std::string name;
  std::vector<std::string>& looks;
  std::optional<TimePoint> next;
  Trimmer* expects = nullptr;
};

struct TrimmerTest : testing::Test {
  TrimmerTest() {
    trimmer.add(first);
    trimmer.add(second);
  }
  std::vector<std::string> look(TimePoint time) {
    looks.clear();
    next = trimmer.look(time);
    return looks;
  }

  int woken = 0;
  std::shared_ptr<Trimmer> const made = std::make_shared<Trimmer>([this] { ++woken; });
  Trimmer& trimmer = *made;
  std::vector<std::string> looks;
  Object first{"first", looks};
  Object second{"second", looks};
  std::vector<std::string> const none{};
  std::vector<std::string> const both{"first", "second"};
  std::optional<TimePoint> next;
  TimePoint now = std::chrono::steady_clock::now();
};

TEST_F(TrimmerTest, LooksOnceWhenSomethingIsExpected) {
  EXPECT_EQ(look(now), none);
  trimmer.expect();
  EXPECT_EQ(look(now), both);
  EXPECT_EQ(next, std::nullopt);
  EXPECT_EQ(look(now), none);
}

TEST_F(TrimmerTest, WakesOnceUntilTheNextLook) {
  trimmer.expect();
  trimmer.expect();
  EXPECT_EQ(woken, 1);
  look(now);
  trimmer.expect();
  EXPECT_EQ(woken, 2);
}

TEST_F(TrimmerTest, LooksAgainAtTheEarliestTimeThatAnObjectAsksFor) {
  first.next = now + 3s;
  second.next = now + 2s;
  trimmer.expect();
  EXPECT_EQ(look(now), both);
  EXPECT_EQ(next, now + 2s);
  EXPECT_EQ(look(now + 1s), none);
  EXPECT_EQ(next, now + 2s);
  trimmer.expect();
  EXPECT_EQ(woken, 1) << "the look is due anyhow";
  second.next = std::nullopt;
  EXPECT_EQ(look(now + 2s), both);
  EXPECT_EQ(next, now + 3s);
}

TEST_F(TrimmerTest, AnObjectThatExpectsALookDuringALookGetsAnother) {
  second.expects = &trimmer;
  trimmer.expect();
  EXPECT_EQ(look(now), both);
  EXPECT_EQ(woken, 2);
  second.expects = nullptr;
  EXPECT_EQ(look(now), both);
  EXPECT_EQ(look(now), none);
}

class Thing final : public detail::Resource {
 public:
  Thing() : Resource(new_id(), Kind::memory, {}) {}
};

TEST_F(TrimmerTest, TheEndOfAResourceIsExpectedOnceWorkersHaveSome) {
  {
    Thing const unknown;
  }
  EXPECT_EQ(woken, 0);
  trimmer.watch_resources();
  trimmer.watch_resources();
  {
    Thing const one;
  }
  EXPECT_EQ(woken, 1);
  {
    Thing const other;
  }
  EXPECT_EQ(woken, 1) << "a look is expected already";
  EXPECT_EQ(look(now), both);
}

// Memory is looked at after a second, and what has ended sooner.
TEST_F(TrimmerTest, TheEndOfAResourceIsLookedAtSoonAndNotTooOften) {
  trimmer.watch_resources();
  first.next = now + 1s;
  trimmer.expect();
  EXPECT_EQ(look(now), both);
  EXPECT_EQ(next, now + 1s);
  woken = 0;
  {
    Thing const one;
  }
  {
    Thing const other;
  }
  EXPECT_EQ(woken, 1);
  EXPECT_EQ(look(now + 30ms), none);
  EXPECT_EQ(next, now + 100ms);
  EXPECT_EQ(look(now + 100ms), both);
  EXPECT_EQ(next, now + 1s);
  EXPECT_EQ(look(now + 300ms), none);
  {
    Thing const later;
  }
  EXPECT_EQ(woken, 2);
  EXPECT_EQ(look(now + 301ms), both) << "the last look was long ago";
}

TEST_F(TrimmerTest, OnceClosedItLooksAtNothingAndWakesNobody) {
  trimmer.close();
  trimmer.expect();
  EXPECT_EQ(woken, 0);
  EXPECT_EQ(look(now), none);
}

}  // namespace
}  // namespace procpool::parent
