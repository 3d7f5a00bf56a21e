// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// What the log says that the end of a pool waits for: always something.

#include <gtest/gtest.h>

#include <exception>
#include <memory>
#include <stdexcept>
#include <string>
#include <utility>

#include <procpool/detail/engine/task.hpp>
#include <procpool/options.hpp>

#include "parent/core.hpp"
#include "parent/worker_state.hpp"

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
  for (int i = 0; i < 2; ++i) core.recount(WorkerStanding::none, WorkerStanding::starting);
  EXPECT_EQ(core.awaited(), "2 workers that have not exited");
}

TEST(CoreAwaited, NamesWhatIsToBeRunAgain) {
  PoolOptions options;
  options.workers = 1;
  Core core(options);
  detail::TaskControl const control{.retries = Retries{.times = 1}};
  detail::TaskOptions task_options;
  task_options.control = &control;
  auto const call = core.make_task(detail::Function{}, std::move(task_options));
  detail::InputBuffer input;
  input.count = 1;
  input.bytes = detail::Bytes(1);
  Slot::Death death;
  death.attributed.push_back(
      Chunk{call, std::make_shared<SharedInput>(detail::InputBuffer(input), input.count), 0, 1});
  core.append(call, std::move(input), true);
  core.resolve_death(0, std::move(death), [](Chunk const&) {
    return std::make_exception_ptr(std::runtime_error("its worker died"));
  });
  EXPECT_EQ(core.awaited(), "1 element that no worker has, the first of them of " + task(*call) +
                                ", which is to be run again");
}

}  // namespace
}  // namespace procpool::parent
