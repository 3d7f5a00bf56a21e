// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#include "engine/crash_report.hpp"

#include <gtest/gtest.h>
#include <signal.h>

#include <array>
#include <cstring>
#include <new>
#include <random>
#include <span>
#include <string>

#include "channel/crash_words.hpp"
#include "parent/exit_report.hpp"
#include "support/build.hpp"
#include "support/seed.hpp"

namespace channel = procpool::channel;
using procpool::detail::CrashReport;

namespace {

class Area {
 public:
  Area() : words_(new(bytes_.data()) channel::CrashWords{}) {}
  channel::CrashWords& words() { return *words_; }
  std::span<std::byte> bytes() { return bytes_; }
  auto read() { return CrashReport::read(bytes_); }

 private:
  alignas(64) std::array<std::byte, channel::control_bytes - channel::crash_offset> bytes_{};
  channel::CrashWords* words_;
};

}  // namespace

TEST(CrashReport, IsNoneWhereNothingWasWritten) {
  Area area;
  EXPECT_EQ(area.read(), nullptr);
  area.words().signal = 65'000;
  EXPECT_EQ(area.read(), nullptr);
}

TEST(CrashReport, HasAnAddressOnlyOfAFault) {
  Area area;
  area.words().signal = SIGSEGV;
  area.words().address = 0x1234;
  area.words().code = SEGV_MAPERR;
  EXPECT_EQ(area.read()->fault_address(), 0x1234u);
  EXPECT_NE(area.read()->where().find("0x1234, where nothing is mapped"), std::string::npos);
  area.words().code = static_cast<std::uint32_t>(SI_TKILL);
  EXPECT_FALSE(area.read()->fault_address().has_value());
  area.words().code = SI_KERNEL;
  EXPECT_FALSE(area.read()->fault_address().has_value());
  area.words().code = SEGV_MAPERR;
  area.words().signal = SIGABRT;
  EXPECT_FALSE(area.read()->fault_address().has_value());
}

TEST(CrashReport, BelongsToADeathByItsSignal) {
  Area area;
  area.words().signal = SIGSEGV;
  EXPECT_TRUE(area.read()->belongs_to(SIGSEGV));
  EXPECT_TRUE(area.read()->belongs_to(SIGKILL));
  EXPECT_FALSE(area.read()->belongs_to(SIGABRT));
  EXPECT_FALSE(area.read()->belongs_to({}));
}

TEST(CrashReport, CountsNoFurtherThanThereAreFrames) {
  Area area;
  area.words().signal = SIGSEGV;
  area.words().frames = ~std::uint64_t{0};
  area.words().modules = ~std::uint64_t{0};
  for (auto& frame : area.words().frame) frame = ~std::uint64_t{0};
  for (auto& module : area.words().module) {
    for (auto& word : module.path) word = 0x0a0a'1b41'4141'4141;  // no end, and not for a terminal
  }
  auto const report = area.read();
  ASSERT_EQ(report->stack().size(), channel::max_crash_frames);
  for (auto const& frame : report->stack()) {
    EXPECT_EQ(frame.function, "");
    EXPECT_EQ(frame.module, "");  // that module is none
  }
  area.words().frame[3] = channel::crash_frame(channel::max_crash_modules, 5);
  auto const frame = area.read()->stack()[3];
  EXPECT_EQ(frame.module.size(), sizeof(channel::CrashModule::path));
  EXPECT_EQ(frame.module.find_first_of("\n\x1b"), std::string::npos);
  EXPECT_EQ(frame.offset, 5u);
}

TEST(CrashReport, OfRandomBytesHarmsNobody) {
  std::mt19937 random(support::new_seed());
  for (int round = 0; round < support::rounds(200, 50); ++round) {
    Area area;
    for (std::byte& byte : area.bytes()) byte = static_cast<std::byte>(random());
    area.words().signal = 1 + random() % 31;
    if (round % 2 == 0) area.words().frames = random() % 100;
    if (round % 3 == 0) area.words().modules = random() % 20;
    auto const report = area.read();
    ASSERT_NE(report, nullptr);
    EXPECT_LE(report->stack().size(), channel::max_crash_frames);
    EXPECT_EQ(report->where().find('\n'), std::string::npos);
    EXPECT_EQ(report->first_calls(), "");
  }
}

TEST(LastLines, AreFew) {
  using procpool::parent::last_lines;
  EXPECT_EQ(last_lines(""), "");
  EXPECT_EQ(last_lines("\n\n"), "");
  EXPECT_EQ(last_lines("one"), "one");
  EXPECT_EQ(last_lines("one\ntwo\n"), "one\ntwo");
  std::string many;
  for (int i = 0; i < 30; ++i) many += std::to_string(i) + "\n";
  EXPECT_EQ(last_lines(many).substr(0, 6), "10\n11\n");
  EXPECT_EQ(last_lines(std::string(100'000, 'x')).size(), 4096u);
}
