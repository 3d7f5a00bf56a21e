// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// expect: only for trivially copyable types
#include <procpool/detail/codec/codec.hpp>
#include <string>
struct Text {
  std::string text;
};
template <>
inline constexpr bool procpool::as_bytes<Text> = true;
void use() {
  procpool::detail::Bytes out;
  procpool::detail::encode(out, Text{});
}
