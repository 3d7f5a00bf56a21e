// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// EventQueue: order, bounds, the count of what was lost, and a callback that throws.

#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <mutex>
#include <stdexcept>
#include <string>
#include <vector>

#include "engine/event_queue.hpp"
#include "support/until.hpp"

namespace procpool {
namespace {

struct Parts {
  std::mutex mutex;  // that the callback waits for
  std::vector<Event> told;
  std::vector<std::string> lines;
  std::shared_ptr<detail::Callbacks> const callbacks = std::make_shared<detail::Callbacks>(
      [this](std::string_view line) { lines.emplace_back(line); }, "of the queue");
  EventCallback const push = queued(
      [this](Event const& event) {
        std::lock_guard const lock(mutex);
        told.push_back(event);
      },
      callbacks);

  // `missed`: before each of them.
  void push_numbers(int from, int to, std::uint64_t missed = 0) {
    for (int i = from; i < to; ++i) {
      Event event;
      event.worker = i;
      event.missed = missed;
      push(event);
    }
  }
};

TEST(EventQueue, WithoutACallbackHasWhatTasksLogAndNothingElse) {
  std::vector<std::string> lines;
  auto const callbacks = std::make_shared<detail::Callbacks>(
      [&](std::string_view line) { lines.emplace_back(line); }, "p");
  auto const push = queued(nullptr, callbacks);
  push(Event());
  Event event;
  event.kind = EventKind::task_logged;
  event.pool = "p";
  event.worker = 2;
  event.pid = 7;
  event.task = 5;
  event.element = 3;
  event.label = "parse";
  event.level = LogLevel::warning;
  event.text = "odd";
  push(event);
  callbacks->retire();
  ASSERT_EQ(lines.size(), 1u);
  EXPECT_EQ(lines[0], "pool \"p\", worker 2 (pid 7), task 5 \"parse\", element 3: warning: odd");
}

TEST(EventQueue, TellsAllInTheirOrder) {
  Parts parts;
  parts.push_numbers(0, 900);
  parts.callbacks->retire();
  ASSERT_EQ(parts.told.size(), 900u);
  for (int i = 0; i < 900; ++i) EXPECT_EQ(parts.told[static_cast<std::size_t>(i)].worker, i);
  EXPECT_TRUE(parts.lines.empty());
}

TEST(EventQueue, DropsWhatIsTooMuchAndCountsIt) {
  constexpr int most = static_cast<int>(EventQueue::max_waiting);
  Parts parts;
  {
    std::lock_guard const lock(parts.mutex);
    parts.push_numbers(0, 3 * most, 2);
  }
  std::size_t pushed = 3 * 3 * most;  // with what was missed before
  ASSERT_TRUE(support::until([&] {
    parts.push_numbers(-1, 0);
    ++pushed;
    std::lock_guard const lock(parts.mutex);
    return !parts.told.empty() && parts.told.back().worker == -1;
  }));
  parts.callbacks->retire();
  // One round may have been taken out before the others came.
  auto const numbered =
      std::ranges::count_if(parts.told, [](Event const& event) { return event.worker >= 0; });
  EXPECT_LE(numbered, 2 * most);
  std::uint64_t missed = 0;
  for (Event const& event : parts.told) missed += event.missed;
  EXPECT_EQ(parts.told.back().worker, -1);
  EXPECT_NE(missed, 0u);
  EXPECT_EQ(parts.told.size() + missed, pushed);
}

TEST(EventQueue, LogsWhatWasLostAtTheEnd) {
  Parts parts;
  {
    std::lock_guard const lock(parts.mutex);
    parts.push_numbers(0, 3 * static_cast<int>(EventQueue::max_waiting));
  }
  parts.callbacks->retire();
  ASSERT_EQ(parts.lines.size(), 1u);
  EXPECT_NE(parts.lines[0].find("of them were not told"), std::string::npos) << parts.lines[0];
  EXPECT_NE(parts.lines[0].find("\"of the queue\""), std::string::npos);
}

TEST(EventQueue, ACallbackThatThrowsIsLoggedOnceAndGoesOn) {
  std::vector<std::string> lines;
  auto const callbacks = std::make_shared<detail::Callbacks>(
      [&](std::string_view line) { lines.emplace_back(line); }, "p");
  int calls = 0;
  auto const push = queued(
      [&](Event const&) {
        ++calls;
        throw std::runtime_error("unhappy");
      },
      callbacks);
  for (int i = 0; i < 5; ++i) push(Event());
  callbacks->retire();
  EXPECT_EQ(calls, 5);
  ASSERT_EQ(lines.size(), 1u);
  EXPECT_NE(lines[0].find("unhappy"), std::string::npos);
}

TEST(EventQueue, EachKindHasAName) {
  EXPECT_STREQ(to_string(EventKind::worker_died), "worker_died");
  EXPECT_STREQ(to_string(EventKind::task_retried), "task_retried");
}

}  // namespace
}  // namespace procpool
