#pragma once

// ElementContext: what this_task answers from. A worker has one for the process; the in-process engine one
// for each thread that runs an element.

#include <cstdint>
#include <stop_token>

namespace procpool::inline v0 {

class ElementContext {
 public:
  ElementContext() = default;
  ElementContext(ElementContext const&) = delete;
  ElementContext& operator=(ElementContext const&) = delete;
  virtual ~ElementContext();

  // Any thread of the task. False: between two elements.
  virtual bool running() const noexcept = 0;
  virtual std::uint64_t index() const noexcept = 0;
  virtual std::uint64_t random() const noexcept = 0;  // what the call's streams derive from
  virtual bool stop_requested() noexcept = 0;
  virtual std::stop_token stop_token() = 0;
};

// The worker's own; before its first element.
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

// A seed for a pool that was given none.
std::uint64_t random_seed();

// What the streams of a pool's n-th call derive from.
std::uint64_t random_of_call(std::uint64_t seed, std::uint64_t call) noexcept;

}  // namespace procpool::inline v0
