// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// Cutting and cleaning, byte by byte. Of UTF-8 only the lengths and the forbidden bytes are known.
#include "os/text.hpp"

#include <cstdint>

namespace procpool::inline v0_1::os {
namespace {

bool continues(char c) noexcept { return (static_cast<unsigned char>(c) & 0xc0U) == 0x80U; }

struct Character {
  std::uint32_t code;
  std::size_t bytes;  // 0: no character begins here
};

// The character that begins at `at` with a byte outside ASCII.
Character character(std::string_view text, std::size_t at) noexcept {
  auto const lead = static_cast<unsigned char>(text[at]);
  std::size_t const bytes = lead >= 0xf0 ? 4 : lead >= 0xe0 ? 3 : 2;
  if (lead < 0xc2 || lead > 0xf4 || text.size() - at < bytes) return {0, 0};
  std::uint32_t code = lead & (0x7fU >> bytes);
  for (std::size_t i = 1; i < bytes; ++i) {
    if (!continues(text[at + i])) return {0, 0};
    code = code << 6 | (static_cast<unsigned char>(text[at + i]) & 0x3fU);
  }
  bool const too_long = (bytes == 3 && code < 0x800) || (bytes == 4 && code < 0x10000);
  bool const none = code > 0x10ffff || (code >= 0xd800 && code <= 0xdfff);
  return too_long || none ? Character{0, 0} : Character{code, bytes};
}

// Is the character, which lies outside ASCII, a control character?
bool controls(std::uint32_t code) noexcept {
  return code < 0xa0 || code == 0x61c || code == 0x200e || code == 0x200f ||
         (code >= 0x2028 && code <= 0x202e) || (code >= 0x2066 && code <= 0x2069);
}

std::string clean(std::string_view text, bool lines) {
  std::string out;
  out.reserve(text.size());
  for (std::size_t at = 0; at < text.size();) {
    char const c = text[at];
    if (static_cast<unsigned char>(c) >= 0x80) {
      auto const [code, bytes] = character(text, at);
      if (bytes == 0 || controls(code)) {
        out += '?';
      } else {
        out += text.substr(at, bytes);
      }
      at += bytes == 0 ? 1 : bytes;
      continue;
    }
    if (c == '\n' || c == '\t') {
      out += lines ? c : ' ';
    } else if (c == '\r' || c == '\v' || c == '\f') {
      out += ' ';
    } else {
      out += c < ' ' || c == 0x7f ? '?' : c;
    }
    ++at;
  }
  return out;
}

}  // namespace

std::string cut(std::string_view text, std::size_t most) {
  if (text.size() <= most) return std::string(text);
  std::string const note = "... (cut, " + std::to_string(text.size()) + " bytes)";
  if (note.size() > most) return std::string(text.substr(0, most));
  std::size_t keep = most - note.size();
  // A character has at most three bytes behind its first.
  for (int i = 0; i < 3 && keep > 0 && continues(text[keep]); ++i) --keep;
  return std::string(text.substr(0, keep)) + note;
}

std::string one_line(std::string_view text) { return clean(text, false); }

std::string quoted(std::string_view text) {
  std::string out = "\"";
  for (char const c : one_line(text)) {
    if (c == '"' || c == '\\') out += '\\';
    out += c;
  }
  return out + '"';
}

std::string clean_lines(std::string_view text) { return clean(text, true); }

}  // namespace procpool::inline v0_1::os
