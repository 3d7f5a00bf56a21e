// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// Finds the cgroups of the process among the mounts, and reads their quotas. Pure; any thread.
#include "os/cpu_quota.hpp"

#include <algorithm>
#include <charconv>
#include <cstdint>
#include <string_view>
#include <vector>

namespace procpool::inline v0_1::os {
namespace {

std::vector<std::string_view> split(std::string_view text, char separator) {
  std::vector<std::string_view> parts;
  for (;;) {
    std::size_t const at = text.find(separator);
    parts.push_back(text.substr(0, at));
    if (at == std::string_view::npos) return parts;
    text.remove_prefix(at + 1);
  }
}

std::vector<std::string_view> words(std::string_view text) {
  std::vector<std::string_view> found;
  while (!text.empty()) {
    std::size_t const begin = text.find_first_not_of(" \t\r\n");
    if (begin == std::string_view::npos) break;
    text.remove_prefix(begin);
    std::size_t const end = std::min(text.find_first_of(" \t\r\n"), text.size());
    found.push_back(text.substr(0, end));
    text.remove_prefix(end);
  }
  return found;
}

bool contains(std::string_view list, std::string_view word) {
  auto const parts = split(list, ',');
  return std::ranges::find(parts, word) != parts.end();
}

// mountinfo writes a blank in a path as \040, and other characters likewise.
std::string unescape(std::string_view text) {
  std::string plain;
  for (std::size_t i = 0; i < text.size(); ++i) {
    unsigned code = 0;
    if (text[i] == '\\' && i + 3 < text.size()) {
      auto const parsed = std::from_chars(text.data() + i + 1, text.data() + i + 4, code, 8);
      if (parsed.ec == std::errc{} && parsed.ptr == text.data() + i + 4 && code < 256) {
        plain += static_cast<char>(code);
        i += 3;
        continue;
      }
    }
    plain += text[i];
  }
  return plain;
}

std::optional<std::uint64_t> number(std::string_view text) {
  std::uint64_t value = 0;
  auto const parsed = std::from_chars(text.data(), text.data() + text.size(), value);
  if (parsed.ec != std::errc{} || parsed.ptr != text.data() + text.size()) return std::nullopt;
  return value;
}

struct Mount {
  std::string root;   // the cgroup that is shown
  std::string point;  // the folder that shows it
  bool version2;
};

std::vector<Mount> cgroup_mounts(std::string_view mountinfo) {
  std::vector<Mount> mounts;
  for (std::string_view const line : split(mountinfo, '\n')) {
    // id parent major:minor root point options [optional...] - type source super-options
    auto const fields = words(line);
    auto const dash = std::ranges::find(fields, std::string_view("-"));
    if (dash - fields.begin() < 6 || fields.end() - dash < 3) continue;
    std::string_view const type = dash[1];
    bool const version2 = type == "cgroup2";
    bool const version1 = type == "cgroup" && fields.end() - dash >= 4 && contains(dash[3], "cpu");
    if (!version1 && !version2) continue;
    mounts.push_back({unescape(fields[3]), unescape(fields[4]), version2});
  }
  return mounts;
}

// The part of `path` below `root`. Nothing: `path` is not below.
std::optional<std::string> below(std::string const& path, std::string const& root) {
  // A path with ".." belongs to a process outside the namespace that is shown.
  if (path == "/.." || path.starts_with("/../")) return std::nullopt;
  if (root == "/") return path == "/" ? "" : path;
  if (!path.starts_with(root)) return std::nullopt;
  std::string rest = path.substr(root.size());
  if (!rest.empty() && !rest.starts_with('/')) return std::nullopt;
  return rest;
}

using ReadFile = std::function<std::optional<std::string>(std::string const&)>;

struct Quota {
  std::uint64_t time, period;
};

std::optional<Quota> quota_at(std::string const& folder, bool version2, ReadFile const& read) {
  std::optional<std::uint64_t> time;
  std::optional<std::uint64_t> period;
  if (version2) {
    std::string const text = read(folder + "/cpu.max").value_or("");
    auto const fields = words(text);
    if (fields.size() < 2) return std::nullopt;
    time = number(fields[0]);  // not a number: "max"
    period = number(fields[1]);
  } else {
    auto const one = [&](char const* name) -> std::optional<std::uint64_t> {
      std::string const text = read(folder + name).value_or("");
      auto const fields = words(text);
      return fields.empty() ? std::nullopt : number(fields[0]);  // -1: no limit
    };
    time = one("/cpu.cfs_quota_us");
    period = one("/cpu.cfs_period_us");
  }
  if (!time || !period || *time == 0 || *period == 0) return std::nullopt;
  return Quota{*time, *period};
}

}  // namespace

unsigned cpu_count_from(unsigned affinity, std::string const& proc_self_cgroup,
                        std::string const& proc_self_mountinfo, ReadFile const& read_file) {
  std::uint64_t count = std::max(affinity, 1U);
  std::vector<Mount> const mounts = cgroup_mounts(proc_self_mountinfo);
  for (std::string_view const line : split(proc_self_cgroup, '\n')) {
    // hierarchy:controllers:path, and the path may hold colons itself
    std::size_t const first = line.find(':');
    std::size_t const second = first == line.npos ? line.npos : line.find(':', first + 1);
    if (second == line.npos) continue;
    std::string_view const controllers = line.substr(first + 1, second - first - 1);
    std::string path(line.substr(second + 1));
    bool const version2 = line.substr(0, first) == "0" && controllers.empty();
    if (!path.starts_with('/') || (!version2 && !contains(controllers, "cpu"))) continue;
    while (path.size() > 1 && path.ends_with('/')) path.pop_back();

    Mount const* chosen = nullptr;
    std::string rest;
    for (Mount const& mount : mounts) {
      if (mount.version2 != version2) continue;
      if (auto const inside = below(path, mount.root)) {
        chosen = &mount;
        rest = *inside;
        break;
      }
      // In a container the path may be one of the host. The mount is the best guess then.
      if (chosen == nullptr) chosen = &mount;
    }
    if (chosen == nullptr) continue;
    for (;;) {
      if (auto const quota = quota_at(chosen->point + rest, version2, read_file)) {
        count = std::min(count, (quota->time - 1) / quota->period + 1);
      }
      if (rest.empty()) break;
      rest.resize(rest.rfind('/'));  // its first character is a slash
    }
  }
  return static_cast<unsigned>(std::max<std::uint64_t>(count, 1));
}

}  // namespace procpool::inline v0_1::os
