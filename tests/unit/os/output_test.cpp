// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// Writing without waiting: to a pipe, a socket, a file, and to what is gone.

#include "os/output.hpp"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cstddef>
#include <string>

namespace procpool::os {
namespace {

class Output : public testing::Test {
 protected:
  void SetUp() override {
    sigemptyset(&pipe_);
    sigaddset(&pipe_, SIGPIPE);
    pthread_sigmask(SIG_BLOCK, &pipe_, &before_);
  }
  void TearDown() override {
    timespec const at_once{};
    while (::sigtimedwait(&pipe_, nullptr, &at_once) > 0) {
    }
    pthread_sigmask(SIG_SETMASK, &before_, nullptr);
    for (int const end : ends_) {
      if (end >= 0) ::close(end);
    }
  }
  // In pieces until nothing more is taken.
  std::size_t fill(std::string const& text) {
    std::size_t all = 0;
    for (std::size_t written = 1; written != 0;) {
      written = write_now(ends_[1], text);
      all += written;
      if (all > 100'000'000) break;
    }
    return all;
  }
  std::size_t drain() {
    std::string buffer(1'000'000, '\0');
    ssize_t const got = ::read(ends_[0], buffer.data(), buffer.size());
    return got < 0 ? 0 : static_cast<std::size_t>(got);
  }

  sigset_t pipe_{};
  sigset_t before_{};
  std::array<int, 2> ends_{-1, -1};
};

}  // namespace

TEST_F(Output, ToAPipeStopsWhenItIsFull) {
  ASSERT_EQ(::pipe(ends_.data()), 0);
  EXPECT_EQ(write_now(ends_[1], "some"), 4u);
  EXPECT_EQ(drain(), 4u);
  std::size_t const all = fill(std::string(10'000, 'x'));
  EXPECT_GT(all, 50'000u);  // the last page of a write may stay half empty
  EXPECT_LE(all, 65'536u);
  // Its other holders wait as before.
  EXPECT_EQ(::fcntl(ends_[1], F_GETFL) & O_NONBLOCK, 0);
  EXPECT_EQ(drain(), all);
  EXPECT_EQ(write_now(ends_[1], "more"), 4u);
}

TEST_F(Output, ToASocketStopsWhenItIsFull) {
  ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM, 0, ends_.data()), 0);
  std::size_t const all = fill(std::string(10'000, 'x'));
  EXPECT_GT(all, 10'000u);
  EXPECT_LT(all, 100'000'000u);
  EXPECT_EQ(::fcntl(ends_[1], F_GETFL) & O_NONBLOCK, 0);
}

TEST_F(Output, ToAFileIsAtItsPosition) {
  ends_[1] = ::memfd_create("file", MFD_CLOEXEC);
  ASSERT_EQ(::write(ends_[1], "begin ", 6), 6);
  EXPECT_EQ(write_now(ends_[1], "middle "), 7u);
  ASSERT_EQ(::write(ends_[1], "end", 3), 3);
  std::array<char, 16> text{};
  EXPECT_EQ(::pread(ends_[1], text.data(), text.size(), 0), 16);
  EXPECT_EQ(std::string(text.data(), text.size()), "begin middle end");
}

TEST_F(Output, ToWhatNobodyCanReadIsWritten) {
  ASSERT_EQ(::pipe(ends_.data()), 0);
  ::close(ends_[0]);
  ends_[0] = -1;
  EXPECT_EQ(write_now(ends_[1], "text"), 4u);
  EXPECT_EQ(write_now(1'000'000, "text"), 4u);
}

}  // namespace procpool::os
