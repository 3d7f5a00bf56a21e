// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#pragma once

// A pool that has failed, because its initializer or its preload has: all calls end with that error.

#include <gtest/gtest.h>

#include <procpool.hpp>
#include <string>
#include <vector>

#include "errors.hpp"
#include "tasks.hpp"

namespace support {

// The calls that wait, and those to come.
template <class E>
void expect_all_calls_fail(procpool::ProcessPool& pool, std::string const& text) {
  std::vector<procpool::Future<int>> futures;
  try {
    for (int i = 0; i < 20; ++i) futures.push_back(pool.submit<tasks::square>(i));
  } catch (E const&) {  // it may have failed by then
  }
  ASSERT_FALSE(futures.empty());
  for (auto& future : futures) {
    auto const error = thrown_by<E>([&] { future.get(); });
    EXPECT_NE(std::string(error.what()).find(text), std::string::npos) << error.what();
  }
  EXPECT_THROW(pool.call<tasks::square>(1), E);
}

}  // namespace support
