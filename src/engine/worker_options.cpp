// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#include "engine/worker_options.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>

namespace procpool::inline v0_1 {
namespace {

// The name is part of each error text, of the titles of the workers, and of lines in the log.
void check_name(std::string const& name, std::string const& type) {
  constexpr std::size_t max_name = 255;
  if (name.size() > max_name) {
    throw std::invalid_argument(type + "::name has " + std::to_string(name.size()) +
                                " bytes; it must have at most " + std::to_string(max_name));
  }
  auto const is_control = [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; };
  if (std::ranges::any_of(name, is_control)) {
    throw std::invalid_argument(type + "::name has a control character, such as the end of a line");
  }
}

void check_least(std::optional<std::int64_t> limit, std::int64_t least, std::string const& what) {
  if (!limit || *limit >= least) return;
  throw std::invalid_argument(what + " is " + std::to_string(*limit) + "; it must be at least " +
                              std::to_string(least));
}

}  // namespace

void check_worker_options(PoolOptions const& options, char const* options_type) {
  std::string const type = options_type;
  check_name(options.name, type);
  auto const number = [](std::optional<std::uint64_t> const& limit) {
    constexpr std::uint64_t most = std::uint64_t{1} << 62;
    return limit ? std::optional(static_cast<std::int64_t>(std::min(*limit, most))) : std::nullopt;
  };
  constexpr std::int64_t mebibyte = std::int64_t{1} << 20;
  Limits const& limits = options.limits;
  check_least(number(limits.memory), mebibyte, type + "::limits.memory");
  check_least(number(limits.address_space), mebibyte, type + "::limits.address_space");
  check_least(
      limits.cpu_time ? std::optional<std::int64_t>(limits.cpu_time->count()) : std::nullopt, 1,
      type + "::limits.cpu_time");
  check_least(number(limits.open_files), 8, type + "::limits.open_files");
  check_environment(options.start.environment, "the environment of " + type);
}

void check_environment(std::map<std::string, std::string> const& environment,
                       std::string const& what) {
  for (auto const& [name, value] : environment) {
    if (name.empty() || name.find_first_of(std::string_view("=\0", 2)) != std::string::npos ||
        value.find('\0') != std::string::npos) {
      throw std::invalid_argument(what + " has a variable that cannot be: \"" + name + "\"");
    }
  }
}

}  // namespace procpool::inline v0_1
