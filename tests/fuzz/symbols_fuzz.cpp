// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// Symbol tables of a file that is not what it seems.

#include <sys/mman.h>
#include <unistd.h>

#include <elf.h>

#include <string>

#include "fuzz/fuzz.hpp"
#include "identity/symbols.hpp"
#include "os/fd.hpp"

namespace {

// A file with one function, as small as can be.
struct Tiny {
  Elf64_Ehdr header{};
  Elf64_Phdr load{};
  Elf64_Phdr notes{};
  Elf64_Shdr none{};
  Elf64_Shdr symbols{};
  Elf64_Shdr strings{};
  struct {
    Elf64_Nhdr header{4, 4, NT_GNU_BUILD_ID};
    std::array<char, 4> name{'G', 'N', 'U', 0};
    std::array<char, 4> id{1, 2, 3, 4};
  } note;
  Elf64_Sym symbol{};
  std::array<char, 8> names{0, '_', 'Z', '1', 'f', 'v', 0, 0};

  Tiny() {
    std::memcpy(header.e_ident, ELFMAG, SELFMAG);
    header.e_phoff = offsetof(Tiny, load);
    header.e_phentsize = sizeof(Elf64_Phdr);
    header.e_phnum = 2;
    header.e_shoff = offsetof(Tiny, none);
    header.e_shentsize = sizeof(Elf64_Shdr);
    header.e_shnum = 3;
    load.p_type = PT_LOAD;
    load.p_vaddr = 0x1000;
    load.p_filesz = sizeof(Tiny);
    load.p_memsz = sizeof(Tiny);
    notes.p_type = PT_NOTE;
    notes.p_offset = offsetof(Tiny, note);
    notes.p_vaddr = load.p_vaddr + offsetof(Tiny, note);
    notes.p_filesz = sizeof note;
    notes.p_memsz = sizeof note;
    notes.p_align = 4;
    symbols.sh_type = SHT_SYMTAB;
    symbols.sh_offset = offsetof(Tiny, symbol);
    symbols.sh_size = sizeof symbol;
    symbols.sh_link = 2;
    strings.sh_offset = offsetof(Tiny, names);
    strings.sh_size = sizeof names;
    symbol.st_name = 1;
    symbol.st_info = STT_FUNC;
    symbol.st_shndx = 1;
    symbol.st_value = 0x1000;
    symbol.st_size = 64;
  }
};

procpool::identity::BuildId build() {
  std::array<std::byte, 4> const id{std::byte{1}, std::byte{2}, std::byte{3}, std::byte{4}};
  return procpool::identity::BuildId::from_note(id);
}

}  // namespace

void fuzz::run(std::span<std::byte const> input) {
  procpool::os::UniqueFd const file(::memfd_create("module", MFD_CLOEXEC));
  if (::write(file.get(), input.data(), input.size()) != static_cast<ssize_t>(input.size())) return;
  std::string const path = "/proc/self/fd/" + std::to_string(file.get());
  std::array<std::uint64_t, 3> const offsets{8, 4096, ~std::uint64_t{0}};
  auto const names = procpool::identity::function_names(path.c_str(), build(), offsets);
  require(names.size() == offsets.size(), "there is a name, or none, for each offset");
  for (std::string const& name : names) require(name.size() < 1u << 20, "a name is no novel");
}

std::vector<fuzz::Bytes> fuzz::seeds() {
  Tiny const tiny;
  auto const bytes = std::as_bytes(std::span(&tiny, 1));
  std::uint64_t const offset = 8;
  // The seed is one: it has a name.
  procpool::os::UniqueFd const file(::memfd_create("module", MFD_CLOEXEC));
  static_cast<void>(!::write(file.get(), bytes.data(), bytes.size()));
  std::string const path = "/proc/self/fd/" + std::to_string(file.get());
  require(
      procpool::identity::function_names(path.c_str(), build(), std::span(&offset, 1)).front() ==
          "f()",
      "the seed is a module");
  return {Bytes(bytes.begin(), bytes.end())};
}
