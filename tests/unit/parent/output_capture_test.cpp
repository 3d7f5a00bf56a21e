// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// OutputCapture assigns a worker's output to its elements, whatever the worker writes.

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

class OutputCaptureTest : public testing::Test {
 protected:
  void write(std::string const& text) {
    ASSERT_EQ(::write(capture_.workers_end(), text.data(), text.size()),
              static_cast<ssize_t>(text.size()));
  }
  std::string tag(std::uint64_t serial) const {
    std::string text = capture_.token();
    text.append(reinterpret_cast<char const*>(&serial), sizeof serial);
    return text;
  }
  Texts read_and_take(std::uint64_t from, std::uint64_t to) {
    EXPECT_TRUE(capture_.read(from, to));
    return capture_.take(from, to);
  }

  static constexpr std::size_t limit = 100;
  OutputCapture capture_{limit};
};

TEST_F(OutputCaptureTest, EachElementGetsItsOwn) {
  write("before any" + tag(3) + "three" + tag(4) + tag(5) + "five\n");
  EXPECT_EQ(read_and_take(3, 6), (Texts{{3, "three"}, {5, "five\n"}}));
  EXPECT_EQ(read_and_take(3, 6), Texts{});  // once
}

TEST_F(OutputCaptureTest, TagsMayArriveInPieces) {
  std::string const text = tag(1) + "one" + tag(2) + "two" + tag(3) + "three";
  for (char const c : text) {
    write(std::string(1, c));
    EXPECT_TRUE(capture_.read(1, 4));
  }
  EXPECT_EQ(capture_.take(1, 4), (Texts{{1, "one"}, {2, "two"}, {3, "three"}}));
}

// Text is there at once, even if it might be the begin of a tag.
TEST_F(OutputCaptureTest, TextThatLooksLikeATagIsText) {
  std::string const half = capture_.token().substr(0, 7);
  write(tag(1) + half + "x" + half);
  EXPECT_TRUE(capture_.read(1, 2));
  write("y" + half);  // so it was none
  EXPECT_EQ(read_and_take(1, 2), (Texts{{1, half + "x" + half + "y" + half}}));
  write(tag(2) + "two" + half + tag(3) + half);
  EXPECT_TRUE(capture_.read(2, 4));
  EXPECT_EQ(capture_.take(2, 3), (Texts{{2, "two" + half}}));
  EXPECT_EQ(capture_.take(3, 4), (Texts{{3, half}}));
}

// Tags are random: some of them begin with the end of any text.
TEST(OutputTokens, DoNotKeepTheEndOfATextBack) {
  int begun_by_a_line_feed = 0;
  for (int i = 0; i < 10'000; ++i) {
    OutputCapture capture(100);
    begun_by_a_line_feed += capture.token().front() == '\n' ? 1 : 0;
    OutputTagger tagger(procpool::os::duplicate(capture.workers_end()), capture.token());
    tagger.begin(1);
    ASSERT_EQ(::write(capture.workers_end(), "text\n", 5), 5);
    ASSERT_TRUE(capture.read(1, 2));
    ASSERT_EQ(capture.take(1, 2), (Texts{{1, "text\n"}}));
  }
  EXPECT_NE(begun_by_a_line_feed, 0);
}

TEST_F(OutputCaptureTest, TagsOfForeignElementsAreNotBelieved) {
  write(tag(99) + "nobody's" + tag(0) + "nor this" + tag(2) + "two");
  EXPECT_EQ(read_and_take(1, 4), (Texts{{2, "two"}}));
  EXPECT_EQ(capture_.take(0, ~std::uint64_t{0}), Texts{});
}

TEST_F(OutputCaptureTest, OnlyTheEndIsKept) {
  write(tag(1));
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

TEST_F(OutputCaptureTest, SaysWhenNobodyCanWriteAnyMore) {
  write(tag(1) + "last words");
  capture_.forget_workers_end();
  EXPECT_TRUE(capture_.read(1, 2));
  EXPECT_FALSE(capture_.read(1, 2));
  EXPECT_EQ(capture_.take(1, 2), (Texts{{1, "last words"}}));
}

TEST_F(OutputCaptureTest, TagsAreThoseOfTheWorker) {
  OutputTagger tagger(procpool::os::duplicate(capture_.workers_end()), capture_.token());
  EXPECT_TRUE(tagger.used());
  EXPECT_FALSE(procpool::worker::OutputTagger().used());
  tagger.begin(7);
  write("seven");
  tagger.begin(8);
  write("eight");
  EXPECT_EQ(read_and_take(7, 9), (Texts{{7, "seven"}, {8, "eight"}}));
}

TEST(OutputTokens, AreAllDifferent) {
  EXPECT_NE(OutputCapture(1).token(), OutputCapture(1).token());
}

}  // namespace
