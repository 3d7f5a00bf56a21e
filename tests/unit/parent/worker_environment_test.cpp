// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// The environment of workers: what is added, what is replaced, what is left alone.

#include <gtest/gtest.h>
#include <stdlib.h>

#include <algorithm>
#include <string>
#include <vector>

#include <procpool/cpu_count.hpp>

#include "parent/worker_environment.hpp"

namespace procpool::parent {
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
  options.start.environment = {{"MODE", "test"}, {"PATH", "/nowhere"}, {"EMPTY", ""}};
  auto const made = worker_environment(options, {"PATH=/bin", "HOME=/root", "MODEL=x"}, 1);
  EXPECT_EQ(value_of(made, "MODE"), "test");
  EXPECT_EQ(value_of(made, "MODEL"), "x");
  EXPECT_EQ(value_of(made, "PATH"), "/nowhere");
  EXPECT_EQ(value_of(made, "HOME"), "/root");
  EXPECT_EQ(value_of(made, "EMPTY"), "");
}

TEST(WorkerEnvironment, HasNothingOfAnMpiLauncherUnlessTheOptionsNameIt) {
  std::vector<std::string> program;
  std::vector<std::string> const told{
      "OMPI_COMM_WORLD_RANK", "PMIX_RANK",     "PMI_FD",        "PRTE_LAUNCHED", "ORTE_X",
      "HYDI_CONTROL_FD",      "HYDRA_PROXY",   "MPIR_X",        "PALS_RANKID",   "FLUX_TASK_RANK",
      "SLURM_PROCID",         "SLURM_LOCALID", "SLURM_STEP_ID", "SLURM_STEPID",  "MPI_LOCALRANKID",
      "MV2_COMM_WORLD_RANK"};
  std::vector<std::string> const others{"SLURM_JOB_ID", "SLURM_PROCID_OF_MINE", "MPI", "MY_PMI_FD",
                                        "PMI"};
  for (auto const& name : told) program.push_back(name + "=1");
  for (auto const& name : others) program.push_back(name + "=1");
  auto const made = worker_environment({}, program, 1);
  for (auto const& name : told) EXPECT_EQ(value_of(made, name), "none") << name;
  for (auto const& name : others) EXPECT_EQ(value_of(made, name), "1") << name;
  PoolOptions options;
  options.start.environment = {{"PMI_FD", "7"}, {"SLURM_STEP_ID", ""}};
  auto const named = worker_environment(options, program, 1);
  EXPECT_EQ(value_of(named, "PMI_FD"), "7");
  EXPECT_EQ(value_of(named, "SLURM_STEP_ID"), "");
  EXPECT_EQ(value_of(named, "PMIX_RANK"), "none");
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
  options.start.environment = {{"OMP_NUM_THREADS", "5"}};
  EXPECT_EQ(value_of(worker_environment(options, {"OMP_NUM_THREADS=3"}, 1'000), "OMP_NUM_THREADS"),
            "5");
  options.placement.cpus_per_worker = 3;
  options.start.environment.clear();
  EXPECT_EQ(value_of(worker_environment(options, {}, 1'000), "OMP_NUM_THREADS"), "3");
}

// ---- CPUs

TEST(WorkerEnvironment, PinsEachWorkerToTheNextCpusAndAround) {
  std::vector<int> const usable{0, 1, 2};
  PoolOptions options;
  EXPECT_EQ(cpus_of_worker(options, usable, 1), std::vector<int>());
  options.placement.cpus = {4, 5, 6, 7, 8};
  EXPECT_EQ(cpus_of_worker(options, usable, 6), std::vector<int>{5});
  options.placement.cpus_per_worker = 2;
  EXPECT_EQ(cpus_of_worker(options, usable, 0), (std::vector<int>{4, 5}));
  EXPECT_EQ(cpus_of_worker(options, usable, 1), (std::vector<int>{6, 7}));
  EXPECT_EQ(cpus_of_worker(options, usable, 2), (std::vector<int>{8, 4}));
  options.placement.cpus.clear();
  EXPECT_EQ(cpus_of_worker(options, usable, 1), (std::vector<int>{2, 0}));
}

TEST(WorkerEnvironment, HasAsManyWorkersAsPartsOfTheCpus) {
  ::unsetenv("PROCPOOL_WORKERS");
  PoolOptions options;
  EXPECT_EQ(worker_count(options), cpu_count());
  options.placement.cpus = {4, 5, 6, 7, 8};
  options.placement.cpus_per_worker = 2;
  EXPECT_EQ(worker_count(options), 2u);
  options.placement.cpus.clear();
  options.placement.cpus_per_worker = 60'000;
  EXPECT_EQ(worker_count(options), 1u);
  options.workers = 3;
  EXPECT_EQ(worker_count(options), 3u);
}

}  // namespace
}  // namespace procpool::parent
