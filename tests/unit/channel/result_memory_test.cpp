// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// A worker's memory for results: reused after the parent has returned it, and not before.

#include "channel/result_memory.hpp"

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <set>

namespace procpool::channel {
namespace {

constexpr std::size_t mib = std::size_t{1} << 20;

TEST(ResultMemory, IsUsedAgainWhenReleasedAndNotBefore) {
  ResultMemory memory;
  auto first = memory.take(mib);
  auto const* const place = first->data();
  std::uint64_t const id = first->id();
  EXPECT_NE(memory.take(mib)->data(), place) << "it is being written";
  memory.lease(*first);
  first.reset();
  for (int i = 0; i < 5; ++i) EXPECT_NE(memory.take(mib)->data(), place) << "it is leased";
  memory.release(id + 1000);
  EXPECT_NE(memory.take(mib)->data(), place);
  memory.release(id);
  std::set<std::byte const*> places;
  std::vector<std::shared_ptr<detail::MessageBlock>> blocks;
  for (int i = 0; i < 2; ++i) places.insert(blocks.emplace_back(memory.take(mib))->data());
  EXPECT_TRUE(places.contains(place));
}

TEST(ResultMemory, KeepsNoMoreThanABound) {
  ResultMemory memory;
  for (int i = 0; i < 100; ++i) memory.lease(*memory.take(mib));
  EXPECT_LE(memory.footprint(), 8 * (mib + mib / 8));
  for (int i = 0; i < 100; ++i) EXPECT_NE(memory.take(mib), nullptr);
}

TEST(ResultMemory, LetsAllOfItGo) {
  ResultMemory memory;
  auto const block = memory.take(mib);
  memory.lease(*memory.take(mib));
  memory.let_go();
  EXPECT_EQ(memory.footprint(), 0u);
  memory.release(block->id());  // too late: no effect
  EXPECT_NE(memory.take(mib)->data(), block->data());
}

TEST(ResultMemory, HasNoneInAForkedChild) {
  ResultMemory memory;
  memory.take(mib);
  pid_t const child = ::fork();
  ASSERT_GE(child, 0);
  if (child == 0) ::_exit(memory.take(mib) == nullptr ? 0 : 1);
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
}

}  // namespace
}  // namespace procpool::channel
