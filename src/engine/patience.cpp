// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#include "engine/patience.hpp"

namespace procpool::inline v0_1::detail {
namespace {

// Failures of a few workers, with their texts. Below the size from which the heap maps a block of its
// own, which would need address space again.
constexpr std::size_t reserve_bytes = std::size_t{64} << 10;

// A pointer, because the destructor of an object would have to be registered, which takes memory.
constinit thread_local Reserve* held = nullptr;

}  // namespace

Reserve::Reserve() : memory_(std::make_unique_for_overwrite<std::byte[]>(reserve_bytes)) {}

Reserve::~Reserve() {
  if (held == this) held = nullptr;
}

void Reserve::hold() noexcept { held = this; }

void Reserve::renew() noexcept {
  // Smaller, if others have taken parts of it meanwhile.
  constexpr std::size_t worth_it = std::size_t{4} << 10;
  for (auto bytes = reserve_bytes; memory_ == nullptr && bytes >= worth_it; bytes /= 2) {
    memory_.reset(new (std::nothrow) std::byte[bytes]);
  }
}

bool Reserve::use() noexcept {
  if (held == nullptr || held->memory_ == nullptr) return false;
  held->memory_.reset();
  return true;
}

}  // namespace procpool::inline v0_1::detail
