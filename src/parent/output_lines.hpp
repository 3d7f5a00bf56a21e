// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#pragma once

// LineSink: what all workers of a pool have written with Output::lines, as whole lines, on their
// way to the program's own standard output and error.
// OutputLines: the standard output and error of one worker, cut into lines.
//
// For the dispatcher's thread alone. Nothing here blocks: while the program's output takes nothing,
// the workers' pipes are not read, and fill up. A crash of a worker leaves its last line, which
// then gets an end.

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include <procpool/detail/engine/deadline.hpp>

#include "os/fd.hpp"
#include "os/poller.hpp"

namespace procpool::inline v0_1::parent {

class LineSink {
 public:
  using TimePoint = detail::TimePoint;
  enum Stream : std::size_t { out, error, streams };

  // False: so much waits already that nothing more is to be read.
  bool takes_more() const noexcept;
  void add(Stream stream, std::string_view lines);
  // Writes what can be written now. Returns the time of the next attempt. Nothing: all is written.
  std::optional<TimePoint> flush(TimePoint now);
  // Bytes that are not written.
  std::size_t waiting() const noexcept { return waiting_[out].size() + waiting_[error].size(); }

 private:
  std::array<std::string, streams> waiting_;
};

class OutputLines {
 public:
  // `tag`: ahead of each line. Throws std::system_error.
  explicit OutputLines(std::string tag = {});

  int workers_end(LineSink::Stream stream) const noexcept { return pipes_[stream].theirs.get(); }
  void forget_workers_ends() noexcept;

  // Has the poller name both streams by this key. Throws std::system_error.
  void watch(os::Poller& poller, std::uint64_t key);
  // The poller has named the key, or a sink that took nothing more may take more. Moves the lines
  // that are there to the sink.
  void read(LineSink& sink);
  // read() has left lines, because the sink took no more.
  bool paused() const noexcept { return paused_; }
  // The worker is gone. Moves the rest too. The poller names the key no more.
  void finish(LineSink& sink);

 private:
  struct Pipe {
    os::UniqueFd ours;
    os::UniqueFd theirs;
    std::string line;      // that has no end yet
    bool watched = false;  // by the poller
    bool in_line = false;  // a piece of a line was passed on
  };
  // False: the stream has ended everywhere.
  bool read(Pipe& pipe, LineSink::Stream stream, LineSink& sink) const;
  // Moves the first bytes of the line, which may be several lines by now. Throws std::bad_alloc,
  // having changed nothing.
  void pass_on(Pipe& pipe, std::size_t bytes, LineSink::Stream stream, LineSink& sink) const;
  void unwatch() noexcept;

  std::string const tag_;
  std::array<Pipe, LineSink::streams> pipes_;
  os::Poller* poller_ = nullptr;
  std::uint64_t key_ = 0;
  bool paused_ = false;
};

}  // namespace procpool::inline v0_1::parent
