// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#pragma once

// The modules that are loaded into this process, as dl_iterate_phdr and /proc tell: their
// addresses, their executable parts, and their builds. The part of identity/module that reads the
// system; other code uses that. Any thread may call. The answers are copies, which are out of date
// as soon as another thread opens or closes a module. A crash leaves nothing.

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "identity/module.hpp"

namespace procpool::inline v0_1::identity {

// Changes whenever a module is loaded or unloaded.
struct Generation {
  std::uint64_t loads = 0;
  std::uint64_t unloads = 0;
  friend bool operator==(Generation const&, Generation const&) noexcept = default;
};

Generation generation();

struct Image {
  struct Segment {
    std::uint64_t begin, end;  // offsets from base
    bool executable;
    bool readable;
    bool writable;
  };

  std::string path;
  std::uintptr_t base = 0;  // added to the addresses in the file; 0 for a non-PIE program
  std::vector<Segment> segments;
  // The part of a writable segment that is read-only once the module is loaded.
  std::uint64_t relro_begin = 0;
  std::uint64_t relro_end = 0;
  BuildId id;
  bool main_program = false;
  bool has_loader = false;  // of the main program: false when it is statically linked

  bool executable_at(std::uint64_t offset) const noexcept;
  // Do so many bytes from there lie in variables or constants; in memory that nothing can write?
  bool data_at(std::uint64_t offset, std::uint64_t size) const noexcept;
  bool constant_at(std::uint64_t offset, std::uint64_t size) const noexcept;
};

// All images, the main program first, without the vdso; and the generation that they belong to.
std::vector<Image> all_images(Generation& seen);

// The image whose segments hold the address.
std::optional<Image> image_around(void const* address, Generation& seen);

// The build-id among notes that lie one behind the other.
BuildId build_id_in(std::span<std::byte const> notes, std::uint64_t align);

// The replacement of the build-id for a file that has none.
BuildId file_identity(char const* path);
BuildId file_identity(int fd);

}  // namespace procpool::inline v0_1::identity
