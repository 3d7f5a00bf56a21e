// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// ProcessTitle: written into the room that the parent left, and never beyond it.

#include <gtest/gtest.h>

#include <procpool/callable.hpp>
#include <procpool/detail/call/type_name.hpp>
#include <string>
#include <typeinfo>

#include "worker/process_title.hpp"

namespace title_test {

int twice(int x) { return 2 * x; }
template <class T>
T same(T x) {
  return x;
}
struct Scale {
  int operator()(int x) const { return x; }
  int apply(int x) const { return x; }
};

}  // namespace title_test

namespace {

using procpool::worker::ProcessTitle;
using procpool::worker::short_name;
using procpool::worker::title_space;

int hidden(int x) { return x; }

template <class C>
std::string name_of(C const&) {
  return short_name(procpool::detail::type_name(typeid(C)));
}

TEST(ProcessTitle, ShowsWhatRunsInItsRoom) {
  std::string argument = "[pool/3]" + title_space();
  std::size_t const size = argument.size();
  ProcessTitle title(argument.data());
  title.show("compute");
  EXPECT_EQ(argument.substr(0, 17), "[pool/3] compute ");
  title.show("x");
  EXPECT_EQ(argument.substr(0, 12), "[pool/3] x  ");
  title.show(std::string(500, 'l'));
  EXPECT_EQ(argument.size(), size);
  EXPECT_EQ(argument.back(), 'l');
  EXPECT_EQ(*(argument.data() + size), '\0');
  title.show({});
  EXPECT_EQ(argument, "[pool/3]" + title_space());
}

TEST(ProcessTitle, LeavesAloneWhatIsNotItsOwn) {
  ProcessTitle(nullptr).show("nothing");
  std::string argument = "--help";
  ProcessTitle(argument.data()).show("something");
  EXPECT_EQ(argument, "--help");
}

TEST(ShortName, IsWhatPeopleWrote) {
  EXPECT_EQ(name_of(procpool::fn<title_test::twice>), "title_test::twice");
  EXPECT_TRUE(
      name_of(procpool::fn<&title_test::Scale::apply>).starts_with("title_test::Scale::apply"));
  EXPECT_EQ(name_of(title_test::Scale{}), "title_test::Scale");
  EXPECT_EQ(name_of(procpool::fn<hidden>), "hidden");
  EXPECT_NE(name_of(procpool::fn<title_test::same<int>>).find("title_test::same<int>"),
            std::string::npos);
  EXPECT_NE(name_of([](int x) { return x; }), "");
}

}  // namespace
