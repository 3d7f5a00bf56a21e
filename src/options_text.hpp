// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#pragma once

// Aggregates of options as text, and their comparison, by the list of their members. Pure.

#include <chrono>
#include <concepts>
#include <cstddef>
#include <functional>
#include <initializer_list>
#include <map>
#include <optional>
#include <sstream>
#include <string>
#include <tuple>
#include <type_traits>
#include <vector>

#include <procpool/options.hpp>

#include "os/text.hpp"

namespace procpool::inline v0_1::detail {

template <class Options, class T>
struct Named {
  char const* name;
  T Options::* member;
};

template <class T>
bool same(T const& a, T const& b) {
  return a == b;
}

// The nearest thing to a comparison that std::function allows.
template <class R, class... Args>
bool same(std::function<R(Args...)> const& a, std::function<R(Args...)> const& b) {
  using Pointer = R (*)(Args...);
  auto const* const pointer = a.template target<Pointer>();
  auto const* const other = b.template target<Pointer>();
  return pointer && other ? *pointer == *other : a.target_type() == b.target_type();
}

inline std::string text_of(bool value) { return value ? "true" : "false"; }
inline std::string text_of(std::string const& value) { return os::quoted(value); }
template <class Unit>
std::string text_of(Saturating<Unit> const& time) {
  if (time == Unit::max()) return "for ever";
  return std::to_string(time.count()) + (std::is_same_v<Unit, std::chrono::seconds> ? "s" : "ms");
}
// A value may be a secret.
inline std::string text_of(std::map<std::string, std::string> const& variables) {
  std::string text;
  for (auto const& [name, value] : variables) text += (text.empty() ? "" : ", ") + text_of(name);
  return "{" + text + "}";
}
template <class T>
std::string text_of(T const& value) {
  if constexpr (std::integral<T>) {
    return std::to_string(value);
  } else if constexpr (requires(std::ostream& out) { out << value; }) {
    std::ostringstream out;
    out << value;
    return out.str();
  } else {
    return "given";
  }
}
template <class T>
std::string text_of(std::vector<T> const& values) {
  std::string text;
  for (T const& value : values) text += (text.empty() ? "" : ", ") + text_of(value);
  return "{" + text + "}";
}
template <class T>
std::string text_of(std::optional<T> const& value) {
  return value ? text_of(*value) : "none";
}

template <class E>
std::string enum_text(std::string const& type, std::initializer_list<char const*> names, E value) {
  auto const number = static_cast<std::size_t>(value);
  return type + (number < names.size() ? std::string("::") + names.begin()[number]
                                       : "(" + std::to_string(number) + ")");
}

// The members that differ from their defaults.
template <class Options, class... Members>
std::string text_of_members(Options const& options, std::tuple<Members...> const& members) {
  Options const defaults;
  std::string text;
  auto const add = [&](auto const& each) {
    if (same(options.*each.member, defaults.*each.member)) return;
    text += text.empty() ? "." : ", .";
    text += std::string(each.name) + " = " + text_of(options.*each.member);
  };
  std::apply([&](auto const&... each) { (add(each), ...); }, members);
  return "{" + text + "}";
}

template <class Options, class... Members>
bool same_members(Options const& a, Options const& b, std::tuple<Members...> const& members) {
  return std::apply(
      [&](auto const&... each) { return (same(a.*each.member, b.*each.member) && ...); }, members);
}

}  // namespace procpool::inline v0_1::detail
