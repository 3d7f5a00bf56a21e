// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#pragma once

// Regions of address space that begin at a multiple of their size, so that an address inside leads
// to the begin of its region. Memory comes with the first touch. A crash leaves nothing. Any
// thread.

#include <cstddef>
#include <span>

namespace procpool::inline v0_1::os {

// `bytes`: a power of two, at least a page. Throws std::bad_alloc.
std::span<std::byte> map_region(std::size_t bytes);
void unmap_region(std::span<std::byte> region) noexcept;

// Gets the memory of all of it at once, in huge pages if the kernel has them. A matter of speed
// only.
void fill_region(std::span<std::byte> region) noexcept;

}  // namespace procpool::inline v0_1::os
