// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#pragma once

// Trace: what happens in one pool, as events of a TraceFile. The pool has a row, and so has each place
// for a worker. Times are those of the steady clock, which all processes share.
//
// Any thread may call. The mutex is a leaf, beside that of the file. Nothing fails: what finds no
// memory, or no room in the file, is missing in the trace.

#include <sys/types.h>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <procpool/detail/engine/mutex.hpp>
#include <procpool/detail/engine/task.hpp>
#include <procpool/event.hpp>

#include "parent/chunk.hpp"
#include "parent/trace_file.hpp"

namespace procpool::inline v0_1::parent {

class Trace {
 public:
  using TimePoint = std::chrono::steady_clock::time_point;

  // `title`: the wanted name of the pool's row. Workers whose events are those of `pool` are named by it too.
  Trace(std::shared_ptr<TraceFile> file, std::string pool, std::string_view title);

  // The call is about to be queued: the name of its function can be had.
  void learn(detail::Task const& task) noexcept;

  // An attempt at consecutive elements of a task, in a worker.
  struct Attempt {
    std::size_t worker;
    pid_t pid;
    detail::Task const& task;
    std::uint64_t first;
    std::uint64_t count;
    std::string_view outcome;
    bool again;                                   // there will be another attempt
    std::optional<std::chrono::nanoseconds> ran;  // as the worker says; nothing: it never said
    SharedInput::Queued queued;
  };
  // These have ended, in their order, and were answered by now. A worker runs one after the other, so an
  // attempt lies ahead of the next one and behind the one before.
  void attempts(std::vector<Attempt> const& ended, TimePoint now) noexcept;
  // These never began.
  void not_run(detail::Task const& task, std::uint64_t first, std::uint64_t count,
               std::string_view outcome) noexcept;
  void message(std::size_t worker, std::size_t chunks) noexcept;
  void revoked(std::size_t worker, std::uint64_t elements) noexcept;
  void event(Event const& event) noexcept;
  // So many elements wait. Noted when it makes a difference for a picture.
  void waiting(std::uint64_t elements, TimePoint now) noexcept;

  // Blocks until all is in the file. Returns why it is not, or nothing.
  std::optional<std::string> finish() noexcept;
  std::string const& path() const noexcept { return file_->path(); }

 private:
  struct Row {
    std::string name{};  // as it was wanted; empty: it was not used yet
    TimePoint busy{};    // no later attempt began before
  };
  using Names = std::map<std::pair<detail::Trampoline, std::uint64_t>, std::string>;

  class Line;

  // That of a worker, or of one that has this name of its own.
  Row& row(std::size_t worker, std::string_view own = {}) PROCPOOL_REQUIRES(mutex_);
  void name_row(std::uint64_t number, std::string_view name) noexcept;
  // In quotation marks: the label of the task, or its function.
  std::string const& name_of(detail::Task const& task) PROCPOOL_REQUIRES(mutex_);
  std::uint64_t number_of(std::size_t worker) const noexcept { return first_row_ + 1 + worker; }
  void begin(Line& line, std::string_view kind, std::uint64_t row, TimePoint time) const noexcept;
  void write(Attempt const& attempt, TimePoint begin, TimePoint end) noexcept
      PROCPOOL_REQUIRES(mutex_);

  std::shared_ptr<TraceFile> const file_;
  std::string const pool_;
  std::string const title_;        // no other pool of the file has it
  std::uint64_t const first_row_;  // that of the pool
  pid_t const pid_;

  detail::Mutex mutex_;
  std::vector<Row> rows_ PROCPOOL_GUARDED_BY(mutex_);  // of workers
  Names names_ PROCPOOL_GUARDED_BY(mutex_);
  std::uint64_t waiting_ PROCPOOL_GUARDED_BY(mutex_) = 0;  // as it was noted
  TimePoint waiting_noted_ PROCPOOL_GUARDED_BY(mutex_){};
};

}  // namespace procpool::inline v0_1::parent
