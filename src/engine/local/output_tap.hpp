#pragma once

// OutputTap: what a worker writes to its standard output and error, told apart by the element that ran. The
// worker writes a mark into the pipe before each element; what follows is that element's.
//
// Owned by the worker's slot, under its mutex. Nothing here blocks; only bytes move. The worker may write
// what it likes: it can mislead about its own elements' output, and no more is kept than `limit` bytes for
// each element that it has.

#include <sys/types.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "os/fd.hpp"

namespace procpool::inline v0::local {

class OutputTap {
 public:
  // Throws std::system_error when there is no pipe.
  explicit OutputTap(std::size_t limit);

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

// The worker's side.
class OutputMarks {
 public:
  OutputMarks() = default;
  // `pipe` is a descriptor of its own, which tasks do not come across.
  OutputMarks(os::UniqueFd pipe, std::string token);

  bool used() const noexcept { return static_cast<bool>(pipe_); }
  void begin(std::uint64_t serial) noexcept;
  // What the element wrote is on its way when this returns. True: another process has what it wrote to (something
  // that it has started, and left behind), so that what comes from now on may not be the next element's.
  bool end() noexcept;

 private:
  bool is_pipe(int fd) const noexcept;
  // The same pipe by a new description. Is the one before still open somewhere?
  bool renew() noexcept;

  os::UniqueFd pipe_;
  dev_t device_ = 0;  // of the pipe, as the next
  ino_t inode_ = 0;
  std::string mark_;
};

}  // namespace procpool::inline v0::local
