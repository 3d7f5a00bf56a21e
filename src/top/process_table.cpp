// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#include "top/process_table.hpp"

#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <sstream>
#include <string_view>

namespace procpool::inline v0_1::top {
namespace {

std::string read_file(pid_t pid, char const* name) {
  std::ifstream file("/proc/" + std::to_string(pid) + '/' + name);
  return {std::istreambuf_iterator<char>(file), {}};
}

// From the state on: the third field of proc(5). Empty: the process is gone.
std::vector<std::string> stat_of(pid_t pid) {
  std::string const stat = read_file(pid, "stat");
  // The name, in parentheses, may hold any characters.
  auto const name_end = stat.rfind(')');
  if (name_end == std::string::npos) return {};
  std::istringstream fields(stat.substr(name_end + 1));
  return {std::istream_iterator<std::string>(fields), {}};
}

}  // namespace

std::optional<Usage> usage_of(pid_t pid) {
  auto const values = stat_of(pid);
  constexpr std::size_t user = 14 - 3;
  constexpr std::size_t system = 15 - 3;
  constexpr std::size_t resident = 24 - 3;
  if (values.size() <= resident) return std::nullopt;
  auto const number = [&](std::size_t i) {
    std::uint64_t value = 0;
    std::from_chars(values[i].data(), values[i].data() + values[i].size(), value);
    return value;
  };
  auto const ticks = static_cast<std::uint64_t>(::sysconf(_SC_CLK_TCK));
  return Usage{std::chrono::nanoseconds((number(user) + number(system)) * (1'000'000'000 / ticks)),
               number(resident) * static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE))};
}

std::string program_of(pid_t pid) {
  std::error_code unknown;
  auto const path = std::filesystem::read_symlink("/proc/" + std::to_string(pid) + "/exe", unknown);
  if (!unknown) return path.filename();
  std::string name = read_file(pid, "comm");
  if (name.ends_with('\n')) name.pop_back();
  return name;
}

pid_t own_number_of(pid_t pid) {
  std::istringstream lines(read_file(pid, "status"));
  constexpr std::string_view begin = "NSpid:";
  for (std::string line; std::getline(lines, line);) {
    if (!line.starts_with(begin)) continue;
    std::istringstream numbers(line.substr(begin.size()));
    pid_t own = 0;
    while (numbers >> own) {
    }
    return own;
  }
  return 0;
}

bool is_zombie(pid_t pid) {
  auto const values = stat_of(pid);
  // Other threads live on if the first one has ended by itself.
  constexpr std::size_t threads = 20 - 3;
  return values.size() > threads && values[0] == "Z" &&
         (values[threads] == "0" || values[threads] == "1");
}

bool in_our_namespace(pid_t pid) {
  std::error_code unknown;
  auto const theirs =
      std::filesystem::read_symlink("/proc/" + std::to_string(pid) + "/ns/pid", unknown);
  return !unknown && theirs == std::filesystem::read_symlink("/proc/self/ns/pid", unknown);
}

std::vector<pid_t> processes() {
  std::vector<pid_t> found;
  std::error_code hidden;
  for (auto const& entry : std::filesystem::directory_iterator("/proc", hidden)) {
    std::string const name = entry.path().filename();
    pid_t pid = 0;
    auto const [end, bad] = std::from_chars(name.data(), name.data() + name.size(), pid);
    if (bad != std::errc() || end != name.data() + name.size()) continue;
    if (::access((entry.path() / "fd").c_str(), R_OK | X_OK) == 0) found.push_back(pid);
  }
  std::ranges::sort(found);
  return found;
}

}  // namespace procpool::inline v0_1::top
