// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#pragma once

// The file of a module, read piece by piece: a mapping would raise SIGBUS as soon as the file is
// truncated. Its contents are not believed: a damaged or missing file counts as empty. An object
// belongs to one thread at a time; a crash leaves nothing.

#include <elf.h>
#include <link.h>

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "identity/module.hpp"
#include "os/fd.hpp"

namespace procpool::inline v0_1::identity {

class ElfFile {
 public:
  // Sets errno if there is no readable file.
  explicit ElfFile(char const* path);

  explicit operator bool() const noexcept { return static_cast<bool>(fd_); }
  ElfW(Ehdr) const& header() const noexcept { return header_; }
  std::span<ElfW(Phdr) const> segments() const noexcept { return segments_; }

  // The identity of a module that is loaded from this file; none if it cannot be loaded.
  BuildId build() const;

  // Returns how many bytes were there, up to the size of `into`.
  template <class T>
  std::size_t read(std::uint64_t offset, std::span<T> into) const {
    return read_bytes(offset, std::as_writable_bytes(into)) / sizeof(T);
  }
  // All of these bytes, or none.
  template <class T>
  std::vector<T> table(std::uint64_t offset, std::size_t count) const {
    std::vector<T> entries(count);
    if (read(offset, std::span(entries)) != count) entries.clear();
    return entries;
  }

 private:
  std::size_t read_bytes(std::uint64_t offset, std::span<std::byte> into) const;
  bool loads(ElfW(Phdr) const& part) const noexcept;

  os::UniqueFd fd_;
  ElfW(Ehdr) header_ {};
  std::vector<ElfW(Phdr)> segments_;
};

}  // namespace procpool::inline v0_1::identity
