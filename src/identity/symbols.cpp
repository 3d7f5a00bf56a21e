// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#include "identity/symbols.hpp"

#include <cxxabi.h>
#include <elf.h>
#include <link.h>

#include <algorithm>
#include <cstddef>
#include <cstdlib>
#include <memory>
#include <optional>

#include "identity/elf_file.hpp"

namespace procpool::inline v0_1::identity {
namespace {

using Segment = ElfW(Phdr);
using Section = ElfW(Shdr);
using Symbol = ElfW(Sym);

constexpr std::size_t max_name_bytes = 16 * 1024;
constexpr std::size_t symbols_at_once = 4'096;

std::optional<std::uint64_t> address_of(std::uint64_t offset, std::span<Segment const> segments) {
  for (Segment const& segment : segments) {
    if (segment.p_type == PT_LOAD && offset >= segment.p_offset &&
        offset - segment.p_offset < segment.p_filesz) {
      return offset - segment.p_offset + segment.p_vaddr;
    }
  }
  return std::nullopt;
}

struct Wanted {
  std::uint64_t address;
  std::size_t index;       // whose it is
  std::uint64_t name = 0;  // where it is among the names; 0: not found
  std::uint64_t size = 0;  // of the function
};

// `wanted` is in the order of addresses, because a program may have a million symbols; not empty.
void find(ElfFile const& file, Section const& symbols, std::span<Wanted> wanted) {
  std::uint64_t const first = wanted.front().address;
  std::uint64_t const last = wanted.back().address;
  std::uint64_t const count = symbols.sh_size / sizeof(Symbol);
  std::vector<Symbol> some(symbols_at_once);
  for (std::uint64_t at = 0; at < count;) {
    std::size_t const ask = std::min<std::uint64_t>(count - at, some.size());
    std::size_t const got =
        file.read(symbols.sh_offset + at * sizeof(Symbol), std::span(some).first(ask));
    for (Symbol const& symbol : std::span(some).first(got)) {
      auto const type = symbol.st_info & 0xf;  // ELF64_ST_TYPE, which is the same for both sizes
      if ((type != STT_FUNC && type != STT_GNU_IFUNC) || symbol.st_shndx == SHN_UNDEF) continue;
      if (symbol.st_value > last) continue;
      if (symbol.st_value <= first && first - symbol.st_value >= symbol.st_size) continue;
      auto one = std::ranges::lower_bound(wanted, symbol.st_value, {}, &Wanted::address);
      for (; one != wanted.end() && one->address - symbol.st_value < symbol.st_size; ++one) {
        if (one->name != 0 && symbol.st_size >= one->size) continue;
        one->name = symbol.st_name;
        one->size = symbol.st_size;
      }
    }
    if (got < ask) return;
    at += got;
  }
}

std::string name_at(ElfFile const& file, Section const& names, std::uint64_t at) {
  if (at == 0 || at >= names.sh_size) return {};
  std::string text(std::min<std::uint64_t>(names.sh_size - at, max_name_bytes), '\0');
  text.resize(file.read(names.sh_offset + at, std::span(text)));
  text.resize(std::min(text.find('\0'), text.size()));
  int status = 0;
  std::unique_ptr<char, decltype(&std::free)> const readable(
      abi::__cxa_demangle(text.c_str(), nullptr, nullptr, &status), std::free);
  return readable != nullptr ? std::string(readable.get()) : text;
}

}  // namespace

std::vector<std::string> function_names(char const* path, BuildId const& build,
                                        std::span<std::uint64_t const> offsets) {
  std::vector<std::string> found(offsets.size());
  ElfFile const file(path);
  if (build.kind() == BuildId::Kind::none || file.build() != build ||
      file.header().e_shentsize != sizeof(Section)) {
    return found;
  }
  auto const segments = file.segments();
  auto const sections = file.table<Section>(file.header().e_shoff, file.header().e_shnum);

  // A stripped file still has the table of its exports.
  for (auto const type : {SHT_SYMTAB, SHT_DYNSYM}) {
    std::vector<Wanted> wanted;
    for (std::size_t i = 0; i < offsets.size(); ++i) {
      if (!found[i].empty()) continue;
      if (auto const address = address_of(offsets[i], segments)) wanted.push_back({*address, i});
    }
    if (wanted.empty()) break;
    std::ranges::sort(wanted, {}, &Wanted::address);
    for (Section const& symbols : sections) {
      if (symbols.sh_type != static_cast<decltype(symbols.sh_type)>(type) ||
          symbols.sh_link >= sections.size()) {
        continue;
      }
      find(file, symbols, wanted);
      for (Wanted const& one : wanted) {
        if (found[one.index].empty() && one.name != 0) {
          found[one.index] = name_at(file, sections[symbols.sh_link], one.name);
        }
      }
    }
  }
  return found;
}

}  // namespace procpool::inline v0_1::identity
