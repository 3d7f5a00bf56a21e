// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#include "identity/function_text.hpp"

#include <algorithm>
#include <array>

namespace procpool::inline v0_1::identity {
namespace {

constexpr std::string_view operator_word = "operator";
constexpr std::string_view unnamed = "(anonymous namespace)";

bool is_word(char c) noexcept {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
}

// The length of "operator<<" and its kin at the front, whose characters are no brackets; 0: it is
// none.
std::size_t operator_at(std::string_view text, std::size_t at) noexcept {
  if (!text.substr(at).starts_with(operator_word) || (at > 0 && is_word(text[at - 1]))) return 0;
  constexpr std::array symbols{"()", "[]", "<=>", "<<=", ">>=", "->*", "<<",
                               ">>", "<=", ">=",  "->",  "<",   ">"};
  std::string_view const rest = text.substr(at + operator_word.size());
  for (std::string_view const symbol : symbols) {
    if (rest.starts_with(symbol)) return operator_word.size() + symbol.size();
  }
  return 0;
}

// Tells `visit` each character, with how many brackets are open around it: of a bracket, those
// around the bracket.
template <class Visit>
void walk(std::string_view text, Visit const& visit) {
  std::size_t depth = 0;
  for (std::size_t at = 0; at < text.size(); ++at) {
    std::size_t plain = operator_at(text, at);
    if (plain == 0 && text.substr(at).starts_with(unnamed)) plain = unnamed.size();
    if (plain != 0) {
      for (std::size_t const end = at + plain; at < end; ++at) visit(at, depth, false);
      --at;
      continue;
    }
    char const c = text[at];
    bool const opens = c == '<' || c == '(' || c == '{' || c == '[';
    bool const closes = c == '>' || c == ')' || c == '}' || c == ']';
    if (closes && depth != 0) --depth;
    visit(at, depth, opens || closes);
    if (opens) ++depth;
  }
}

// Replaces brackets deeper than `depth` by "...".
std::string without_deeper(std::string_view text, std::size_t depth) {
  std::string kept;
  bool left_out = false;
  walk(text, [&](std::size_t at, std::size_t around, bool) {
    if (around > depth) {
      if (!left_out) kept += "...";
      left_out = true;
    } else {
      left_out = false;
      kept += text[at];
    }
  });
  return kept;
}

}  // namespace

std::string qualified_name(std::string_view function) {
  std::string name;
  bool complete = false;
  walk(function, [&](std::size_t at, std::size_t around, bool bracket) {
    if (around != 0 || complete) return;
    char const c = function[at];
    if (bracket) return;
    if (c == ' ' && at != 0) {
      if (function.substr(0, at).ends_with("(anonymous")) {
        name += c;
        return;
      }
      // "f() const", "f() [clone .cold]"
      bool const behind = function[at - 1] == ')' || function[at - 1] == ']';
      complete = behind && !name.empty();
      // "operator<< <char>", "operator bool"
      std::size_t const scope = name.rfind("::");
      bool const of_operator =
          name.find(operator_word, scope == std::string::npos ? 0 : scope) != std::string::npos;
      if (!complete && !of_operator) name.clear();  // it was what the function returns
      return;
    }
    if (c == '*' || c == '&') return;  // of what it returns
    name += c;
  });
  return name;
}

std::string shortened(std::string_view function, std::size_t most) {
  if (function.size() <= most) return std::string(function);
  std::size_t deepest = 0;
  walk(function,
       [&](std::size_t, std::size_t around, bool) { deepest = std::max(deepest, around); });
  while (deepest != 0) {
    std::string text = without_deeper(function, --deepest);
    if (text.size() <= most) return text;
    if (deepest == 0) {
      text.resize(most - std::min<std::size_t>(most, 3));
      return text + "...";
    }
  }
  std::string text(function.substr(0, most - std::min<std::size_t>(most, 3)));
  return text + "...";
}

}  // namespace procpool::inline v0_1::identity
