// What the log says that the end of a pool waits for: always something.

#include <gtest/gtest.h>

#include <chrono>
#include <mutex>
#include <string>

#include <procpool/detail/engine/task.hpp>
#include <procpool/options.hpp>

#include "parent/core.hpp"

namespace procpool::parent {
namespace {

std::string task(detail::Task const& one) { return "task " + std::to_string(one.id()); }

TEST(CoreAwaited, NamesWhatNoWorkerHasAndWhatIsLeft) {
  PoolOptions options;
  options.workers = 1;
  Core core(options);
  EXPECT_EQ(core.awaited(), "what its workers have left behind");
  auto const call = core.make_task(detail::Function{}, {});
  detail::InputBuffer input;
  input.count = 3;
  input.bytes = detail::Bytes(3);
  core.append(call, std::move(input), false);
  EXPECT_EQ(core.awaited(), "3 elements that no worker has");
  core.cancel(call);
  EXPECT_TRUE(call->ended());
  EXPECT_EQ(core.awaited(), "what its workers have left behind");
  {
    std::lock_guard const lock(core.mutex);
    core.live = 2;
  }
  EXPECT_EQ(core.awaited(), "2 workers that have not exited");
  core.live = 0;
  core.delayed.emplace(std::chrono::steady_clock::time_point(), Chunk{call, nullptr, 0, 1});
  core.accepted += 1;
  EXPECT_EQ(core.awaited(), "1 element that no worker has, the first of them of " + task(*call) +
                                ", which is to be run again");
  core.delayed.clear();
}

}  // namespace
}  // namespace procpool::parent
