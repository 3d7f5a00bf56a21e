// The environment of workers: what is added, what is replaced, what is left alone.

#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <vector>

#include <procpool/cpu_count.hpp>

#include "engine/local/worker_environment.hpp"

namespace procpool::local {
namespace {

std::string value_of(std::vector<std::string> const& environment, std::string const& name) {
  std::string found = "none";
  for (std::string const& entry : environment) {
    if (!entry.starts_with(name + "=")) continue;
    if (found != "none") return "twice";
    found = entry.substr(name.size() + 1);
  }
  return found;
}

TEST(WorkerEnvironment, AddsAndReplacesWhatTheOptionsSay) {
  PoolOptions options;
  options.environment = {{"MODE", "test"}, {"PATH", "/nowhere"}, {"EMPTY", ""}};
  auto const made = worker_environment(options, {"PATH=/bin", "HOME=/root", "MODEL=x"}, 1);
  EXPECT_EQ(value_of(made, "MODE"), "test");
  EXPECT_EQ(value_of(made, "MODEL"), "x");
  EXPECT_EQ(value_of(made, "PATH"), "/nowhere");
  EXPECT_EQ(value_of(made, "HOME"), "/root");
  EXPECT_EQ(value_of(made, "EMPTY"), "");
}

TEST(WorkerEnvironment, LimitsThreadsUnlessSomebodyDoes) {
  auto const all = worker_environment({}, {}, 1);
  EXPECT_EQ(value_of(all, "OMP_NUM_THREADS"), std::to_string(cpu_count()));
  auto const many = worker_environment({}, {}, 1'000);
  for (char const* const name : {"OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS",
                                 "BLIS_NUM_THREADS", "NUMEXPR_NUM_THREADS"}) {
    EXPECT_EQ(value_of(many, name), "1");
  }
  EXPECT_EQ(value_of(worker_environment({}, {"OMP_NUM_THREADS=3"}, 1'000), "OMP_NUM_THREADS"), "3");
  PoolOptions options;
  options.environment = {{"OMP_NUM_THREADS", "5"}};
  EXPECT_EQ(value_of(worker_environment(options, {"OMP_NUM_THREADS=3"}, 1'000), "OMP_NUM_THREADS"),
            "5");
}

}  // namespace
}  // namespace procpool::local
