// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#pragma once

// ElementContext: the source of the answers of this_task. A worker has one for the process; the
// in-process engine has one for each thread that runs an element.

#include <atomic>
#include <cstdint>
#include <optional>
#include <random>
#include <stop_token>
#include <string_view>

#include <procpool/detail/engine/mutex.hpp>
#include <procpool/detail/operations/slice_position.hpp>
#include <procpool/log.hpp>

namespace procpool::inline v0_1 {

class ElementContext {
 public:
  ElementContext() = default;
  ElementContext(ElementContext const&) = delete;
  ElementContext& operator=(ElementContext const&) = delete;
  virtual ~ElementContext();

  // Any thread of the task. False: between two elements.
  virtual bool running() const noexcept = 0;
  virtual std::uint64_t index() const noexcept = 0;
  virtual std::uint64_t random() const noexcept = 0;  // the streams of the call derive from it
  // A number that no other run of an element has in this context. A repeated run has a new one.
  virtual std::uint64_t run() const noexcept = 0;
  virtual bool stop_requested() noexcept = 0;
  virtual std::stop_token stop_token() = 0;
  // See procpool::log. False: it cannot.
  virtual bool log(LogLevel level, std::string_view text) noexcept = 0;
  // See this_task::progress.
  virtual void progress(std::uint64_t done, std::uint64_t total) noexcept = 0;

  // The next number of the stream of the running element. Threads of the task share the stream.
  std::uint64_t draw();
  // The seed of the i-th further stream, or of the i-th element of the slice.
  std::uint64_t seed_of(std::uint64_t i) const noexcept;

  // The position of the loop over a slice; null: there is no such loop. See detail::SlicePosition.
  std::atomic<detail::SlicePosition const*> slice{nullptr};

 private:
  // Identifies the stream of engine_.
  struct Stream {
    std::uint64_t run = 0;
    std::uint64_t seed = 0;
    bool operator==(Stream const&) const = default;
  };

  std::uint64_t seed() const noexcept;

  detail::Mutex mutex_;
  Stream stream_ PROCPOOL_GUARDED_BY(mutex_);
  std::optional<std::mt19937_64> engine_ PROCPOOL_GUARDED_BY(mutex_);
};

// The context of a worker; to be called before its first element.
void set_worker_context(ElementContext* context) noexcept;

// This thread runs an element as long as this object lives.
class ThreadContext {
 public:
  explicit ThreadContext(ElementContext& context) noexcept;
  ThreadContext(ThreadContext const&) = delete;
  ThreadContext& operator=(ThreadContext const&) = delete;
  ~ThreadContext();

 private:
  ElementContext* const before_;
};

}  // namespace procpool::inline v0_1
