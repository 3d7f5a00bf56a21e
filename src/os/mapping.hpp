// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#pragma once

// Views of a Memfd, made by boost::interprocess::mapped_region. `Mapping` is a plain view.
// `RingMapping` shows a file of the form [control pages][ring] with the ring twice in a row, so
// that a frame across the end is one piece of memory. An object belongs to one thread at a time,
// the bytes to all.
//
// The other process may change bytes under a view at any time: copy, then check. A view holds no
// descriptor; its memory lives as long as the view. By default views are left out of forked
// children and of core dumps, which keeps the rings single-producer and dumps small. A crash leaves
// nothing.

#include <boost/interprocess/mapped_region.hpp>

#include <cstddef>
#include <cstdint>
#include <span>

#include "os/memfd.hpp"

namespace procpool::inline v0_1::os {

enum class Access {
  read_only,     // shared: shows what the other side writes; works under F_SEAL_FUTURE_WRITE
  read_write,    // shared
  private_read,  // for write-sealed objects: older kernels refuse a shared view of them
};

enum class Visibility {
  this_process_only,   // MADV_DONTFORK and MADV_DONTDUMP
  children_and_dumps,  // ordinary memory
};

class Mapping {
 public:
  Mapping() noexcept = default;

  // All of the file.
  Mapping(Memfd const& memory, Access access,
          Visibility visibility = Visibility::this_process_only);

  // `size` bytes from `offset`, which must lie inside the file: a view beyond its end would answer
  // a touch with SIGBUS. Any offset will do, it need not be a multiple of the page size.
  Mapping(Memfd const& memory, Access access, std::uint64_t offset, std::size_t size,
          Visibility visibility = Visibility::this_process_only);

  Mapping(Mapping&& other) noexcept = default;
  Mapping& operator=(Mapping&& other) noexcept = default;
  Mapping(Mapping const&) = delete;
  Mapping& operator=(Mapping const&) = delete;
  ~Mapping() = default;

  // Takes the bytes away and keeps the addresses: until show(), each access is a SIGSEGV. Needs no
  // more addresses. Throws, and nothing has changed.
  void cover();
  // Shows the beginning of this file at the addresses of a covered view. As cover(), and retries for a
  // quarter of a second.
  void show(Memfd const& memory, Access access);

  // Writing through the span of a view that is not read_write is a SIGSEGV. Empty for size 0.
  std::span<std::byte> bytes() const noexcept {
    return {static_cast<std::byte*>(region_.get_address()), region_.get_size()};
  }
  std::byte* data() const noexcept { return bytes().data(); }
  std::size_t size() const noexcept { return region_.get_size(); }

 private:
  boost::interprocess::mapped_region region_;
};

// Enters the pages of a view into the page tables at once, which takes a fraction of the time of
// one fault for each. A matter of speed only: older kernels refuse, and nothing happens.
void enter_pages(std::span<std::byte const> view, Access access) noexcept;

// Address space is scarce in this process (RLIMIT_AS): views are not kept longer than they must.
bool addresses_are_limited() noexcept;

class RingMapping {
 public:
  RingMapping() noexcept = default;

  // `control_bytes`: a multiple of the page size, may be 0. `ring_bytes`: a power of two and a
  // multiple of the page size. The file must have both. Access is read_only or read_write.
  RingMapping(Memfd const& memory, std::size_t control_bytes, std::size_t ring_bytes,
              Access access);

  RingMapping(RingMapping&& other) noexcept;
  RingMapping& operator=(RingMapping&& other) noexcept;
  RingMapping(RingMapping const&) = delete;
  RingMapping& operator=(RingMapping const&) = delete;
  ~RingMapping() = default;

  explicit operator bool() const noexcept { return base_ != nullptr; }
  std::byte* control() const noexcept { return base_; }
  std::size_t control_bytes() const noexcept { return control_bytes_; }

  // ring()[i] and ring()[i + ring_bytes()] are the same byte, for 0 <= i < ring_bytes().
  std::byte* ring() const noexcept { return base_ + control_bytes_; }
  std::size_t ring_bytes() const noexcept { return ring_bytes_; }

 private:
  // The control pages with the ring behind them, and the addresses of the ring's second view.
  boost::interprocess::mapped_region region_;
  std::byte* base_ = nullptr;
  std::size_t control_bytes_ = 0;
  std::size_t ring_bytes_ = 0;
};

}  // namespace procpool::inline v0_1::os
