// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// Descriptors: who closes them and which numbers they get.
#include "os/fd.hpp"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cerrno>
#include <string>
#include <system_error>
#include <type_traits>

#include "os/event.hpp"

namespace {

namespace os = procpool::os;

bool open_in_this_process(int fd) { return ::fcntl(fd, F_GETFD) >= 0; }

TEST(OsFd, ClosesWhatItHolds) {
  int raw = -1;
  {
    os::UniqueFd const fd = os::above_standard(os::UniqueFd(::open("/dev/null", O_RDONLY)));
    raw = fd.get();
    ASSERT_TRUE(fd);
    EXPECT_TRUE(open_in_this_process(raw));
  }
  EXPECT_FALSE(open_in_this_process(raw));
}

TEST(OsFd, MovesAndReleases) {
  static_assert(!std::is_copy_constructible_v<os::UniqueFd>);
  os::UniqueFd first(::open("/dev/null", O_RDONLY | O_CLOEXEC));
  int const raw = first.get();
  os::UniqueFd second(std::move(first));
  EXPECT_FALSE(first);  // NOLINT: a moved-from descriptor is empty by contract
  EXPECT_EQ(second.get(), raw);
  os::UniqueFd& same = second;
  second = std::move(same);
  EXPECT_EQ(second.get(), raw) << "self-move must not close";
  EXPECT_EQ(second.release(), raw);
  EXPECT_TRUE(open_in_this_process(raw));
  os::UniqueFd(raw).reset();
  EXPECT_FALSE(open_in_this_process(raw));
}

TEST(OsFd, ResetKeepsErrno) {
  os::UniqueFd bad(1 << 28);
  errno = ENOSPC;
  bad.reset();
  EXPECT_EQ(errno, ENOSPC);
}

TEST(OsFd, RenumbersAboveTheStandardStreams) {
  os::UniqueFd const null(::open("/dev/null", O_RDONLY | O_CLOEXEC));
  os::UniqueFd low;
  // Whatever numbers the test program uses: one of 3..9 is made here by force.
  for (int n = 3; n < 10 && !low; ++n) {
    if (!open_in_this_process(n)) low.reset(::dup2(null.get(), n));
  }
  ASSERT_TRUE(low);
  int const was = low.get();
  os::UniqueFd const high = os::above_standard(std::move(low));
  EXPECT_GE(high.get(), 10);
  EXPECT_FALSE(open_in_this_process(was));
  EXPECT_NE(::fcntl(high.get(), F_GETFD) & FD_CLOEXEC, 0);
  os::UniqueFd const copy = os::duplicate(high.get());
  EXPECT_GE(copy.get(), 10);
  EXPECT_NE(copy.get(), high.get());
}

std::string text_with_limit(int error, decltype(RLIMIT_AS) resource, rlim_t bytes) {
  rlimit before{};
  EXPECT_EQ(::getrlimit(resource, &before), 0);
  rlimit const lower{bytes, before.rlim_max};
  EXPECT_EQ(::setrlimit(resource, &lower), 0);
  std::string text;
  try {
    os::throw_error(error, "it failed");
  } catch (std::system_error const& e) {
    text = e.what();
  }
  EXPECT_EQ(::setrlimit(resource, &before), 0);
  return text;
}

TEST(OsFd, ErrorsNameTheLimitThatMayBeTheirReason) {
  EXPECT_NE(text_with_limit(EFBIG, RLIMIT_FSIZE, 1 << 20)
                .find("it failed (the limit of the size of a file, RLIMIT_FSIZE, is 1048576 bytes; "
                      "ulimit -f raises it)"),
            std::string::npos);
  EXPECT_NE(text_with_limit(ENOMEM, RLIMIT_AS, rlim_t{1} << 47)
                .find("it failed (the limit of address space, RLIMIT_AS, is 140737488355328 bytes; "
                      "ulimit -v raises it)"),
            std::string::npos);
  EXPECT_EQ(text_with_limit(EFBIG, RLIMIT_FSIZE, RLIM_INFINITY), "it failed: File too large");
  EXPECT_EQ(text_with_limit(EIO, RLIMIT_FSIZE, 1 << 20), "it failed: Input/output error");
}

TEST(OsFd, ErrorsSayWhatWasWanted) {
  try {
    (void)os::duplicate(1 << 28);
    FAIL();
  } catch (std::system_error const& e) {
    EXPECT_EQ(e.code().value(), EBADF);
    EXPECT_NE(std::string(e.what()).find("duplicate"), std::string::npos);
  }
}

TEST(OsEvent, RingsAreCountedAndDrained) {
  os::Event event;
  EXPECT_GE(event.fd(), 10);
  EXPECT_EQ(event.drain(), 0U);
  EXPECT_TRUE(event.notify());
  EXPECT_TRUE(event.notify());
  EXPECT_EQ(event.drain(), 2U);
  EXPECT_EQ(event.drain(), 0U);
}

TEST(OsEvent, AFullCounterStillRings) {
  os::Event event;
  std::uint64_t const most = ~std::uint64_t{0} - 1;
  ASSERT_EQ(::write(event.fd(), &most, sizeof most), static_cast<ssize_t>(sizeof most));
  EXPECT_TRUE(event.notify());
}

TEST(OsEvent, RingSaysWhenTheDescriptorIsGone) {
  os::Event event{os::UniqueFd{}};
  errno = ENOSPC;
  EXPECT_FALSE(event.notify());
  EXPECT_EQ(errno, ENOSPC);
}

}  // namespace
