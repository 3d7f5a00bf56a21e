// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// Reading program headers, build-id notes and /proc/thread-self/maps. Inside the callback, under
// the loader's lock, only memory of the module is read; files are looked at afterwards. Any thread;
// a crash leaves nothing.
#include "identity/images.hpp"

#include <elf.h>
#include <link.h>
#include <sys/auxv.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>

#include <climits>
#include <cstddef>
#include <cstring>
#include <exception>
#include <span>

#include "identity/mapped_files.hpp"

namespace procpool::inline v0_1::identity {
namespace {

struct Scan {
  std::vector<Image> images;
  Generation seen;
  std::optional<std::uintptr_t> only_around;
  std::uintptr_t vdso = 0;
  std::size_t index = 0;
  std::exception_ptr failed;
};

constexpr std::uint64_t round_up(std::uint64_t value, std::uint64_t to) {
  return (value + to - 1) / to * to;
}

bool within(std::uint64_t begin, std::uint64_t end, std::uint64_t at, std::uint64_t size) {
  return at >= begin && at < end && size <= end - at;
}

bool holds(Image const& image, std::uint64_t begin, std::uint64_t size) {
  return std::ranges::any_of(
      image.segments, [&](Image::Segment const& s) { return within(s.begin, s.end, begin, size); });
}

void take(Scan& scan, dl_phdr_info const& info) {
  Image image;
  image.main_program = scan.index++ == 0;
  image.base = static_cast<std::uintptr_t>(info.dlpi_addr);
  std::span<ElfW(Phdr) const> const headers(info.dlpi_phdr, info.dlpi_phnum);
  for (auto const& h : headers) {
    image.has_loader = image.has_loader || h.p_type == PT_INTERP;
    if (h.p_type == PT_GNU_RELRO) {
      image.relro_begin = h.p_vaddr;
      image.relro_end = h.p_vaddr + h.p_memsz;
    }
    if (h.p_type != PT_LOAD) continue;
    image.segments.push_back({h.p_vaddr, h.p_vaddr + h.p_memsz, (h.p_flags & PF_X) != 0,
                              (h.p_flags & PF_R) != 0, (h.p_flags & PF_W) != 0});
  }
  if (image.segments.empty()) return;
  if (scan.vdso != 0 && image.base + image.segments.front().begin == scan.vdso) return;
  if (scan.only_around && !holds(image, *scan.only_around - image.base, 1)) return;
  for (auto const& h : headers) {
    // Only notes that were loaded with the module are there to be read.
    if (h.p_type != PT_NOTE || !holds(image, h.p_vaddr, h.p_memsz)) continue;
    auto const* const notes = reinterpret_cast<std::byte const*>(image.base + h.p_vaddr);
    image.id = build_id_in({notes, h.p_memsz}, h.p_align);
    if (image.id.kind() != BuildId::Kind::none) break;
  }
  if (info.dlpi_name != nullptr) image.path = info.dlpi_name;
  scan.images.push_back(std::move(image));
}

constexpr std::size_t with_counters =
    offsetof(dl_phdr_info, dlpi_subs) + sizeof(dl_phdr_info::dlpi_subs);

// The loader's frames are no place for an exception to fly through.
int visit(dl_phdr_info* info, std::size_t size, void* data) noexcept {
  auto& scan = *static_cast<Scan*>(data);
  if (size >= with_counters) scan.seen = {info->dlpi_adds, info->dlpi_subs};
  try {
    take(scan, *info);
  } catch (...) {
    scan.failed = std::current_exception();
    return 1;
  }
  return scan.only_around && !scan.images.empty() ? 1 : 0;
}

BuildId identity_of(struct stat const& status) {
  auto const nanoseconds = static_cast<std::uint64_t>(status.st_mtim.tv_sec) * 1'000'000'000U +
                           static_cast<std::uint64_t>(status.st_mtim.tv_nsec);
  return BuildId::from_file(status.st_dev, status.st_ino,
                            static_cast<std::uint64_t>(status.st_size), nanoseconds);
}

std::string own_path() {
  std::array<char, PATH_MAX> buffer;
  ssize_t const n = ::readlink("/proc/thread-self/exe", buffer.data(), buffer.size());
  if (n <= 0) return "/proc/thread-self/exe";
  std::string path(buffer.data(), static_cast<std::size_t>(n));
  cut_deleted(path);
  return path;
}

// Path and, without a note, file identity: all that needs system calls.
void complete(Image& image) {
  bool const no_note = image.id.kind() == BuildId::Kind::none;
  if (image.main_program) {
    image.path = own_path();
    // The link leads to the file that really runs, also after it was renamed or deleted.
    if (no_note) image.id = file_identity("/proc/thread-self/exe");
    return;
  }
  // Paths stay as the loader found them: resolving links would hide that one now leads elsewhere.
  bool const relative = !image.path.starts_with('/');
  if (!relative && !no_note) return;
  auto const mapped =
      mapped_file(image.base + static_cast<std::uintptr_t>(image.segments.front().begin));
  if (relative && mapped) image.path = mapped->path;
  if (!no_note) return;
  // Of a file that is no longer under its name, only the inode is known: an identity that no
  // freshly opened module can have.
  image.id = mapped && mapped->deleted ? BuildId::from_file(0, mapped->inode, 0, 0)
                                       : file_identity(image.path.c_str());
}

Scan run(std::optional<std::uintptr_t> only_around) {
  Scan scan;
  scan.only_around = only_around;
  scan.vdso = static_cast<std::uintptr_t>(::getauxval(AT_SYSINFO_EHDR));
  ::dl_iterate_phdr(visit, &scan);
  if (scan.failed) std::rethrow_exception(scan.failed);
  for (Image& image : scan.images) complete(image);
  return scan;
}

}  // namespace

BuildId build_id_in(std::span<std::byte const> all, std::uint64_t align) {
  std::byte const* const notes = all.data();
  std::uint64_t const size = all.size();
  std::uint64_t const step = align == 8 ? 8 : 4;
  std::uint64_t at = 0;
  while (size - at >= sizeof(ElfW(Nhdr))) {
    ElfW(Nhdr) header;
    std::memcpy(&header, notes + at, sizeof header);
    std::uint64_t const name = at + sizeof header;
    std::uint64_t const content = round_up(name + header.n_namesz, step);
    std::uint64_t const end = content + header.n_descsz;
    if (end > size) break;
    if (header.n_type == NT_GNU_BUILD_ID && header.n_namesz == 4 &&
        std::memcmp(notes + name, "GNU", 4) == 0) {
      return BuildId::from_note({notes + content, header.n_descsz});
    }
    at = round_up(end, step);
    if (at > size) break;
  }
  return {};
}

BuildId file_identity(char const* path) {
  struct stat status{};
  return ::stat(path, &status) == 0 ? identity_of(status) : BuildId{};
}

BuildId file_identity(int fd) {
  struct stat status{};
  return ::fstat(fd, &status) == 0 ? identity_of(status) : BuildId{};
}

bool Image::executable_at(std::uint64_t offset) const noexcept {
  for (Segment const& s : segments) {
    if (s.executable && offset >= s.begin && offset < s.end) return true;
  }
  return false;
}

bool Image::data_at(std::uint64_t offset, std::uint64_t size) const noexcept {
  return std::ranges::any_of(segments, [&](Segment const& s) {
    return s.readable && !s.executable && within(s.begin, s.end, offset, size);
  });
}

bool Image::constant_at(std::uint64_t offset, std::uint64_t size) const noexcept {
  return within(relro_begin, relro_end, offset, size) ||
         std::ranges::any_of(segments, [&](Segment const& s) {
           return s.readable && !s.writable && within(s.begin, s.end, offset, size);
         });
}

Generation generation() {
  Generation now;
  ::dl_iterate_phdr(
      [](dl_phdr_info* info, std::size_t size, void* data) noexcept {
        if (size >= with_counters) {
          *static_cast<Generation*>(data) = {info->dlpi_adds, info->dlpi_subs};
        }
        return 1;  // every entry carries the same counters
      },
      &now);
  return now;
}

std::vector<Image> all_images(Generation& seen) {
  Scan scan = run(std::nullopt);
  seen = scan.seen;
  return std::move(scan.images);
}

std::optional<Image> image_around(void const* address, Generation& seen) {
  Scan scan = run(reinterpret_cast<std::uintptr_t>(address));
  seen = scan.seen;
  if (scan.images.empty()) return std::nullopt;
  return std::move(scan.images.front());
}

}  // namespace procpool::inline v0_1::identity
