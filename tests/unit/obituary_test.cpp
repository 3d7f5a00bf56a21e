// How a worker ended, and who is to blame for it.
#include "engine/local/obituary.hpp"

#include <gtest/gtest.h>

#include <csignal>

namespace {

namespace os = procpool::os;
using procpool::local::may_be_shot;

TEST(Obituary, SomebodyElseMayHaveKilledIt) {
  EXPECT_TRUE(may_be_shot({os::Exit::Kind::signalled, SIGKILL}));
  EXPECT_TRUE(may_be_shot({})) << "nothing is known of whose parent was killed with it";
  EXPECT_FALSE(may_be_shot({os::Exit::Kind::signalled, SIGSEGV}));
  EXPECT_FALSE(may_be_shot({os::Exit::Kind::exited, 1}));
  EXPECT_FALSE(may_be_shot({os::Exit::Kind::exited, 0}));
}

}  // namespace
