// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// Views of memory, and the ring that appears twice.
#include "os/mapping.hpp"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <fstream>
#include <string>
#include <system_error>
#include <vector>

namespace {

namespace os = procpool::os;

std::size_t page() { return static_cast<std::size_t>(::sysconf(_SC_PAGESIZE)); }

std::size_t views_of(std::string const& name) {
  std::ifstream maps("/proc/self/maps");
  std::size_t count = 0;
  for (std::string line; std::getline(maps, line);) {
    if (line.find(name) != std::string::npos) ++count;
  }
  return count;
}

// The VmFlags line of the mapping that holds the address.
std::string flags_at(void const* address) {
  std::ifstream smaps("/proc/self/smaps");
  bool inside = false;
  for (std::string line; std::getline(smaps, line);) {
    unsigned long begin = 0;
    unsigned long end = 0;
    if (std::sscanf(line.c_str(), "%lx-%lx ", &begin, &end) == 2) {
      auto const at = reinterpret_cast<unsigned long>(address);
      inside = at >= begin && at < end;
    } else if (inside && line.starts_with("VmFlags:")) {
      return line + " ";
    }
  }
  return "";
}

TEST(OsMapping, SharesAllOfTheFile) {
  os::Memfd const memory = os::Memfd::create("procpool-test", 5000);
  os::Mapping a(memory, os::Access::read_write);
  os::Mapping const b(memory, os::Access::read_only);
  ASSERT_EQ(a.size(), 5000U);
  a.bytes()[4999] = std::byte{9};
  EXPECT_EQ(b.bytes()[4999], std::byte{9});
  EXPECT_NE(a.data(), b.data());
}

TEST(OsMapping, TakesAnyOffsetInsideTheFileAndNoneOutside) {
  os::Memfd memory = os::Memfd::create("procpool-test", 3 * page());
  os::Mapping const all(memory, os::Access::read_write);
  all.bytes()[page() + 5] = std::byte{3};
  os::Mapping const part(memory, os::Access::read_only, page() + 5, 10);
  EXPECT_EQ(part.size(), 10U);
  EXPECT_EQ(part.bytes()[0], std::byte{3});
  EXPECT_THROW(os::Mapping(memory, os::Access::read_only, 3 * page() - 5, 6), std::system_error);
  EXPECT_THROW(os::Mapping(memory, os::Access::read_only, ~std::uint64_t{0}, 1), std::system_error);
  EXPECT_THROW(os::Mapping(memory, os::Access::read_only, 1, ~std::size_t{0}), std::system_error);
}

TEST(OsMapping, EmptyIsAllowed) {
  os::Memfd const memory = os::Memfd::create("procpool-test", 100);
  EXPECT_TRUE(os::Mapping(memory, os::Access::read_only, 50, 0).bytes().empty());
  os::Memfd const nothing = os::Memfd::create_growing("procpool-test");
  EXPECT_TRUE(os::Mapping(nothing, os::Access::read_write).bytes().empty());
  EXPECT_TRUE(os::Mapping().bytes().empty());
}

TEST(OsMapping, KeepsOutOfChildrenAndDumpsUnlessAsked) {
  os::Memfd const memory = os::Memfd::create("procpool-test", 3 * page());
  os::Mapping const hidden(memory, os::Access::read_write);
  os::Mapping const odd(memory, os::Access::read_only, page() + 7, page());
  os::Mapping const open(memory, os::Access::read_write, os::Visibility::children_and_dumps);
  if (flags_at(hidden.data()).empty()) GTEST_SKIP() << "no VmFlags on this kernel";
  for (auto const* m : {&hidden, &odd}) {
    EXPECT_NE(flags_at(m->data()).find(" dc "), std::string::npos) << flags_at(m->data());
    EXPECT_NE(flags_at(m->data()).find(" dd "), std::string::npos);
  }
  EXPECT_NE(flags_at(odd.data() + odd.size() - 1).find(" dc "), std::string::npos);
  EXPECT_EQ(flags_at(open.data()).find(" dc "), std::string::npos);
}

TEST(OsMapping, MovesAndUnmaps) {
  os::Memfd const memory = os::Memfd::create("procpool-map-test", 4096);
  {
    os::Mapping a(memory, os::Access::read_write);
    os::Mapping b(std::move(a));
    EXPECT_TRUE(a.bytes().empty());  // NOLINT: empty by contract
    EXPECT_EQ(b.size(), 4096U);
    EXPECT_EQ(views_of("procpool-map-test"), 1U);
    b = os::Mapping();
    EXPECT_EQ(views_of("procpool-map-test"), 0U);
  }
}

TEST(OsRingMapping, ShowsTheRingTwice) {
  std::size_t const ring = 4 * page();
  os::Memfd const memory = os::Memfd::create("procpool-ring-test", 2 * page() + ring);
  {
    os::RingMapping writer(memory, 2 * page(), ring, os::Access::read_write);
    os::RingMapping const reader(memory, 2 * page(), ring, os::Access::read_only);
    ASSERT_EQ(writer.ring_bytes(), ring);
    EXPECT_EQ(writer.ring(), writer.control() + 2 * page());
    std::vector<std::byte> record(3 * page());
    for (std::size_t i = 0; i < record.size(); ++i) record[i] = static_cast<std::byte>(i * 7);
    std::size_t const at = ring - page() - 13;  // wraps around
    std::memcpy(writer.ring() + at, record.data(), record.size());
    EXPECT_EQ(std::memcmp(reader.ring() + at, record.data(), record.size()), 0);
    EXPECT_EQ(std::memcmp(reader.ring(), record.data() + page() + 13, record.size() - page() - 13),
              0);
    writer.control()[5] = std::byte{77};
    EXPECT_EQ(reader.control()[5], std::byte{77});
    writer.ring()[0] = std::byte{99};
    EXPECT_EQ(reader.ring()[ring], std::byte{99});
    EXPECT_EQ(reader.control()[5], std::byte{77}) << "the second view must not cover the control";
    os::RingMapping const moved(std::move(writer));
    EXPECT_FALSE(writer);  // NOLINT: empty by contract
    EXPECT_EQ(moved.ring()[0], std::byte{99});
    EXPECT_NE(flags_at(moved.ring() + ring).find(" dc "), std::string::npos);
  }
  EXPECT_EQ(views_of("procpool-ring-test"), 0U);
}

TEST(OsRingMapping, WorksWithoutControlPagesAndReplacesItself) {
  os::Memfd const memory = os::Memfd::create("procpool-ring-test", page());
  os::RingMapping a(memory, 0, page(), os::Access::read_write);
  a.ring()[1] = std::byte{5};
  EXPECT_EQ(a.ring()[page() + 1], std::byte{5});
  a = os::RingMapping(memory, 0, page(), os::Access::read_only);
  EXPECT_EQ(a.ring()[page() + 1], std::byte{5});
  a = os::RingMapping();
  EXPECT_EQ(views_of("procpool-ring-test"), 0U);
}

TEST(OsRingMapping, RefusesWhatCannotBeARing) {
  os::Memfd const memory = os::Memfd::create("procpool-test", 4 * page());
  auto const make = [&](std::size_t control, std::size_t ring, os::Access access) {
    return os::RingMapping(memory, control, ring, access);
  };
  auto const rw = os::Access::read_write;
  EXPECT_THROW(make(page(), 3 * page(), rw), std::system_error) << "no power of two";
  EXPECT_THROW(make(page(), page() / 2, rw), std::system_error) << "less than a page";
  EXPECT_THROW(make(100, page(), rw), std::system_error) << "control not in pages";
  EXPECT_THROW(make(page(), 4 * page(), rw), std::system_error) << "file too small";
  EXPECT_THROW(make(page(), 0, rw), std::system_error);
  EXPECT_THROW(make(page(), page(), os::Access::private_read), std::system_error);
  EXPECT_NO_THROW(make(2 * page(), 2 * page(), rw));
}

// Refuses each later mapping that may only take a free place. For the whole process: in a child.
bool refuse_free_places() {
  constexpr unsigned flags_argument = offsetof(seccomp_data, args) + 3 * sizeof(std::uint64_t);
  std::array<sock_filter, 6> code{{
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, __NR_mmap, 0, 3),
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, flags_argument),
      BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, MAP_FIXED_NOREPLACE, 0, 1),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOMEM),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  }};
  sock_fprog const program{static_cast<unsigned short>(code.size()), code.data()};
  return ::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
         ::prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0;
}

std::size_t mapped_bytes() {
  std::ifstream statm("/proc/self/statm");
  std::size_t pages = 0;
  statm >> pages;
  return pages * page();
}

TEST(OsRingMapping, ARefusedSecondViewLeavesNothing) {
  pid_t const child = ::fork();
  if (child == 0) {
    if (!refuse_free_places()) ::_exit(77);
    os::Memfd const memory = os::Memfd::create("procpool-ring-test", 16 * page());
    auto const refused = [&memory] {
      try {
        os::RingMapping(memory, 0, 16 * page(), os::Access::read_write);
        return false;
      } catch (std::system_error const& error) {
        return error.code().value() == ENOMEM;
      }
    };
    bool right = refused();  // and what the first throw in a process takes
    std::size_t const before = mapped_bytes();
    for (int i = 0; i < 20; ++i) right = refused() && right;
    ::_exit(!right                                ? 1
            : views_of("procpool-ring-test") != 0 ? 2
            : mapped_bytes() != before            ? 3
                                                  : 0);
  }
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  ASSERT_TRUE(WIFEXITED(status)) << status;
  if (WEXITSTATUS(status) == 77) GTEST_SKIP() << "system calls cannot be filtered here";
  EXPECT_EQ(WEXITSTATUS(status), 0) << "1: no error, 2: a view is left, 3: memory is left";
}

TEST(OsRingMapping, AFailedViewLeavesNoMemoryMapped) {
  os::Memfd memory = os::Memfd::create("procpool-sealed-test", 2 * page());
  memory.seal(F_SEAL_FUTURE_WRITE);
  EXPECT_THROW(os::RingMapping(memory, page(), page(), os::Access::read_write), std::system_error);
  EXPECT_EQ(views_of("procpool-sealed-test"), 0U);
  os::RingMapping const reader(memory, page(), page(), os::Access::read_only);
  EXPECT_EQ(reader.ring()[0], std::byte{0});
}

}  // namespace
