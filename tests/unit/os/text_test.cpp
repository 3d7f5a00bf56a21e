// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// Texts of workers: cut to a length, and without what is not to be printed.

#include "os/text.hpp"

#include <gtest/gtest.h>

#include <string>

namespace {

using procpool::os::clean_lines;
using procpool::os::cut;
using procpool::os::one_line;

TEST(Text, IsCutWithANoteOfItsLength) {
  EXPECT_EQ(cut("short", 5), "short");
  EXPECT_EQ(cut("", 0), "");
  std::string const kept = cut(std::string(1000, 'x'), 100);
  EXPECT_EQ(kept.size(), 100u);
  EXPECT_TRUE(kept.ends_with("xxx... (cut, 1000 bytes)")) << kept;
  EXPECT_EQ(cut(std::string(1000, 'x'), 3), "xxx");
}

TEST(Text, IsNeverCutInTheMiddleOfACharacter) {
  std::string text;
  while (text.size() < 400) text += "a\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80";
  for (std::size_t most = 30; most < 399; ++most) {
    std::string const kept = cut(text, most);
    EXPECT_LE(kept.size(), most);
    EXPECT_EQ(one_line(kept), kept) << most;
  }
  // Bytes that are no UTF-8 do not make it look back for ever.
  EXPECT_GE(cut(std::string(1000, '\x80'), 100).size(), 95u);
}

TEST(Text, OfOneLineHasNoControlCharacters) {
  EXPECT_EQ(one_line("plain \xc3\xa4 \xe2\x82\xac \xf0\x9f\x98\x80"),
            "plain \xc3\xa4 \xe2\x82\xac \xf0\x9f\x98\x80");
  EXPECT_EQ(one_line("a\nb\tc\rd"), "a b c d");
  EXPECT_EQ(one_line("\x1b[31mred\x1b[0m\x07\x7f"), "?[31mred?[0m??");
  EXPECT_EQ(one_line(std::string("a\0b", 3)), "a?b");
  EXPECT_EQ(one_line("\xc2\x9b"
                     "31m"),
            "?31m");  // a CSI of C1
  EXPECT_EQ(one_line("\xc2\x80\xc2\x9f\xc2\xa0"), "??\xc2\xa0");
  EXPECT_EQ(one_line("\xe2\x80\xa8\xe2\x80\xae"), "??");  // a line separator, right to left
  EXPECT_EQ(one_line("\x9b\xff\xc3"), "???");             // no UTF-8
  EXPECT_EQ(one_line("\xc0\x8a\xe0\x80\x8a\xf0\x80\x80\x8a"), "?????????");  // '\n', too long
  EXPECT_EQ(one_line("\xed\xa0\x80\xf4\x90\x80\x80"), "???????");  // a surrogate, too large
  EXPECT_EQ(one_line("\xe2\x82"), "??");                           // ends too early
}

TEST(Text, OfSeveralLinesKeepsThem) { EXPECT_EQ(clean_lines("a\nb\tc\x1b\r\n"), "a\nb\tc? \n"); }

}  // namespace
