// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#include "parent/output_lines.hpp"

#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <utility>

#include "os/output.hpp"

namespace procpool::inline v0_1::parent {
namespace {

using namespace std::chrono_literals;

constexpr std::size_t max_waiting = 256 * 1024;
// A longer line is passed on in pieces.
constexpr std::size_t longest_line = 64 * 1024;
// Between two attempts to write to what took nothing.
constexpr auto retry_interval = 10ms;

// Both streams of this program are the same pipe, socket or terminal.
bool have_one_reader() noexcept {
  struct stat output{};
  struct stat errors{};
  return ::fstat(STDOUT_FILENO, &output) == 0 && ::fstat(STDERR_FILENO, &errors) == 0 &&
         !S_ISREG(output.st_mode) && output.st_dev == errors.st_dev &&
         output.st_ino == errors.st_ino;
}

}  // namespace

// ---- LineSink

bool LineSink::takes_more() const noexcept {
  return waiting_[out].size() < max_waiting && waiting_[error].size() < max_waiting;
}

void LineSink::add(Stream stream, std::string_view lines) {
  // What is left of a line may have to wait. If both streams go to one pipe or terminal, nothing of
  // the other may go ahead of it.
  waiting_[stream == error && have_one_reader() ? out : stream].append(lines);
}

std::optional<LineSink::TimePoint> LineSink::flush(TimePoint now) {
  std::optional<TimePoint> next;
  for (Stream const stream : {out, error}) {
    std::string& waiting = waiting_[stream];
    if (waiting.empty()) continue;
    waiting.erase(0, os::write_now(stream == out ? STDOUT_FILENO : STDERR_FILENO, waiting));
    if (!waiting.empty()) next = now + retry_interval;
  }
  return next;
}

// ---- OutputLines

OutputLines::OutputLines(std::string tag) : tag_(std::move(tag)) {
  for (Pipe& pipe : pipes_) {
    std::array<int, 2> ends{};
    if (::pipe2(ends.data(), O_CLOEXEC) != 0) {
      os::throw_errno("procpool could not make a pipe for a worker's output");
    }
    os::UniqueFd ours(ends[0]);
    os::UniqueFd theirs(ends[1]);
    pipe.ours = os::above_standard(std::move(ours));
    pipe.theirs = os::above_standard(std::move(theirs));
    // Only this end: the worker's end has a description of its own, and blocks while the pipe is
    // full.
    ::fcntl(pipe.ours.get(), F_SETFL, O_NONBLOCK);
  }
}

void OutputLines::forget_workers_ends() noexcept {
  for (Pipe& pipe : pipes_) pipe.theirs.reset();
}

void OutputLines::watch(os::Poller& poller, std::uint64_t key) {
  poller_ = &poller;
  key_ = key;
  for (Pipe& pipe : pipes_) {
    if (!pipe.ours || pipe.watched) continue;
    poller.add(pipe.ours.get(), key, EPOLLIN);
    pipe.watched = true;
  }
}

void OutputLines::unwatch() noexcept {
  for (Pipe& pipe : pipes_) {
    if (std::exchange(pipe.watched, false)) poller_->remove(pipe.ours.get());
  }
}

void OutputLines::read(LineSink& sink) {
  bool const full = !sink.takes_more();
  if (full && !std::exchange(paused_, true)) unwatch();
  if (full) return;
  if (paused_) watch(*poller_, key_);
  paused_ = false;
  for (LineSink::Stream const stream : {LineSink::out, LineSink::error}) {
    Pipe& pipe = pipes_[stream];
    if (!pipe.ours || read(pipe, stream, sink)) continue;
    if (std::exchange(pipe.watched, false)) poller_->remove(pipe.ours.get());
    pipe.ours.reset();
  }
}

// Text that arrives meanwhile is for the next call: a task that writes without end must not keep
// this thread.
bool OutputLines::read(Pipe& pipe, LineSink::Stream stream, LineSink& sink) const {
  std::array<char, 64 * 1024> buffer;  // as large as the pipe
  // What was read must not be lost for want of memory.
  pipe.line.reserve(pipe.line.size() + buffer.size());
  ssize_t const got = ::read(pipe.ours.get(), buffer.data(), buffer.size());
  if (got < 0) return errno == EAGAIN || errno == EINTR;
  pipe.line.append(buffer.data(), static_cast<std::size_t>(got));
  std::size_t const end = pipe.line.rfind('\n');
  std::size_t const whole = end != std::string::npos          ? end + 1
                            : pipe.line.size() > longest_line ? pipe.line.size()
                                                              : 0;
  pass_on(pipe, whole, stream, sink);
  return got != 0;
}

void OutputLines::pass_on(Pipe& pipe, std::size_t bytes, LineSink::Stream stream,
                          LineSink& sink) const {
  if (bytes == 0) return;
  std::string_view rest = std::string_view(pipe.line).substr(0, bytes);
  bool const ends = rest.ends_with('\n');
  if (tag_.empty()) {
    sink.add(stream, rest);
  } else {
    std::string tagged;
    for (bool in_line = pipe.in_line; !rest.empty(); in_line = false) {
      std::size_t const line = std::min(rest.find('\n'), rest.size() - 1) + 1;
      if (!in_line) tagged += tag_;
      tagged += rest.substr(0, line);
      rest.remove_prefix(line);
    }
    sink.add(stream, tagged);
  }
  pipe.in_line = !ends;
  pipe.line.erase(0, bytes);
}

void OutputLines::finish(LineSink& sink) {
  if (poller_ != nullptr) unwatch();
  for (LineSink::Stream const stream : {LineSink::out, LineSink::error}) {
    Pipe& pipe = pipes_[stream];
    // No more than a full pipe: another process may hold it and write on.
    if (pipe.ours) read(pipe, stream, sink);
    pipe.ours.reset();
    if (pipe.line.empty()) continue;
    pipe.line += '\n';
    pass_on(pipe, pipe.line.size(), stream, sink);
  }
}

}  // namespace procpool::inline v0_1::parent
