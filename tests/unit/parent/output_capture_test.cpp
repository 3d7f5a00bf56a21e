// OutputCapture: what a worker writes is told apart by element, whatever it writes.

#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdint>
#include <cstring>
#include <string>
#include <utility>
#include <vector>

#include "os/fd.hpp"
#include "parent/output_capture.hpp"
#include "worker/output_tagger.hpp"

namespace {

using procpool::parent::OutputCapture;
using procpool::worker::OutputTagger;
using Texts = std::vector<std::pair<std::uint64_t, std::string>>;

class Tap : public testing::Test {
 protected:
  void write(std::string const& text) {
    ASSERT_EQ(::write(tap_.workers_end(), text.data(), text.size()),
              static_cast<ssize_t>(text.size()));
  }
  std::string mark(std::uint64_t serial) const {
    std::string text = tap_.token();
    text.append(reinterpret_cast<char const*>(&serial), sizeof serial);
    return text;
  }
  Texts read_and_take(std::uint64_t from, std::uint64_t to) {
    EXPECT_TRUE(tap_.read(from, to));
    return tap_.take(from, to);
  }

  static constexpr std::size_t limit = 100;
  OutputCapture tap_{limit};
};

TEST_F(Tap, EachElementGetsItsOwn) {
  write("before any" + mark(3) + "three" + mark(4) + mark(5) + "five\n");
  EXPECT_EQ(read_and_take(3, 6), (Texts{{3, "three"}, {5, "five\n"}}));
  EXPECT_EQ(read_and_take(3, 6), Texts{});  // once
}

TEST_F(Tap, MarksMayArriveInPieces) {
  std::string const text = mark(1) + "one" + mark(2) + "two" + mark(3) + "three";
  for (char const c : text) {
    write(std::string(1, c));
    EXPECT_TRUE(tap_.read(1, 4));
  }
  EXPECT_EQ(tap_.take(1, 4), (Texts{{1, "one"}, {2, "two"}, {3, "three"}}));
}

// What has been written is there at once, also if it might be the begin of a mark.
TEST_F(Tap, WhatLooksLikeAMarkIsText) {
  std::string const half = tap_.token().substr(0, 7);
  write(mark(1) + half + "x" + half);
  EXPECT_TRUE(tap_.read(1, 2));
  write("y" + half);  // so it was none
  EXPECT_EQ(read_and_take(1, 2), (Texts{{1, half + "x" + half + "y" + half}}));
  write(mark(2) + "two" + half + mark(3) + half);
  EXPECT_TRUE(tap_.read(2, 4));
  EXPECT_EQ(tap_.take(2, 3), (Texts{{2, "two" + half}}));
  EXPECT_EQ(tap_.take(3, 4), (Texts{{3, half}}));
}

// The marks are random: whatever a text ends with, some of them begin with that.
TEST(TapTokens, DoNotKeepTheEndOfATextBack) {
  int begun_by_a_line_feed = 0;
  for (int i = 0; i < 10'000; ++i) {
    OutputCapture tap(100);
    begun_by_a_line_feed += tap.token().front() == '\n' ? 1 : 0;
    OutputTagger marks(procpool::os::duplicate(tap.workers_end()), tap.token());
    marks.begin(1);
    ASSERT_EQ(::write(tap.workers_end(), "text\n", 5), 5);
    ASSERT_TRUE(tap.read(1, 2));
    ASSERT_EQ(tap.take(1, 2), (Texts{{1, "text\n"}}));
  }
  EXPECT_NE(begun_by_a_line_feed, 0);
}

TEST_F(Tap, MarksOfElementsThatItHasNotAreNotBelieved) {
  write(mark(99) + "nobody's" + mark(0) + "nor this" + mark(2) + "two");
  EXPECT_EQ(read_and_take(1, 4), (Texts{{2, "two"}}));
  EXPECT_EQ(tap_.take(0, ~std::uint64_t{0}), Texts{});
}

TEST_F(Tap, OnlyTheEndIsKept) {
  write(mark(1));
  for (int i = 0; i < 1000; ++i) write("0123456789");
  write("the end");
  auto const texts = read_and_take(1, 2);
  ASSERT_EQ(texts.size(), 1u);
  EXPECT_EQ(
      texts[0].second, "[9907 bytes before this are not kept]\n" +
                           std::string("0123456789").substr(7) +
                           [] {
                             std::string tens;
                             for (int i = 0; i < 9; ++i) tens += "0123456789";
                             return tens;
                           }() +
                           "the end");
}

TEST_F(Tap, SaysWhenNobodyCanWriteAnyMore) {
  write(mark(1) + "last words");
  tap_.forget_workers_end();
  EXPECT_TRUE(tap_.read(1, 2));
  EXPECT_FALSE(tap_.read(1, 2));
  EXPECT_EQ(tap_.take(1, 2), (Texts{{1, "last words"}}));
}

TEST_F(Tap, MarksAreWhatTheWorkerWrites) {
  OutputTagger marks(procpool::os::duplicate(tap_.workers_end()), tap_.token());
  EXPECT_TRUE(marks.used());
  EXPECT_FALSE(procpool::worker::OutputTagger().used());
  marks.begin(7);
  write("seven");
  marks.begin(8);
  write("eight");
  EXPECT_EQ(read_and_take(7, 9), (Texts{{7, "seven"}, {8, "eight"}}));
}

TEST(TapTokens, AreAllDifferent) { EXPECT_NE(OutputCapture(1).token(), OutputCapture(1).token()); }

}  // namespace
