// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// A worker whose control group has less memory than a message needs: at whatever step of
// allocating, mapping, filling or reading it the kernel says no, the element ends with a typed
// reason (SIGKILL by the kernel, or std::bad_alloc), never with SIGBUS, and everybody else is
// right.

#include <gtest/gtest.h>
#include <signal.h>

#include <cstdint>
#include <new>
#include <procpool.hpp>
#include <stdexcept>
#include <string>
#include <vector>

#include "support/build.hpp"
#include "support/memory_group.hpp"
#include "support/tasks.hpp"

namespace {

using Bytes = std::vector<std::uint8_t>;

constexpr std::size_t mebi = std::size_t{1} << 20;

using tasks::square;

void enter(std::string const& folder) {
  if (!support::MemoryGroup::enter(folder)) throw std::logic_error("it cannot enter the group");
}

// Smaller than the group, and more than that together with the memory that it travels in.
Bytes bytes_of(std::size_t size) { return Bytes(size, 7); }
std::size_t length_of(Bytes const& bytes) { return bytes.size(); }

class MemoryGroup : public testing::Test {
 protected:
  void SetUp() override {
    if (support::sanitized) GTEST_SKIP() << "a sanitized worker is larger than the group";
    if (group_.folder().empty()) GTEST_SKIP() << "no control group of memory may be made here";
  }

  template <class Call>
  static void expect_typed_end(Call call) {
    try {
      call();
      ADD_FAILURE() << "there was memory for it";
    } catch (procpool::WorkerDied const& died) {
      EXPECT_EQ(died.signal(), SIGKILL) << died.what();
    } catch (std::bad_alloc const&) {
    }
  }

  static void expect_others_right(procpool::ProcessPool& pool) {
    EXPECT_EQ(pool.map<square>(std::vector{1, 2, 3}), (std::vector{1, 4, 9}));
  }

  support::MemoryGroup const group_{96 * mebi};
};

TEST_F(MemoryGroup, AResultThatDoesNotFit) {
  for (std::size_t const size : {60 * mebi, 90 * mebi, 300 * mebi}) {
    procpool::ProcessPool pool{1};
    pool.call<enter>(group_.folder());
    expect_typed_end([&] { pool.call<bytes_of>(size); });
    expect_others_right(pool);
  }
}

TEST_F(MemoryGroup, AnArgumentThatDoesNotFit) {
  Bytes const large(300 * mebi);
  procpool::ProcessPool pool{1};
  pool.call<enter>(group_.folder());
  expect_typed_end([&] { pool.call<length_of>(large); });
  expect_others_right(pool);
}

}  // namespace
