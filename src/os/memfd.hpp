// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#pragma once

// Anonymous shared memory. A memfd has no name that could outlive its users: the memory goes with
// the last descriptor and the last mapping, whichever process dies first. Any thread may call
// anything; two threads that write the same range must agree themselves.
//
// Memory is allocated when the file is made. So a shortage is an exception here, and not a SIGBUS
// at a later touch, if the size is sealed before another process gets the descriptor. (Two
// processes that allocate large pieces at the same time, and the memory limit of a cgroup, can
// still meet the out-of-memory killer.)

#include <fcntl.h>
#include <sys/stat.h>

#include <boost/interprocess/detail/os_file_functions.hpp>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

#include "os/fd.hpp"

namespace procpool::inline v0_1::os {

// Which file a descriptor or a mapping refers to, whatever its number or address.
struct FileIdentity {
  dev_t device = 0;
  ino_t inode = 0;

  bool operator==(FileIdentity const&) const = default;
};

class Memfd {
 public:
  // `name` is for /proc/<pid>/maps only. All `size` bytes are zero and have memory behind them.
  static Memfd create(char const* name, std::uint64_t size);

  // All `size` bytes are zero, and none has memory yet: see allocate().
  static Memfd create_sparse(char const* name, std::uint64_t size);

  // Of size 0; write_at makes it grow.
  static Memfd create_growing(char const* name);

  // Takes over a descriptor, for example one that was received. It may be any regular file.
  explicit Memfd(UniqueFd fd) noexcept : fd_(std::move(fd)) {}
  Memfd() noexcept = default;

  int fd() const noexcept { return fd_.get(); }
  explicit operator bool() const noexcept { return static_cast<bool>(fd_); }
  UniqueFd duplicate() const { return os::duplicate(fd_.get()); }

  std::uint64_t size() const;

  FileIdentity identity() const;

  // Adds F_SEAL_* bits; they can never be taken off again.
  void seal(int seals);

  // The same, but false if the file is in use in a way that a seal would forbid: it is mapped for
  // writing, or the kernel holds a page of it for a moment.
  bool try_seal(int seals);

  // True for ordinary memory (no huge pages) with all these seals. With F_SEAL_SHRINK no access
  // to its bytes ends with SIGBUS, unless the machine has no memory. Throws if the system cannot
  // say.
  bool is_memory_with(int seals) const;

  // Another descriptor, through which nobody can write, nor map for writing. Needs /proc.
  Memfd reopen_read_only() const;

  // The F_SEAL_* bits, or -1 for a file that knows no seals. Test for the bits that are needed: on
  // newer kernels a memfd carries F_SEAL_EXEC from the start.
  int seals() const noexcept;

  // Gets memory for a range, which keeps its bytes. Throws when there is none.
  void allocate(std::uint64_t offset, std::uint64_t size);

  // Gives the memory of the whole pages of a range back; the bytes of the range are zero then. A
  // matter of memory only: a refusal is ignored.
  void discard(std::uint64_t offset, std::uint64_t size) noexcept;

  struct Range {
    std::uint64_t begin;
    std::uint64_t end;
  };
  // The first range from this offset on that has memory, in whole pages; nothing: none has. What
  // lies between such ranges is zero.
  std::optional<Range> next_data(std::uint64_t offset) const;

  // Whole ranges of any size: the calls are repeated after signals and above the kernel's limit
  // per call. Reading past the end throws.
  void write_at(std::span<std::byte const> bytes, std::uint64_t offset);
  void read_at(std::span<std::byte> bytes, std::uint64_t offset) const;

  // Boost.Interprocess requires this of a memory-mappable object.
  boost::interprocess::mapping_handle_t get_mapping_handle() const noexcept {
    return boost::interprocess::ipcdetail::mapping_handle_from_file_handle(fd_.get());
  }

 private:
  UniqueFd fd_;
};

// A write-sealed memory file with these bytes: nobody can change them, or cut them off, any more.
Memfd sealed_copy(char const* name, std::span<std::byte const> bytes);

}  // namespace procpool::inline v0_1::os
