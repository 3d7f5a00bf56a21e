// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#include "mpijob/launch.hpp"

#include <array>
#include <charconv>
#include <cstring>
#include <string_view>

namespace procpool::inline v0_1::mpijob {
namespace {

struct Launcher {
  char const* rank;
  char const* size;  // null: it does not say
};

// The most telling first: PMIx is inside of other launchers, and Slurm starts them.
constexpr std::array launchers{
    Launcher{"OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE"},  // Open MPI
    Launcher{"MV2_COMM_WORLD_RANK", "MV2_COMM_WORLD_SIZE"},    // MVAPICH
    Launcher{"PMI_RANK", "PMI_SIZE"},                          // Hydra: MPICH, Intel MPI
    Launcher{"PALS_RANKID", nullptr},                          // Cray PALS
    Launcher{"FLUX_TASK_RANK", "FLUX_JOB_SIZE"},               // Flux
    // A batch script of Slurm has a rank too. Only srun counts the tasks of a step.
    Launcher{"SLURM_PROCID", "SLURM_STEP_NUM_TASKS"},
    Launcher{"PMIX_RANK", nullptr},  // another one that speaks PMIx
};

char const* value_of(char const* const* environment, char const* name) {
  std::size_t const length = std::strlen(name);
  for (; *environment != nullptr; ++environment) {
    if (std::strncmp(*environment, name, length) == 0 && (*environment)[length] == '=') {
      return *environment + length + 1;
    }
  }
  return nullptr;
}

std::optional<std::size_t> number(char const* text) {
  if (text == nullptr) return std::nullopt;
  std::size_t value = 0;
  char const* const end = text + std::strlen(text);
  auto const [last, error] = std::from_chars(text, end, value);
  if (error != std::errc() || last != end) return std::nullopt;
  return value;
}

}  // namespace

std::optional<Launch> launch_of(char const* const* environment) {
  if (environment == nullptr) return std::nullopt;
  for (Launcher const& launcher : launchers) {
    auto const rank = number(value_of(environment, launcher.rank));
    if (!rank) continue;
    if (launcher.size == nullptr) return Launch{launcher.rank, *rank};
    auto const size = number(value_of(environment, launcher.size));
    if (!size) continue;
    if (*size <= 1) return std::nullopt;
    return Launch{launcher.rank, *rank, size};
  }
  return std::nullopt;
}

std::optional<std::string> mismatch(Launch const& launch, std::size_t size) {
  bool const alone = launch.size ? *launch.size != size : size == 1 && launch.rank > 0;
  if (!alone) return std::nullopt;
  std::string const processes = launch.size ? std::to_string(*launch.size) : "several";
  return "the launcher started " + processes + " processes (" + launch.variable + "=" +
         std::to_string(launch.rank) + "), and the MPI of this program sees " +
         std::to_string(size) +
         ": start the program with the mpiexec of the MPI that it was built with; srun may need "
         "--mpi=pmix";
}

}  // namespace procpool::inline v0_1::mpijob
