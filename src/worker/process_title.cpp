// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#include "worker/process_title.hpp"

#include <sys/prctl.h>

#include <algorithm>
#include <cstring>

namespace procpool::inline v0_1::worker {
namespace {

constexpr std::size_t room_for_function = 80;

}  // namespace

std::string title_space() { return std::string(room_for_function, ' '); }

ProcessTitle::ProcessTitle(char* argument) noexcept {
  if (argument == nullptr) return;
  std::size_t const length = std::strlen(argument);
  // The parent did not give this argument: a user started the program with the worker mark.
  if (length < room_for_function) return;
  begin_ = argument + length - room_for_function;
  room_ = room_for_function;
}

ProcessTitle::ProcessTitle(char* argument, std::string const& name) noexcept
    : ProcessTitle(argument) {
  if (begin_ == nullptr) return;
  std::size_t const length = std::strlen(argument);
  if (name.size() + room_for_function > length) return;
  begin_ = argument + name.copy(argument, name.size());
  room_ = length - name.size();
  std::memset(begin_, ' ', room_);
}

void ProcessTitle::show(std::string_view what) noexcept {
  if (begin_ == nullptr) return;
  // A space first, and spaces up to the end: the length stays the same.
  std::size_t const shown = std::min(what.size(), room_ - 1);
  if (shown != 0) std::memcpy(begin_ + 1, what.data(), shown);
  std::memset(begin_ + 1 + shown, ' ', room_ - 1 - shown);
}

void ProcessTitle::name_process(std::string const& pool, std::string const& role) noexcept {
  std::string const end = role.empty() ? role : "/" + role;
  constexpr std::size_t most = 15;
  std::string const name = pool.substr(0, most - std::min(most, end.size())) + end;
  ::prctl(PR_SET_NAME, name.c_str());
}

std::string short_name(std::string_view type) {
  constexpr std::string_view constant = "procpool::detail::FunctionConstant<";
  constexpr std::string_view nobody = "(anonymous namespace)::";
  if (type.starts_with(constant) && type.ends_with('>')) {
    type.remove_prefix(constant.size());
    type.remove_suffix(1);
    while (type.starts_with('(') || type.starts_with('&')) {
      if (type.starts_with(nobody)) break;
      if (type.starts_with('(') && type.ends_with(')')) type.remove_suffix(1);
      type.remove_prefix(1);
    }
  }
  std::string name(type);
  for (auto at = name.find(nobody); at != std::string::npos; at = name.find(nobody)) {
    name.erase(at, nobody.size());
  }
  return name;
}

}  // namespace procpool::inline v0_1::worker
