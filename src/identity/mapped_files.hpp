// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#pragma once

// The files that are mapped into this process, as /proc/thread-self/maps tells. The kernel knows
// the file itself, not a path that may lead elsewhere by now. Any thread may call; the answers are
// copies and may be out of date at once. A crash leaves nothing.

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace procpool::inline v0_1::identity {

struct MappedFile {
  std::uintptr_t begin = 0;
  std::uintptr_t end = 0;
  std::uint64_t device = 0;  // major number above 32 bits of minor
  std::uint64_t inode = 0;
  std::string path;
  bool deleted = false;
};

std::vector<MappedFile> mapped_files();
std::optional<MappedFile> mapped_file(std::uintptr_t address);

// Takes the kernel's mark of a deleted file off its path.
bool cut_deleted(std::string& path);

}  // namespace procpool::inline v0_1::identity
