// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// How the Itanium C++ ABI lays out an object with a vtable, and how libstdc++ answers whether a
// type is derived from another. Everything is looked at from the outside before anything of it is
// called.
#include "identity/category.hpp"

#include <array>
#include <cstddef>
#include <cstdint>
#include <istream>
#include <stdexcept>
#include <typeinfo>

namespace procpool::inline v0_1::identity {
namespace {

using Word = std::uintptr_t;

// An object of an unknown type: where sanitizers keep their own bytes, it may not be one.
__attribute__((no_sanitize("address"))) Word word_at(Word address) noexcept {
  // Relaxed: it may be under construction in another thread; then it is one of its bases yet, and
  // refused.
  return __atomic_load_n(reinterpret_cast<Word const*>(address), __ATOMIC_RELAXED);
}

bool constant_words(Word address, std::size_t count) {
  return address % alignof(Word) == 0 &&
         is_constant(reinterpret_cast<void const*>(address), count * sizeof(Word));
}

// The vtable of a type_info tells the kind of its type.
bool is_class_with_bases(Word type) {
  static std::array<Word, 2> const kinds{
      word_at(reinterpret_cast<Word>(&typeid(std::out_of_range))),  // one base
      word_at(reinterpret_cast<Word>(&typeid(std::iostream)))};     // several, or virtual ones
  Word const kind = word_at(type);
  return kind == kinds[0] || kind == kinds[1];
}

bool is_category(Word object) {
  // Ahead of the functions the vtable has where the whole object begins, and its type. The
  // functions are two destructors and what error_category declares.
  constexpr std::size_t ahead = 2;
  constexpr std::size_t functions = 7;
  Word const functions_at = word_at(object);
  Word const table = functions_at - ahead * sizeof(Word);
  if (functions_at < ahead * sizeof(Word) || !constant_words(table, ahead + functions))
    return false;
  if (word_at(table) != 0)
    return false;  // it is a part of something else: not worth a further look
  Word const type = word_at(table + sizeof(Word));
  if (!constant_words(type, sizeof(std::type_info) / sizeof(Word)) || !is_class_with_bases(type)) {
    return false;
  }
  auto const& info = *reinterpret_cast<std::type_info const*>(type);
  auto* base = reinterpret_cast<void*>(object);
  return info != typeid(std::error_category) &&
         typeid(std::error_category).__do_catch(&info, &base, 1) &&
         base == reinterpret_cast<void*>(object);
}

}  // namespace

std::optional<CodeRef> locate_category(std::error_category const& category) {
  return locate_data(&category, sizeof category);
}

std::error_category const* find_category(CodeRef const& ref) {
  void const* const found = find_data(ref, sizeof(std::error_category));
  auto const address = reinterpret_cast<Word>(found);
  if (found == nullptr || address % alignof(std::error_category) != 0) return nullptr;
  return is_category(address) ? static_cast<std::error_category const*>(found) : nullptr;
}

}  // namespace procpool::inline v0_1::identity
