// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// What a pool takes in each phase, the room in its queue, and the end of everything it has accepted.
#include "parent/admission.hpp"

#include <gtest/gtest.h>

#include <array>
#include <chrono>
#include <exception>
#include <stdexcept>
#include <string>

#include <procpool/errors.hpp>

#include "unit/parent/now.hpp"

namespace procpool::parent {
namespace {

using namespace std::chrono_literals;

std::string refusal(auto const& check) {
  try {
    check();
    return {};
  } catch (std::exception const& error) {
    return error.what();
  }
}
std::string of_call(Admission const& admission) {
  return refusal([&] { admission.check_call(); });
}
std::string of_stream(Admission const& admission) {
  return refusal([&] { admission.check_stream(); });
}

TEST(Admission, OfAnOpenPoolTakesAll) {
  Admission const admission("p", std::nullopt);
  EXPECT_EQ(of_call(admission), "");
  EXPECT_EQ(of_stream(admission), "");
  EXPECT_TRUE(admission.goes_on());
  EXPECT_TRUE(admission.has_room(1'000'000, 0));
  EXPECT_TRUE(admission.may_get_room(true));
  EXPECT_TRUE(admission.drained(0));
}

TEST(Admission, OfAClosedPoolTakesWhatHasBegun) {
  Admission admission("p", 10);
  admission.close();
  EXPECT_EQ(of_call(admission), "pool \"p\" takes no more tasks: it was closed");
  EXPECT_EQ(of_stream(admission), "");
  EXPECT_FALSE(admission.may_get_room(true));
  EXPECT_TRUE(admission.may_get_room(false));
  EXPECT_TRUE(admission.goes_on());
}

TEST(Admission, InEachPhase) {
  struct Row {
    Phase phase;
    bool takes_streams;
    bool goes_on;
  };
  constexpr std::array rows{
      Row{Phase::open, true, true},
      Row{Phase::draining, false, true},
      Row{Phase::cancelling, false, false},
      Row{Phase::killing, false, false},
  };
  for (Row const& row : rows) {
    SCOPED_TRACE(static_cast<int>(row.phase));
    Admission admission("p", std::nullopt);
    if (row.phase != Phase::open) admission.begin_end(row.phase, std::nullopt);
    EXPECT_EQ(of_call(admission).empty(), row.phase == Phase::open);
    EXPECT_EQ(of_stream(admission).empty(), row.takes_streams);
    EXPECT_EQ(admission.goes_on(), row.goes_on);
    EXPECT_EQ(admission.may_get_room(false), row.goes_on);
    EXPECT_EQ(admission.may_get_room(true), row.phase == Phase::open);
  }
}

TEST(Admission, PhasesOnlyGrow) {
  Admission admission("p", std::nullopt);
  admission.begin_end(Phase::cancelling, std::nullopt);
  admission.begin_end(Phase::draining, std::nullopt);
  EXPECT_EQ(admission.phase(), Phase::cancelling);
}

TEST(Admission, TheEarliestDeadlineKills) {
  Admission admission("p", std::nullopt);
  admission.begin_end(Phase::draining, now + 2s);
  admission.begin_end(Phase::draining, now + 1s);
  admission.begin_end(Phase::draining, now + 3s);
  EXPECT_EQ(admission.next_phase(), now + 1s);
  EXPECT_EQ(admission.advance(now + 999ms), Phase::draining);
  EXPECT_EQ(admission.advance(now + 1s), Phase::killing);
  EXPECT_EQ(admission.next_phase(), std::nullopt);
}

TEST(Admission, AHopelessPoolTellsItsReason) {
  Admission admission("p", 1);
  admission.end_hopeless(std::make_exception_ptr(std::runtime_error("no worker can be had")));
  EXPECT_EQ(of_call(admission), "no worker can be had");
  EXPECT_FALSE(admission.goes_on());
  EXPECT_FALSE(admission.may_get_room(false));
}

TEST(Admission, HasRoomForWhatNoWorkerRuns) {
  Admission admission("p", 10);
  EXPECT_TRUE(admission.has_room(11, 0));  // alone, however large
  admission.accept(8);
  EXPECT_TRUE(admission.has_room(2, 0));
  EXPECT_FALSE(admission.has_room(3, 0));
  EXPECT_TRUE(admission.has_room(3, 1));  // one of them is running
  admission.resolve(1);
  EXPECT_TRUE(admission.has_room(3, 0));
  EXPECT_TRUE(admission.has_room(11, 7));  // all the others are running
}

TEST(Admission, IsDrainedWhenAllHasReachedItsTask) {
  Admission admission("p", std::nullopt);
  admission.call_begins();
  admission.accept(2);
  EXPECT_FALSE(admission.drained(0));
  admission.resolve(2);
  EXPECT_FALSE(admission.drained(1));
  EXPECT_FALSE(admission.drained(2));  // more may come
  EXPECT_EQ(admission.unsealed(), 1u);
  admission.call_sealed();
  EXPECT_TRUE(admission.drained(2));
  EXPECT_EQ(admission.accepted(), 2u);
  EXPECT_EQ(admission.resolved(), 2u);
}

}  // namespace
}  // namespace procpool::parent
