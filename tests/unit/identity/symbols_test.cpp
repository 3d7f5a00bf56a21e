// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#include "identity/symbols.hpp"

#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <fstream>
#include <iterator>
#include <random>
#include <string>
#include <vector>

#include "identity/images.hpp"
#include "identity/mapped_files.hpp"
#include "support/build.hpp"
#include "support/processes.hpp"
#include "support/seed.hpp"

namespace identity = procpool::identity;

namespace {

__attribute__((noinline)) int here_is_a_function(int x) {
  int volatile y = x;
  return y + 1;
}

std::uint64_t offset_of(void const* code) {
  auto const address = reinterpret_cast<std::uintptr_t>(code);
  for (std::string const& line : support::mappings_of(::getpid())) {
    unsigned long begin = 0;
    unsigned long end = 0;
    unsigned long offset = 0;
    if (std::sscanf(line.c_str(), "%lx-%lx %*s %lx", &begin, &end, &offset) != 3) continue;
    if (address >= begin && address < end) return address - begin + offset;
  }
  return 0;
}

identity::BuildId own_build() {
  identity::Generation seen;
  return identity::all_images(seen).front().id;
}

std::vector<std::uint64_t> some_offsets() {
  auto const code = offset_of(reinterpret_cast<void const*>(&here_is_a_function));
  return {code, code + 1, 0, ~std::uint64_t{0}, 4096, std::uint64_t{1} << 40};
}

}  // namespace

TEST(Symbols, AreThoseOfFunctionsThatNobodyExports) {
  auto const names = identity::function_names("/proc/self/exe", own_build(), some_offsets());
  ASSERT_EQ(names.size(), some_offsets().size());
  EXPECT_NE(names[0].find("here_is_a_function(int)"), std::string::npos) << names[0];
  EXPECT_EQ(names[1], names[0]);
  EXPECT_EQ(names[3], "");
  EXPECT_EQ(names[5], "");
}

TEST(Symbols, AreNoneOfAnotherBuild) {
  auto const id = identity::BuildId::from_note(std::vector<std::byte>(20, std::byte{7}));
  for (auto const& build : {id, identity::BuildId()}) {
    for (auto const& name : identity::function_names("/proc/self/exe", build, some_offsets())) {
      EXPECT_EQ(name, "");
    }
  }
}

TEST(Symbols, AreNoneOfWhatIsNoModule) {
  for (char const* const path :
       {"/dev/null", "/dev/zero", "/proc/self", "/proc/self/maps", "/nowhere"}) {
    EXPECT_EQ(identity::function_names(path, own_build(), some_offsets())[0], "") << path;
  }
}

// Whatever a file says of itself.
TEST(Symbols, OfADamagedFileHarmNobody) {
  std::ifstream file("/proc/self/exe", std::ios::binary);
  std::string const whole{std::istreambuf_iterator<char>(file), {}};
  int const fd = ::memfd_create("damaged", MFD_CLOEXEC);
  std::string const path = "/proc/self/fd/" + std::to_string(fd);
  static_cast<void>(!::pwrite(fd, whole.data(), whole.size(), 0));
  ASSERT_NE(identity::function_names(path.c_str(), own_build(), some_offsets())[0], "");

  std::mt19937 random(support::new_seed());
  std::uint64_t sections = 0;
  std::memcpy(&sections, whole.data() + 40, sizeof sections);  // e_shoff
  for (int round = 0; round < support::rounds(150, 40); ++round) {
    // In the headers of the file, of its segments, of its sections.
    std::uint64_t const where = round % 3 == 0   ? random() % 64
                                : round % 3 == 1 ? 64 + random() % 800
                                                 : sections + random() % (whole.size() - sections);
    std::uint64_t const junk = random() % 4 == 0 ? ~std::uint64_t{0} >> random() % 64 : random();
    static_cast<void>(!::pwrite(fd, &junk, sizeof junk, static_cast<off_t>(where)));
    identity::function_names(path.c_str(), own_build(), some_offsets());
    std::size_t const cut = random() % whole.size();
    if (round % 10 == 9) static_cast<void>(!::ftruncate(fd, static_cast<off_t>(cut)));
    identity::function_names(path.c_str(), own_build(), some_offsets());
    static_cast<void>(!::pwrite(fd, whole.data() + where, 16, static_cast<off_t>(where)));
    if (round % 10 == 9) static_cast<void>(!::pwrite(fd, whole.data(), whole.size(), 0));
  }
  ::close(fd);
}

TEST(MappedFiles, KnowTheProgram) {
  auto const code = reinterpret_cast<std::uintptr_t>(&here_is_a_function);
  auto const file = identity::mapped_file(code);
  ASSERT_TRUE(file.has_value());
  EXPECT_NE(file->inode, 0u);
  EXPECT_FALSE(file->deleted);
  EXPECT_LE(file->begin, code);
  EXPECT_GT(file->end, code);
  auto const all = identity::mapped_files();
  EXPECT_TRUE(std::ranges::any_of(all, [&](auto const& one) {
    return one.begin == file->begin && one.inode == file->inode && one.device == file->device;
  }));
  EXPECT_FALSE(identity::mapped_file(0).has_value());
}
