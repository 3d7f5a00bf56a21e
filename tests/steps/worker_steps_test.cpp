// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// The worker dies, or is stopped while the parent acts, at each sync point of the channel's protocol, in
// every scenario. Each element ends once: with its value, attributed to the death, or returned without
// having begun. No side waits for ever.

#include <gtest/gtest.h>

#include <array>
#include <cstdio>
#include <span>
#include <vector>

#include "support/build.hpp"
#include "support/duration.hpp"
#include "trial.hpp"

namespace procpool::steps {
namespace {

constexpr unsigned first_of_parent = point_of(sync_points::first_of_parent);

bool is_workers(unsigned point) {
  return point < first_of_parent || point >= point_of(Stage::loading);
}

// Prints the number of hits of each point.
void tell(char const* what, Tally const& at) {
  std::printf("%s: %u in all\n", what, at.sum());
  for (unsigned point = 0; point < point_count; ++point) {
    if (is_workers(point)) std::printf("  %-18s %6u\n", name_of(point), at.at(point));
  }
}

void expect_every_point(Tally const& at) {
  for (unsigned point = 0; point < point_count; ++point) {
    if (!is_workers(point)) continue;
    EXPECT_GT(at.at(point), 0u) << "nothing fell on: " << name_of(point);
  }
}

// Calls `at` for every moment of an undisturbed run, and for later moments of the same point until it
// says that there was none.
template <class At>
void at_every_moment(Scenario const& scenario, At const& at) {
  Trial undisturbed({scenario});
  undisturbed.run();
  ASSERT_EQ(undisturbed.kill_result(), "");
  for (unsigned point = 0; point < point_count; ++point) {
    // Points that depend on timing may have been missing.
    bool const may_be = undisturbed.times(point) != 0 || point == point_of(SyncPoint::rang) ||
                        point == point_of(SyncPoint::falling_asleep) ||
                        point == point_of(SyncPoint::woken) ||
                        point == point_of(SyncPoint::withdrawn);
    if (!is_workers(point) || !may_be) continue;
    for (unsigned time = 1; at(Moment{point, time}); ++time) {
      if (testing::Test::HasFailure()) return;
    }
  }
}

// What the parent does at this moment, one after the other. In the short form it is every third of all, in turn.
std::vector<Act> acts_at(Moment moment, std::span<Act const> all) {
  std::size_t const step = support::long_form() ? 1 : 3;
  std::vector<Act> acts;
  for (std::size_t i = (moment.point + moment.time) % step; i < all.size(); i += step)
    acts.push_back(all[i]);
  return acts;
}

TEST(WorkerSteps, ADeathAtEachLosesAndDoublesNothing) {
  Tally deaths;
  Tally stages;
  for (Scenario const& scenario : scenarios()) {
    at_every_moment(scenario, [&](Moment moment) {
      Trial trial({scenario, moment});
      trial.run();
      EXPECT_EQ(trial.kill_result(), "");
      if (!trial.died()) return false;
      deaths.add(trial.last_point());
      stages.add(trial.stage());
      return true;
    });
    ASSERT_FALSE(HasFailure());
  }
  tell("deaths", deaths);
  std::printf("and in the stages that they were reported with:\n");
  for (unsigned stage = 0; stage < stage_count; ++stage) {
    std::printf("  %-18s %6u\n", name_of(sync_points::point_count + stage), stages.at(stage));
  }
  expect_every_point(deaths);
}

TEST(WorkerSteps, StoppedAtEachItDoesNotConfuseTheParent) {
  Tally stops;
  for (Scenario const& scenario : scenarios()) {
    at_every_moment(scenario, [&](Moment moment) {
      bool stopped = false;
      for (Act const act : acts_at(moment, every_act)) {
        Trial trial({scenario, {}, moment, act});
        trial.run();
        EXPECT_EQ(trial.kill_result(), "");
        if (!trial.stopped()) continue;
        stops.add(trial.stopped_at());
        stopped = true;
      }
      return stopped;
    });
    ASSERT_FALSE(HasFailure());
  }
  tell("stops", stops);
  expect_every_point(stops);
}

TEST(WorkerSteps, ADeathAfterARevocationLosesAndDoublesNothing) {
  constexpr std::array acts = {Act::revoke_all, Act::revoke_one, Act::revoke_again};
  constexpr unsigned max_later = support::rounds(4, 2);
  Tally deaths;
  for (Scenario const& scenario : scenarios()) {
    at_every_moment(scenario, [&](Moment moment) {
      bool stopped = false;
      for (Act const act : acts_at(moment, acts)) {
        for (unsigned later = 1; later <= max_later; ++later) {
          Trial trial({scenario, {}, moment, act, later});
          trial.run();
          EXPECT_EQ(trial.kill_result(), "");
          stopped |= trial.stopped();
          if (!trial.died()) break;
          deaths.add(trial.last_point());
        }
      }
      return stopped;
    });
    ASSERT_FALSE(HasFailure());
  }
  tell("deaths", deaths);
}

}  // namespace
}  // namespace procpool::steps
