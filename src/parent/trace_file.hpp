// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#pragma once

// TraceFile: a file in the Chrome trace event format, which the pools of this process share. Events
// are kept in memory of a fixed size, and a thread of the file writes them. What finds no room is
// counted, and the trace says so.
//
// Any thread may add. If the process dies, the file has what was added up to a tenth of a second
// before, in whole lines: no line goes across the border of a page, and a write ends early at such a
// border only. The format needs no closing bracket.

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <thread>

#include <procpool/detail/engine/mutex.hpp>

#include "os/fd.hpp"

namespace procpool::inline v0_1::parent {

class TraceFile {
 public:
  static constexpr std::size_t page = 4096;
  static constexpr std::size_t max_line =
      page - 2;  // of an event: a comma and an end of line go with it
  static constexpr std::size_t room = std::size_t{2} << 20;  // for events that are not written

  // The file that the path names in this process. `%p` is the number of the process. A file that another
  // process writes to is left alone, and the number becomes part of the name. What an earlier pool of
  // this process has written there stays. Throws std::runtime_error, and its kind std::system_error.
  static std::shared_ptr<TraceFile> open(std::string const& path);

  TraceFile(TraceFile const&) = delete;
  TraceFile& operator=(TraceFile const&) = delete;
  // Writes what was added.
  ~TraceFile();

  // Adds an event, an object of JSON in one line. Does not wait for the file.
  void add(std::string_view event) noexcept;
  // Blocks until what was added is in the file, or cannot be written.
  void flush() noexcept;
  // Why events are not written. Nothing: they are.
  std::optional<std::string> failure() const;
  std::string const& path() const noexcept { return path_; }
  // A number that no other pool has got in this file, from 0 on.
  unsigned next_pool() noexcept;
  // The name of a row that no other row of this process has got in this file: the one that is wanted, or with a number
  // behind it. After many thousands of names it is the one that is wanted. Throws std::bad_alloc.
  std::string name_for(std::string_view wanted);

 private:
  class Registry;
  struct Known;
  struct Opened {
    os::UniqueFd fd{};
    std::string path{};
    std::uint64_t size = 0;
  };

  TraceFile(Opened opened, Known& known);
  // False: there is no room.
  bool append(std::string_view event) noexcept PROCPOOL_REQUIRES(mutex_);
  void tell_lost() noexcept PROCPOOL_REQUIRES(mutex_);
  void run() noexcept;
  int write(std::string_view text) noexcept;  // the error, or 0

  os::UniqueFd const fd_;
  std::string const path_;
  Known& known_;  // the registry's, for good
  // The thread's alone:
  std::uint64_t written_;  // bytes of the file
  std::string writing_;

  mutable detail::Mutex mutex_{detail::Mutex::Adaptive{}};
  detail::Condition work_;         // wakes the thread
  detail::Condition written_all_;  // wakes flush()
  // Whole lines. Never more than `room`, which is reserved.
  std::string waiting_ PROCPOOL_GUARDED_BY(mutex_);
  std::uint64_t end_ PROCPOOL_GUARDED_BY(mutex_);  // of the file, when these are written
  std::uint64_t lost_ PROCPOOL_GUARDED_BY(mutex_) = 0;
  std::uint64_t asked_ PROCPOOL_GUARDED_BY(mutex_) = 0;     // flushes
  std::uint64_t answered_ PROCPOOL_GUARDED_BY(mutex_) = 0;  // of these
  bool ends_ PROCPOOL_GUARDED_BY(mutex_) = false;
  int error_ PROCPOOL_GUARDED_BY(mutex_) = 0;  // of a write; nothing is written from then on
  std::thread thread_;
};

}  // namespace procpool::inline v0_1::parent
