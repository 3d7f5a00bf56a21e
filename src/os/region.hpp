#pragma once

// Address space of the process's own that begins at a multiple of its size, so that what lies in it finds its
// beginning. Memory comes with the first touch, as everywhere. A crash leaves nothing. Any thread.

#include <cstddef>
#include <span>

namespace procpool::inline v0::os {

// `bytes`: a power of two, of at least a page. Throws std::bad_alloc.
std::span<std::byte> map_region(std::size_t bytes);
void unmap_region(std::span<std::byte> region) noexcept;

// All of it will be used soon: the kernel gives it at once, in huge pages where it has them. Only a matter
// of speed.
void fill_region(std::span<std::byte> region) noexcept;

}  // namespace procpool::inline v0::os
