// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// Anonymous memory: sizes, seals, and what they refuse.
#include "os/memfd.hpp"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <system_error>
#include <vector>

#include "os/mapping.hpp"

namespace {

namespace os = procpool::os;

std::span<std::byte const> text(char const* s) {
  return std::as_bytes(std::span(s, std::char_traits<char>::length(s)));
}

TEST(OsMemfd, HasItsSizeAndMemoryBehindIt) {
  os::Memfd const memory = os::Memfd::create("procpool-test", 100'000);
  EXPECT_EQ(memory.size(), 100'000U);
  EXPECT_GE(memory.fd(), 10);
  EXPECT_NE(::fcntl(memory.fd(), F_GETFD) & FD_CLOEXEC, 0);
  struct stat status{};
  ASSERT_EQ(::fstat(memory.fd(), &status), 0);
  EXPECT_GE(status.st_blocks * 512, 100'000) << "allocated now, not at the first touch";
  EXPECT_EQ(os::Memfd::create("procpool-test", 0).size(), 0U);
}

std::int64_t memory_of(os::Memfd const& memory) {
  struct stat status{};
  return ::fstat(memory.fd(), &status) == 0 ? std::int64_t{status.st_blocks} * 512 : -1;
}

TEST(OsMemfd, SparseMemoryComesAndGoesByRanges) {
  os::Memfd memory = os::Memfd::create_sparse("procpool-test", std::uint64_t{1} << 40);
  EXPECT_EQ(memory.size(), std::uint64_t{1} << 40);
  EXPECT_EQ(memory_of(memory), 0);
  memory.allocate(std::uint64_t{1} << 39, 1 << 20);
  EXPECT_EQ(memory_of(memory), 1 << 20);
  memory.write_at(text("kept"), std::uint64_t{1} << 39);
  memory.allocate(std::uint64_t{1} << 39, 1 << 20);
  std::array<std::byte, 4> bytes{};
  memory.read_at(bytes, std::uint64_t{1} << 39);
  EXPECT_TRUE(std::ranges::equal(bytes, text("kept")));
  memory.discard(std::uint64_t{1} << 39, 1 << 19);
  EXPECT_EQ(memory_of(memory), 1 << 19);
  memory.read_at(bytes, std::uint64_t{1} << 39);
  EXPECT_EQ(bytes, (std::array<std::byte, 4>{}));
  EXPECT_EQ(memory.size(), std::uint64_t{1} << 40);
  EXPECT_THROW(memory.allocate(~std::uint64_t{0}, 1), std::system_error);
  EXPECT_THROW(os::Memfd::create_sparse("procpool-test", ~std::uint64_t{0}), std::system_error);
}

TEST(OsMemfd, AbsurdSizesAreErrorsThatNameTheSize) {
  // Were this not refused beforehand, the kernel would end other processes to make room: the limit
  // on file sizes (1 GiB) turns such a mistake into a failure of this test alone.
  rlimit old{};
  ASSERT_EQ(::getrlimit(RLIMIT_FSIZE, &old), 0);
  rlimit const tight{std::min(rlim_t{1} << 30, old.rlim_max), old.rlim_max};
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &tight), 0);
  auto* const old_handler = ::signal(SIGXFSZ, SIG_IGN);
  for (std::uint64_t const size : {std::uint64_t{1} << 62, ~std::uint64_t{0}}) {
    try {
      (void)os::Memfd::create("procpool-test", size);
      ADD_FAILURE();
    } catch (std::system_error const& e) {
      EXPECT_EQ(e.code().value(), size == ~std::uint64_t{0} ? EFBIG : ENOMEM);
      EXPECT_NE(std::string(e.what()).find(std::to_string(size)), std::string::npos) << e.what();
    }
  }
  ::signal(SIGXFSZ, old_handler);
  ::setrlimit(RLIMIT_FSIZE, &old);
}

TEST(OsMemfd, SealsAgainstResizingHold) {
  os::Memfd memory = os::Memfd::create("procpool-test", 8192);
  memory.seal(F_SEAL_SHRINK | F_SEAL_GROW);
  EXPECT_EQ(memory.seals() & (F_SEAL_SHRINK | F_SEAL_GROW), F_SEAL_SHRINK | F_SEAL_GROW);
  EXPECT_EQ(::ftruncate(memory.fd(), 4096), -1);
  EXPECT_EQ(errno, EPERM);
  EXPECT_EQ(::ftruncate(memory.fd(), 16384), -1);
  EXPECT_EQ(errno, EPERM);
  memory.seal(F_SEAL_SEAL);
  EXPECT_THROW(memory.seal(F_SEAL_WRITE), std::system_error);
}

TEST(OsMemfd, FutureWriteLeavesTheOldViewAndRefusesNewOnes) {
  os::Memfd memory = os::Memfd::create("procpool-test", 4096);
  os::Mapping const writer(memory, os::Access::read_write);
  memory.seal(F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_FUTURE_WRITE);
  EXPECT_THROW(os::Mapping(memory, os::Access::read_write), std::system_error);
  EXPECT_THROW(memory.write_at(text("x"), 0), std::system_error);
  os::Mapping const reader(memory, os::Access::read_only);
  writer.bytes()[17] = std::byte{42};
  EXPECT_EQ(reader.bytes()[17], std::byte{42});
  EXPECT_EQ(::mprotect(reader.data(), reader.size(), PROT_READ | PROT_WRITE), -1)
      << "a read-only view must not become writable";
  // The same from another process, which has the descriptor only.
  pid_t const child = ::fork();
  if (child == 0) {
    void* const r = ::mmap(nullptr, 4096, PROT_READ, MAP_SHARED, memory.fd(), 0);
    void* const w = ::mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, memory.fd(), 0);
    bool const good = r != MAP_FAILED && static_cast<char*>(r)[17] == 42 && w == MAP_FAILED &&
                      ::ftruncate(memory.fd(), 0) == -1;
    ::_exit(good ? 0 : 1);
  }
  int status = -1;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
}

TEST(OsMemfd, WriteSealedObjectsAreReadPrivately) {
  os::Memfd memory = os::Memfd::create("procpool-test", 4096);
  memory.write_at(text("sealed"), 100);
  memory.seal(F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL);
  os::Mapping const view(memory, os::Access::private_read);
  EXPECT_EQ(view.bytes()[100], std::byte{'s'});
}

TEST(OsMemfd, GrowsByWriting) {
  os::Memfd memory = os::Memfd::create_growing("procpool-test");
  EXPECT_EQ(memory.size(), 0U);
  memory.write_at(text("hello"), 3);
  EXPECT_EQ(memory.size(), 8U);
  std::array<std::byte, 5> back{};
  memory.read_at(back, 3);
  EXPECT_EQ(back[4], std::byte{'o'});
  EXPECT_THROW(memory.read_at(back, 4), std::system_error) << "one byte beyond the end";
  EXPECT_THROW(memory.read_at(back, ~std::uint64_t{0}), std::system_error);
  EXPECT_THROW(memory.write_at(back, ~std::uint64_t{0}), std::system_error);
}

TEST(OsMemfd, ReadsMoreThanTheKernelGivesPerCall) {
  // The kernel stops at 0x7ffff000 bytes. Costs 4 GiB of memory, so only on request.
  constexpr std::uint64_t size = (std::uint64_t{1} << 31) + 8192;
  if (::getenv("PROCPOOL_TEST_LARGE") == nullptr) GTEST_SKIP() << "set PROCPOOL_TEST_LARGE";
  os::Memfd memory = os::Memfd::create_growing("procpool-test");
  std::vector<std::byte> all(size, std::byte{7});
  memory.write_at(all, 0);
  EXPECT_EQ(memory.size(), size);
  all.assign(size, std::byte{0});
  memory.read_at(all, 0);
  EXPECT_EQ(all.back(), std::byte{7});
}

TEST(OsMemfd, DuplicatesShareTheMemory) {
  os::Memfd memory = os::Memfd::create("procpool-test", 4096);
  os::Memfd const other(memory.duplicate());
  memory.write_at(text("z"), 9);
  std::array<std::byte, 1> back{};
  other.read_at(back, 9);
  EXPECT_EQ(back[0], std::byte{'z'});
}

TEST(OsMemfd, AFileWithoutSealsSaysSo) {
  os::Memfd const file(os::UniqueFd(::open("/proc/self/exe", O_RDONLY | O_CLOEXEC)));
  EXPECT_EQ(file.seals(), -1);
}

}  // namespace
