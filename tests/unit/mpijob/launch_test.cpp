// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#include "mpijob/launch.hpp"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "parent/worker_environment.hpp"

namespace {

using namespace procpool;
using mpijob::Launch;

std::optional<Launch> launch_of(std::vector<std::string> const& environment) {
  std::vector<char const*> entries;
  for (std::string const& entry : environment) entries.push_back(entry.c_str());
  entries.push_back(nullptr);
  return mpijob::launch_of(entries.data());
}

std::vector<std::vector<std::string>> const launches{
    {"OMPI_COMM_WORLD_RANK=2", "OMPI_COMM_WORLD_SIZE=4", "PMIX_RANK=2"},
    {"MV2_COMM_WORLD_RANK=2", "MV2_COMM_WORLD_SIZE=4"},
    {"PMI_RANK=2", "PMI_SIZE=4"},
    {"FLUX_TASK_RANK=2", "FLUX_JOB_SIZE=4"},
    {"SLURM_PROCID=2", "SLURM_STEP_NUM_TASKS=4", "PMIX_RANK=2"},
    {"PALS_RANKID=2"},
    {"PMIX_RANK=2"}};

TEST(Launch, EachLauncherSaysTheRank) {
  for (auto const& environment : launches) {
    auto const launch = launch_of(environment);
    ASSERT_TRUE(launch) << environment.front();
    EXPECT_EQ(launch->rank, 2u);
    EXPECT_TRUE(environment.front().starts_with(launch->variable + "="));
    EXPECT_EQ(launch->size.value_or(4), 4u);
  }
}

TEST(Launch, WorkersKnowOfNoLauncher) {
  for (auto const& environment : launches) {
    EXPECT_FALSE(launch_of(parent::worker_environment({}, environment, 1))) << environment.front();
  }
}

TEST(Launch, NobodyLaunchedAProgramByItself) {
  EXPECT_FALSE(mpijob::launch_of(nullptr));
  EXPECT_FALSE(launch_of({}));
  EXPECT_FALSE(launch_of({"PATH=/bin", "OMPI_COMM_WORLD_RANKS=3", "PMI_RANK"}));
  EXPECT_FALSE(launch_of({"OMPI_COMM_WORLD_RANK=0", "OMPI_COMM_WORLD_SIZE=1", "PMIX_RANK=0"}));
  // The script of a batch job of Slurm has a rank, and no step.
  EXPECT_FALSE(launch_of({"SLURM_PROCID=0", "SLURM_NTASKS=4"}));
  for (char const* const rank : {"", "-1", "2x", " 2", "99999999999999999999"}) {
    EXPECT_FALSE(launch_of({std::string("PMIX_RANK=") + rank})) << rank;
  }
}

TEST(Launch, AnMpiThatSeesOtherProcessesIsAnotherOne) {
  Launch const launch{"PMI_RANK", 1, 4};
  EXPECT_FALSE(mpijob::mismatch(launch, 4));
  auto const why = mpijob::mismatch(launch, 1);
  ASSERT_TRUE(why);
  EXPECT_EQ(
      *why,
      "the launcher started 4 processes (PMI_RANK=1), and the MPI of this program sees 1: start "
      "the program with the mpiexec of the MPI that it was built with; srun may need --mpi=pmix");
  // Without a number only a rank above 0 tells.
  EXPECT_FALSE(mpijob::mismatch({"PMIX_RANK", 0}, 1));
  EXPECT_TRUE(mpijob::mismatch({"PMIX_RANK", 3}, 1));
  EXPECT_FALSE(mpijob::mismatch({"PMIX_RANK", 3}, 4));
}

}  // namespace
