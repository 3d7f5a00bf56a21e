// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// Mapping memfds. Any thread. Other threads may map and unmap at the same time, so the second view
// of a ring is never put over memory that another thread may have mapped by now. A crash leaves
// nothing.
#include "os/mapping.hpp"

#include <sys/mman.h>
#include <sys/resource.h>
#include <time.h>

#include <array>
#include <bit>
#include <cerrno>
#include <cstddef>
#include <limits>
#include <new>
#include <string>
#include <utility>

#include <boost/interprocess/exceptions.hpp>

namespace procpool::inline v0_1::os {
namespace {

namespace bip = boost::interprocess;

bip::mode_t mode_of(Access access) {
  switch (access) {
    case Access::read_only: return bip::read_only;
    case Access::read_write: return bip::read_write;
    case Access::private_read: return bip::read_private;
  }
  throw_error(EINVAL, "procpool was asked for an unknown kind of view of shared memory");
}

void hide(void* address, std::size_t bytes) {
  if (::madvise(address, bytes, MADV_DONTFORK) != 0 ||
      ::madvise(address, bytes, MADV_DONTDUMP) != 0) {
    throw_errno("procpool could not keep a view of shared memory out of children and core dumps");
  }
}

bip::mapped_region map(Memfd const& memory, Access access, std::uint64_t offset, std::size_t size) {
  try {
    return bip::mapped_region(memory, mode_of(access), static_cast<bip::offset_t>(offset), size);
  } catch (bip::interprocess_exception const& e) {
    throw_error(e.get_native_error() != 0 ? e.get_native_error() : ENOMEM,
                "procpool could not map " + std::to_string(size) + " bytes of shared memory at " +
                    std::to_string(offset));
  }
}

bip::mapped_region checked_map(Memfd const& memory, Access access, std::uint64_t file_size,
                               std::uint64_t offset, std::uint64_t size, Visibility visibility) {
  if (offset > file_size || size > file_size - offset ||
      size > std::numeric_limits<std::size_t>::max()) {
    throw_error(ERANGE, "procpool could not map " + std::to_string(size) + " bytes at " +
                            std::to_string(offset) + " of shared memory that has " +
                            std::to_string(file_size));
  }
  if (size == 0) return {};  // mapped_region would read 0 as "all the rest"
  auto region = map(memory, access, offset, static_cast<std::size_t>(size));
  if (visibility == Visibility::this_process_only) {
    // madvise wants whole pages.
    std::size_t const page = bip::mapped_region::get_page_size();
    std::size_t const inside = static_cast<std::size_t>(offset) % page;
    hide(static_cast<std::byte*>(region.get_address()) - inside, region.get_size() + inside);
  }
  return region;
}

}  // namespace

Mapping::Mapping(Memfd const& memory, Access access, Visibility visibility) {
  std::uint64_t const size = memory.size();
  region_ = checked_map(memory, access, size, 0, size, visibility);
}

Mapping::Mapping(Memfd const& memory, Access access, std::uint64_t offset, std::size_t size,
                 Visibility visibility)
    : region_(checked_map(memory, access, memory.size(), offset, size, visibility)) {}

// Over pages of this view alone. The system refuses this for want of memory for its own lists, and
// for a file whose seals forbid it.
void Mapping::cover() {
  if (::mmap(data(), size(), PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1,
             0) == MAP_FAILED) {
    throw_errno("procpool could not take a view of shared memory away");
  }
}

void Mapping::show(Memfd const& memory, Access access) {
  constexpr int max_tries = 50;
  int const protection = access == Access::read_write ? PROT_READ | PROT_WRITE : PROT_READ;
  int const sharing = access == Access::private_read ? MAP_PRIVATE : MAP_SHARED;
  for (int tries = 1;; ++tries) {
    if (::mmap(data(), size(), protection, sharing | MAP_FIXED, memory.fd(), 0) != MAP_FAILED)
      return;
    if (errno != ENOMEM || tries == max_tries) {
      throw_errno("procpool could not map " + std::to_string(size()) +
                  " bytes of shared memory in their place");
    }
    timespec const pause{0, 5'000'000};
    ::nanosleep(&pause, nullptr);
  }
}

void enter_pages(std::span<std::byte const> view, Access access) noexcept {
  constexpr int populate_read = 22;  // MADV_POPULATE_*: Linux 5.14, and younger than some headers
  constexpr int populate_write = 23;
  auto const page = bip::mapped_region::get_page_size();
  auto const address = reinterpret_cast<std::uintptr_t>(view.data());
  auto const from = address / page * page;
  ::madvise(reinterpret_cast<void*>(from), address - from + view.size(),
            access == Access::read_write ? populate_write : populate_read);
}

bool addresses_are_limited() noexcept {
  rlimit limit{};
  return ::getrlimit(RLIMIT_AS, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY;
}

namespace {
constexpr int max_attempts = 16;
}

RingMapping::RingMapping(Memfd const& memory, std::size_t control_bytes, std::size_t ring_bytes,
                         Access access) {
  std::size_t const page = bip::mapped_region::get_page_size();
  std::size_t const most = std::numeric_limits<std::size_t>::max() / 8;
  if (access == Access::private_read || control_bytes % page != 0 || ring_bytes % page != 0 ||
      !std::has_single_bit(ring_bytes) || control_bytes > most || ring_bytes > most) {
    throw_error(EINVAL, "procpool cannot map a ring of " + std::to_string(ring_bytes) +
                            " bytes behind " + std::to_string(control_bytes) +
                            " bytes of control words");
  }
  std::uint64_t const size = memory.size();
  if (size < control_bytes || size - control_bytes < ring_bytes) {
    throw_error(ERANGE, "procpool cannot map a ring of " + std::to_string(ring_bytes) +
                            " bytes: its memory has only " + std::to_string(size));
  }
  std::size_t const total = control_bytes + 2 * ring_bytes;
  std::size_t const once = control_bytes + ring_bytes;
  int const protection = access == Access::read_write ? PROT_READ | PROT_WRITE : PROT_READ;
  // The first view has room behind it for the second. That room is unmapped, and then mapped again
  // only if it is still free. Replacing it in one call is no way out: such a call may fail after
  // the old mapping is gone, and the place could then belong to any thread. Another thread may be
  // faster, but not often in a row.
  for (int attempt = 1;; ++attempt) {
    auto whole = map(memory, access, 0, total);
    auto* const base = static_cast<std::byte*>(whole.get_address());
    ::munmap(base + once, ring_bytes);
    void* const second =
        ::mmap(base + once, ring_bytes, protection, MAP_SHARED | MAP_FIXED_NOREPLACE, memory.fd(),
               static_cast<off_t>(control_bytes));
    if (second == base + once) {
      hide(base, total);
      region_ = std::move(whole);
      base_ = base;
      break;
    }
    int const error = second == MAP_FAILED ? errno : EEXIST;
    // A kernel that does not know the flag takes the address as a hint.
    if (second != MAP_FAILED) ::munmap(second, ring_bytes);
    ::munmap(base, once);
    // The destructor would unmap memory of another thread.
    alignas(bip::mapped_region) std::array<std::byte, sizeof(bip::mapped_region)> never_destroyed;
    new (never_destroyed.data()) bip::mapped_region(std::move(whole));
    if (error != EEXIST || attempt == max_attempts) {
      throw_error(error, "procpool could not map " + std::to_string(ring_bytes) +
                             " bytes of shared memory a second time");
    }
  }
  control_bytes_ = control_bytes;
  ring_bytes_ = ring_bytes;
}

RingMapping::RingMapping(RingMapping&& other) noexcept
    : region_(std::move(other.region_)),
      base_(std::exchange(other.base_, nullptr)),
      control_bytes_(std::exchange(other.control_bytes_, 0)),
      ring_bytes_(std::exchange(other.ring_bytes_, 0)) {}

RingMapping& RingMapping::operator=(RingMapping&& other) noexcept {
  if (this != &other) {
    region_ = std::move(other.region_);
    base_ = std::exchange(other.base_, nullptr);
    control_bytes_ = std::exchange(other.control_bytes_, 0);
    ring_bytes_ = std::exchange(other.ring_bytes_, 0);
  }
  return *this;
}

}  // namespace procpool::inline v0_1::os
