// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#pragma once

// OutputCapture: a worker's standard output and error, assigned to elements. The worker writes a
// tag into the pipe before each element; the text that follows is that element's.
//
// Owned by the worker's slot, under its mutex. Nothing here blocks; only bytes move. The worker may
// write anything. It can mislead about the output of its own elements, and at most `limit` bytes
// are kept for each element that it has.

#include <array>
#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "os/fd.hpp"

namespace procpool::inline v0_1::parent {

class OutputCapture {
 public:
  // Throws std::system_error.
  explicit OutputCapture(std::size_t limit);

  int fd() const noexcept { return ours_.get(); }
  int workers_end() const noexcept { return theirs_.get(); }
  void forget_workers_end() noexcept { theirs_.reset(); }
  // The begin of each tag. Random, so that other output does not contain it.
  std::string const& token() const noexcept { return token_; }

  // Reads the text that is there now. Tags of serials outside [from, to) are dropped, with the text
  // behind them. False: the other end is closed everywhere.
  bool read(std::uint64_t from, std::uint64_t to);

  // Returns and forgets the text of the elements with serials in [from, to), without those that
  // wrote nothing.
  std::vector<std::pair<std::uint64_t, std::string>> take(std::uint64_t from, std::uint64_t to);

 private:
  struct Text {
    std::string kept;
    std::uint64_t dropped = 0;  // bytes before it
  };
  void parse(std::uint64_t from, std::uint64_t to);
  void add(std::string_view text);

  std::size_t const limit_;
  os::UniqueFd ours_;
  os::UniqueFd theirs_;
  std::string token_;
  std::string unread_;         // may be the begin of a tag
  bool wanted_ = false;        // the text that follows is an element's
  std::uint64_t current_ = 0;  // its serial
  std::map<std::uint64_t, Text> texts_;
};

}  // namespace procpool::inline v0_1::parent
