// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#include "parent/worker_environment.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <cstdlib>
#include <stdexcept>
#include <string_view>

#include <procpool/cpu_count.hpp>

namespace procpool::inline v0_1::parent {
namespace {

constexpr std::array thread_variables{"OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS",
                                      "BLIS_NUM_THREADS", "NUMEXPR_NUM_THREADS"};

constexpr char const* count_variable = "PROCPOOL_WORKERS";

bool is(std::string_view entry, std::string_view name) {
  return entry.size() > name.size() && entry.starts_with(name) && entry[name.size()] == '=';
}

// Variables that a hardened worker inherits: places and formats, no secrets.
bool is_harmless(std::string_view entry) {
  constexpr std::array harmless{"PATH", "HOME", "USER", "LANG", "TZ", "TMPDIR", "LD_LIBRARY_PATH"};
  return entry.starts_with("LC_") ||
         std::ranges::any_of(harmless, [entry](char const* name) { return is(entry, name); });
}

// Variables by which a launcher tells processes that they belong to an MPI program: Open MPI, PMIx
// and PRRTE, MPICH and Intel MPI (Hydra), MVAPICH, Cray PALS, Flux, Slurm. A worker that believed
// them would take the place of the program that started it.
bool is_of_launcher(std::string_view entry) {
  constexpr std::array prefixes{"OMPI_",      "PMIX_",           "PMI_",     "PRTE_", "ORTE_",
                                "HYDI_",      "HYDRA_",          "MPIR_",    "PALS_", "FLUX_",
                                "SLURM_STEP", "MV2_COMM_WORLD_", "MPI_LOCAL"};
  return is(entry, "SLURM_PROCID") || is(entry, "SLURM_LOCALID") ||
         std::ranges::any_of(prefixes, [entry](char const* p) { return entry.starts_with(p); });
}

}  // namespace

std::vector<std::string> worker_environment(PoolOptions const& options,
                                            std::vector<std::string> program, std::size_t workers) {
  std::vector<std::string> environment = std::move(program);
  if (options.harden)
    std::erase_if(environment, [](auto const& entry) { return !is_harmless(entry); });
  std::erase_if(environment, is_of_launcher);
  for (auto const& [name, value] : options.start.environment) {
    std::erase_if(environment, [&](std::string const& entry) { return is(entry, name); });
    environment.push_back(name + "=" + value);
  }
  std::size_t const pinned = cpus_per_worker(options);
  std::size_t const threads =
      pinned != 0 ? pinned : std::max<std::size_t>(1, cpu_count() / workers);
  for (char const* const name : thread_variables) {
    if (std::ranges::none_of(environment, [&](auto const& entry) { return is(entry, name); })) {
      environment.push_back(std::string(name) + "=" + std::to_string(threads));
    }
  }
  return environment;
}

std::size_t cpus_per_worker(PoolOptions const& options) {
  constexpr std::size_t most = 65'536;
  return options.placement.cpus_per_worker ? detail::checked(*options.placement.cpus_per_worker,
                                                             "placement.cpus_per_worker", most)
                                           : 0;
}

std::vector<int> cpus_of_worker(PoolOptions const& options, std::vector<int> const& usable,
                                std::size_t place) {
  std::vector<int> const& cpus = options.placement.cpus.empty() ? usable : options.placement.cpus;
  std::size_t const count = options.placement.cpus_per_worker ? cpus_per_worker(options)
                            : options.placement.cpus.empty()  ? 0
                                                              : 1;
  std::vector<int> own;
  for (std::size_t i = 0; i < count && !cpus.empty(); ++i) {
    own.push_back(cpus[(place * count + i) % cpus.size()]);
  }
  return own;
}

std::size_t worker_count(PoolOptions const& options) {
  if (options.workers) return detail::checked(*options.workers, "workers", detail::max_workers);
  char const* const given = std::getenv(count_variable);
  if (given == nullptr || *given == '\0') {
    std::size_t const each = cpus_per_worker(options);
    if (each == 0) return cpu_count();
    std::size_t const cpus = options.placement.cpus.empty()
                                 ? cpu_count()
                                 : std::min(options.placement.cpus.size(), detail::max_workers);
    return std::max<std::size_t>(1, cpus / each);
  }
  std::string_view const text = given;
  std::size_t count = 0;
  auto const [end, error] = std::from_chars(text.data(), text.data() + text.size(), count);
  if (error != std::errc() || end != text.data() + text.size() || count < 1 ||
      count > detail::max_workers) {
    throw std::invalid_argument(std::string("procpool: the environment variable ") +
                                count_variable + " is \"" + given + "\"; it must be from 1 to " +
                                std::to_string(detail::max_workers));
  }
  return count;
}

}  // namespace procpool::inline v0_1::parent
