// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#include "top/columns.hpp"

#include <langinfo.h>
#include <locale.h>
#include <wchar.h>

#include <array>

namespace procpool::inline v0_1::top {
namespace {

// Null: none is installed.
locale_t utf8_locale() noexcept {
  static locale_t const found = [] {
    constexpr std::array names{"C.UTF-8", "", "en_US.UTF-8"};
    for (char const* const name : names) {
      locale_t const locale = ::newlocale(LC_CTYPE_MASK, name, nullptr);
      if (locale == nullptr) continue;
      if (std::string_view(::nl_langinfo_l(CODESET, locale)) == "UTF-8") return locale;
      ::freelocale(locale);
    }
    return locale_t{};
  }();
  return found;
}

class InUtf8 {
 public:
  InUtf8() noexcept : known_(utf8_locale() != nullptr) {
    if (known_) before_ = ::uselocale(utf8_locale());
  }
  InUtf8(InUtf8 const&) = delete;
  InUtf8& operator=(InUtf8 const&) = delete;
  ~InUtf8() {
    if (known_) ::uselocale(before_);
  }

  std::size_t width(char32_t character) const noexcept {
    int const width = known_ ? ::wcwidth(static_cast<wchar_t>(character)) : 1;
    return width < 0 ? 1 : static_cast<std::size_t>(width);
  }

 private:
  bool const known_;
  locale_t before_{};
};

}  // namespace

std::string fit(std::string_view text, std::size_t columns) {
  InUtf8 const terminal;
  std::size_t shown = 0;
  std::size_t at = 0;
  while (at < text.size()) {
    auto const lead = static_cast<unsigned char>(text[at]);
    std::size_t end = at + 1;
    char32_t character = lead < 0xc0   ? lead
                         : lead < 0xe0 ? lead & 0x1fU
                         : lead < 0xf0 ? lead & 0x0fU
                                       : lead & 0x07U;
    for (; end < text.size() && (static_cast<unsigned char>(text[end]) & 0xc0U) == 0x80U; ++end) {
      character = character << 6U | (static_cast<unsigned char>(text[end]) & 0x3fU);
    }
    shown += terminal.width(character);
    if (shown > columns) break;
    at = end;
  }
  return std::string(text.substr(0, at));
}

}  // namespace procpool::inline v0_1::top
