// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// Names of functions, as people read them.

#include <gtest/gtest.h>

#include <string>

#include "identity/function_text.hpp"

using procpool::identity::qualified_name;
using procpool::identity::shortened;

TEST(FunctionText, QualifiedNameIsThatAlone) {
  EXPECT_EQ(qualified_name("main"), "main");
  EXPECT_EQ(qualified_name("parse(int*)"), "parse");
  EXPECT_EQ(qualified_name("int n::f<m::T>(std::vector<m::T> const&)"), "n::f");
  EXPECT_EQ(qualified_name("n::C<int>::operator()(int) const"), "n::C::operator()");
  EXPECT_EQ(qualified_name("std::vector<int, std::allocator<int> > f<int>()"), "f");
  EXPECT_EQ(qualified_name("(anonymous namespace)::f(int)"), "(anonymous namespace)::f");
  EXPECT_EQ(qualified_name("int a::(anonymous namespace)::f<int>(int) [clone .cold]"),
            "a::(anonymous namespace)::f");
  EXPECT_EQ(qualified_name("std::ostream& operator<< <char>(std::ostream&, char)"), "operator<<");
  EXPECT_EQ(qualified_name("int std::__invoke_impl<int, int (*&)(int), int>(std::__invoke_other, "
                           "int (*&)(int), int&&)"),
            "std::__invoke_impl");
  EXPECT_EQ(
      qualified_name(
          "void procpool::v0_1::detail::trampoline<f, int>(procpool::v0_1::detail::Operation&)"),
      "procpool::v0_1::detail::trampoline");
  EXPECT_EQ(qualified_name("mine(procpool::v0_1::detail::Bytes const&)"), "mine");
  EXPECT_EQ(qualified_name(""), "");
}

TEST(FunctionText, ShortenedKeepsWhatIsOutside) {
  EXPECT_EQ(shortened("f(int)", 80), "f(int)");
  EXPECT_EQ(shortened("f<a<b<c> > >(d)", 14), "f<a<...> >(d)");
  EXPECT_EQ(shortened("f<a<b<c> > >(d)", 12), "f<...>(...)");
  EXPECT_EQ(shortened("a_very_long_name", 10), "a_very_...");
  for (std::size_t const most : {3u, 10u, 50u, 200u}) {
    EXPECT_LE(shortened("f<" + std::string(1000, '<') + std::string(1000, '>') + ">", most).size(),
              most);
    EXPECT_LE(shortened(std::string(5000, 'x'), most).size(), most);
    EXPECT_LE(shortened("g(" + std::string(5000, 'x') + ")", most).size(), most);
  }
}
