// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#include "identity/elf_file.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "identity/images.hpp"

namespace procpool::inline v0_1::identity {
namespace {

constexpr std::size_t max_note_bytes = 65'536;

}  // namespace

// Not held up by what is no file, should a path lead there.
ElfFile::ElfFile(char const* path) : fd_(::open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)) {
  struct stat status{};
  if (!fd_ || ::fstat(fd_.get(), &status) != 0 || !S_ISREG(status.st_mode)) return;
  if (read(0, std::span(&header_, 1)) != 1 || std::memcmp(header_.e_ident, ELFMAG, SELFMAG) != 0 ||
      header_.e_phentsize != sizeof(ElfW(Phdr))) {
    header_ = {};
    return;
  }
  segments_ = table<ElfW(Phdr)>(header_.e_phoff, header_.e_phnum);
}

// As images.cpp sees it in memory: only notes that are loaded count.
BuildId ElfFile::build() const {
  if (std::ranges::none_of(segments_, [](auto const& s) { return s.p_type == PT_LOAD; })) return {};
  for (ElfW(Phdr) const& part : segments_) {
    if (part.p_type != PT_NOTE || part.p_filesz > max_note_bytes || !loads(part)) continue;
    auto const notes = table<std::byte>(part.p_offset, part.p_filesz);
    BuildId const found = build_id_in(notes, part.p_align);
    if (found.kind() != BuildId::Kind::none) return found;
  }
  return file_identity(fd_.get());
}

bool ElfFile::loads(ElfW(Phdr) const& part) const noexcept {
  return std::ranges::any_of(segments_, [&part](ElfW(Phdr) const& s) {
    return s.p_type == PT_LOAD && part.p_vaddr >= s.p_vaddr &&
           part.p_vaddr - s.p_vaddr < s.p_memsz &&
           part.p_memsz <= s.p_memsz - (part.p_vaddr - s.p_vaddr);
  });
}

std::size_t ElfFile::read_bytes(std::uint64_t offset, std::span<std::byte> into) const {
  std::size_t there = 0;
  while (there < into.size()) {
    ssize_t const got = ::pread(fd_.get(), into.data() + there, into.size() - there,
                                static_cast<off_t>(offset + there));
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) break;
    there += static_cast<std::size_t>(got);
  }
  return there;
}

}  // namespace procpool::inline v0_1::identity
