// The file of a module, read piece by piece: what is mapped would be a SIGBUS as soon as somebody cuts it short. Nothing of
// it is believed: a damaged file, or none at all, is one that has nothing in it. One object belongs to one thread
// at a time; a crash leaves nothing.
#pragma once

#include <elf.h>
#include <link.h>

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "identity/module.hpp"
#include "os/fd.hpp"

namespace procpool::inline v0::identity {

class ElfFile {
 public:
  // Sets errno when there is no such file that can be read.
  explicit ElfFile(char const* path);

  explicit operator bool() const noexcept { return static_cast<bool>(fd_); }
  ElfW(Ehdr) const& header() const noexcept { return header_; }
  std::span<ElfW(Phdr) const> inputs() const noexcept { return inputs_; }

  // What a module that is loaded from it will have for its identity; none if it cannot be loaded.
  BuildId build() const;

  // How much of it there is, up to the size of `into`.
  template <class T>
  std::size_t read(std::uint64_t offset, std::span<T> into) const {
    return read_bytes(offset, std::as_writable_bytes(into)) / sizeof(T);
  }
  // So many or none.
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
  std::vector<ElfW(Phdr)> inputs_;
};

}  // namespace procpool::inline v0::identity
