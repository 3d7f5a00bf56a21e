// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#pragma once

// ProgramView: all pools of a process as lines of text, from one view to the next. One thread.

#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <system_error>
#include <vector>

#include "top/live_view_reader.hpp"
#include "top/pool_table.hpp"

namespace procpool::inline v0_1::top {

class ProgramView {
 public:
  explicit ProgramView(pid_t pid);

  // The pools as they are now, each line cut to so many columns. Blocks until each has answered, or `wait` says that
  // no view is wanted. Throws std::system_error: std::errc::no_such_process if the program has ended.
  std::vector<std::string> lines(std::size_t columns, LiveViewReader::Wait const& wait);

  // A pool was shown, in whatever view.
  bool any() const noexcept { return any_; }
  // Why there is none, as a sentence. After lines().
  std::string const& why_none() const noexcept { return why_none_; }

 private:
  PoolTable::Usages usages_of(protocol::LiveView const& view) const;

  pid_t const pid_;
  bool const in_our_namespace_;
  bool any_ = false;
  std::string why_none_{};
  std::map<std::uint64_t, PoolTable> tables_;  // by LiveViewReader::id
};

}  // namespace procpool::inline v0_1::top
