#pragma once

// OutputCapture: what a worker writes to its standard output and error, told apart by the element that ran. The
// worker writes a mark into the pipe before each element; what follows is that element's.
//
// Owned by the worker's slot, under its mutex. Nothing here blocks; only bytes move. The worker may write
// what it likes: it can mislead about its own elements' output, and no more is kept than `limit` bytes for
// each element that it has.

#include <array>
#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "os/fd.hpp"

namespace procpool::inline v0::parent {

class OutputCapture {
 public:
  // Throws std::system_error when there is no pipe.
  explicit OutputCapture(std::size_t limit);

  int fd() const noexcept { return ours_.get(); }
  int workers_end() const noexcept { return theirs_.get(); }
  void forget_workers_end() noexcept { theirs_.reset(); }
  // What marks begin with: a stranger to all other output.
  std::string const& token() const noexcept { return token_; }

  // Reads what is there now, but for marks of serials outside [from, to) and what follows them. False: nobody
  // has the other end any more.
  bool read(std::uint64_t from, std::uint64_t to);

  // What the elements with serials in [from, to) wrote; not those that wrote nothing. Forgets it.
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
  std::string unread_;         // what may be the begin of a mark
  bool wanted_ = false;        // what follows is an element's
  std::uint64_t current_ = 0;  // its serial
  std::map<std::uint64_t, Text> texts_;
};

}  // namespace procpool::inline v0::parent
