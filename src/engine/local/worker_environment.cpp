#include "engine/local/worker_environment.hpp"

#include <algorithm>
#include <array>
#include <string_view>

#include <procpool/cpu_count.hpp>

namespace procpool::inline v0::local {
namespace {

constexpr std::array thread_variables{"OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS",
                                      "BLIS_NUM_THREADS", "NUMEXPR_NUM_THREADS"};

bool is(std::string_view entry, std::string_view name) {
  return entry.size() > name.size() && entry.starts_with(name) && entry[name.size()] == '=';
}

}  // namespace

std::vector<std::string> worker_environment(PoolOptions const& options,
                                            std::vector<std::string> program, std::size_t workers) {
  std::vector<std::string> environment = std::move(program);
  for (auto const& [name, value] : options.environment) {
    std::erase_if(environment, [&](std::string const& entry) { return is(entry, name); });
    environment.push_back(name + "=" + value);
  }
  std::size_t const threads = std::max<std::size_t>(1, cpu_count() / workers);
  for (char const* const name : thread_variables) {
    if (std::ranges::none_of(environment, [&](auto const& entry) { return is(entry, name); })) {
      environment.push_back(std::string(name) + "=" + std::to_string(threads));
    }
  }
  return environment;
}

}  // namespace procpool::inline v0::local
