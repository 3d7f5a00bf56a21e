// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// What a pool shows arrives whole, and no other bytes are understood.

#include "protocol/live_view.hpp"

#include <gtest/gtest.h>

namespace procpool::protocol {
namespace {

LiveView full_view() {
  std::uint64_t next = 1;
  LiveView view;
  view.pool = "solver";
  view.wanted = 3;
  view.ready = 2;
  for (auto* const field : {&view.time, &view.queued, &view.running, &view.done, &view.starts,
                            &view.deaths, &view.failed_starts, &view.retries, &view.waited_mean,
                            &view.waited_most, &view.ran_mean, &view.ran_most}) {
    *field = next++;
  }
  view.workers.resize(2);
  LiveWorker& worker = view.workers[1];
  worker.place = 1;
  worker.pid = 4711;
  worker.last_end = "exit 3";
  worker.runs = true;
  worker.label = "count";
  worker.all_steps = 50;
  for (auto* const field :
       {&worker.starts, &worker.done, &worker.task, &worker.element, &worker.steps}) {
    *field = next++;
  }
  return view;
}

TEST(LiveViews, Arrive) {
  EXPECT_EQ(decode_live_view(encode(LiveView{})), LiveView{});
  EXPECT_EQ(decode_live_view(encode(full_view())), full_view());
}

TEST(LiveViews, OfOtherBytesAreNone) {
  auto const bytes = encode(full_view());
  for (std::size_t size = 0; size < bytes.size(); ++size) {
    EXPECT_FALSE(decode_live_view(std::span(bytes).first(size))) << size;
  }
  auto longer = bytes;
  longer.push_back(std::byte{});
  EXPECT_FALSE(decode_live_view(longer));
}

// A number of workers that no memory could hold.
TEST(LiveViews, OfTooManyWorkersAreNone) {
  LiveView none = full_view();
  none.workers.clear();
  auto bytes = encode(none);
  for (std::size_t i = bytes.size() - sizeof(std::uint64_t); i < bytes.size(); ++i)
    bytes[i] = std::byte{0xff};
  EXPECT_FALSE(decode_live_view(bytes));
}

}  // namespace
}  // namespace procpool::protocol
