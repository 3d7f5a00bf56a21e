// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#include "os/region.hpp"

#include <sys/mman.h>

#include <cstdint>
#include <new>

#include "os/mapping.hpp"

namespace procpool::inline v0_1::os {

std::span<std::byte> map_region(std::size_t bytes) {
  void* const found = ::mmap(nullptr, 2 * bytes, PROT_READ | PROT_WRITE,
                             MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (found == MAP_FAILED) throw std::bad_alloc();
  // Twice as much memory holds a region of the right alignment.
  auto* const from = static_cast<std::byte*>(found);
  std::size_t const ahead = -reinterpret_cast<std::uintptr_t>(found) & (bytes - 1);
  if (ahead != 0) ::munmap(from, ahead);
  ::munmap(from + ahead + bytes, bytes - ahead);
  return {from + ahead, bytes};
}

void unmap_region(std::span<std::byte> region) noexcept { ::munmap(region.data(), region.size()); }

void fill_region(std::span<std::byte> region) noexcept {
  ::madvise(region.data(), region.size(), MADV_HUGEPAGE);
  enter_pages(region, Access::read_write);
}

}  // namespace procpool::inline v0_1::os
