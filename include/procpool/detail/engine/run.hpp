// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#pragma once

// Run: the cursor of a worker over consecutive elements of a chunk, one or more, and the worker's
// half of the protocol that claims them. No other code claims an element or marks one as done.
//
// The channel starts a run. The worker's loop goes through it itself, or the trampoline of the
// function does. Elements whose arguments and results have fixed sizes need no allocation:
// reserve() gives their results the place from which they are sent. The worker may die at any
// instruction; the words then say which element ran.
//
// One thread. Code of this header is compiled into the user's program, see interface_version.hpp.

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>

#include <procpool/detail/engine/sync_points.hpp>

namespace procpool::inline v0_1::detail {

// The words of a run that other processes, and other threads of the task, can see.
struct RunWords {
  std::atomic<std::uint64_t>* claim;        // serial + 1 of the last element claimed
  std::atomic<std::uint64_t> const* limit;  // serials at or above it must not begin
  std::atomic<std::uint64_t>* done;         // the done mark, see pack_done()
  std::atomic<std::uint64_t>* running;      // serial + 1 of the element that runs
  std::atomic<std::uint64_t>* index;        // of that element in its task
  std::atomic<bool> const* abandoned;       // true in a fork of the worker
};

// The elements of a run.
struct RunElements {
  std::uint64_t first;  // serial of the first one
  std::uint64_t end;    // behind the last one
  std::uint64_t index;  // of the first one in its task
  std::uint64_t claimed_at_once;
};

// The done mark: the low halves of the serial behind the last element that is done, and of the
// bytes of results in the open frame. One word, so that no death separates the two.
constexpr std::uint64_t pack_done(std::uint64_t serials, std::uint64_t bytes) noexcept {
  return (serials << 32) | (bytes & 0xffff'ffffu);
}

inline namespace PROCPOOL_SYNC_BUILD {

class Run {
 public:
  Run(RunWords const& words, RunElements const& elements) noexcept
      : words_(words), elements_(elements) {}

  // Claims the next element. False: the run is over, or the element is revoked.
  bool begin() noexcept {
    std::uint64_t const serial = next();
    if (serial == elements_.end) return false;
    // Claim first, then load the limit; the parent lowers the limit and then loads the claim. The
    // other order would let both sides have the element.
    if (serial >= claimed_) {
      claimed_ = std::min(serial + elements_.claimed_at_once, elements_.end);
      words_.claim->store(claimed_, std::memory_order_seq_cst);
      PROCPOOL_SYNC_POINT(claimed);
    }
    if (serial >= words_.limit->load(std::memory_order_seq_cst)) {
      revoked_ = true;
      return false;
    }
    PROCPOOL_SYNC_POINT(begun);
    // Relaxed: the task starts its threads after this.
    words_.index->store(elements_.index + done_, std::memory_order_relaxed);
    words_.running->store(serial + 1, std::memory_order_relaxed);
    begun_ = true;
    return true;
  }
  // The next element has begun already.
  bool begun() const noexcept { return begun_; }

  // The next element is done, and its result written to result().
  void done() noexcept {
    PROCPOOL_SYNC_POINT(written);
    ++done_;
    begun_ = false;
    // Release: the bytes of the result first, then the mark that counts them. If the process dies
    // now, the parent takes the result from where it lies.
    words_.done->store(mark_ + done_ * mark_step_, std::memory_order_release);
    PROCPOOL_SYNC_POINT(marked);
    // The parent has read the line there: to get it back takes longer than an element may.
    __builtin_prefetch(result() + prefetch_distance, 1);
  }
  // The next element is done, its outcome was published in a frame of its own, and the open frame
  // is empty. The run is over.
  void done_and_published() noexcept {
    elements_.first = elements_.end = next() + 1;
    done_ = 0;
    begun_ = false;
    // Release: the frame is published. A parent that finds the mark behind the frames it has
    // collected takes the open frame for empty, which it is.
    words_.done->store(pack_done(elements_.first, 0), std::memory_order_release);
    PROCPOOL_SYNC_POINT(single_marked);
  }
  // Puts the claim back: the elements from the next one on are revoked.
  void withdraw() const noexcept {
    // Release: nothing of the elements was touched. The inbox cursor publishes that.
    words_.claim->store(next(), std::memory_order_release);
    PROCPOOL_SYNC_POINT(withdrawn);
  }

  // ---- elements of fixed size

  void set_arguments(std::byte const* arguments, std::size_t step) noexcept {
    arguments_ = arguments;
    argument_step_ = step;
  }
  // `bytes`: of the open frame, ahead of the results. Only before the first element is done.
  void reserve(std::byte* results, std::size_t result_size, std::uint64_t bytes) noexcept {
    results_ = results;
    result_size_ = result_size;
    mark_ = pack_done(elements_.first, bytes);
    mark_step_ = pack_done(1, result_size);
  }
  std::byte const* arguments() const noexcept { return arguments_ + done_ * argument_step_; }
  std::byte* result() const noexcept { return results_ + done_ * result_size_; }
  std::size_t result_size() const noexcept { return result_size_; }
  // True in a fork of the worker: the memory of the results is not there.
  bool abandoned() const noexcept { return words_.abandoned->load(std::memory_order_relaxed); }

  // Takes the position of `other`, which is a copy of this run.
  void follow(Run const& other) noexcept {
    done_ = other.done_;
    begun_ = other.begun_;
    revoked_ = other.revoked_;
  }

  RunElements& elements() noexcept { return elements_; }
  // The first element that is not done: the next one, or the one that has thrown.
  std::uint64_t next() const noexcept { return elements_.first + done_; }
  // The number of elements whose results are in the open frame.
  std::uint64_t count() const noexcept { return done_; }
  bool revoked() const noexcept { return revoked_; }

 private:
  // In bytes: four cache lines.
  static constexpr std::size_t prefetch_distance = 256;

  RunWords words_;
  RunElements elements_;
  std::byte const* arguments_ = nullptr;
  std::size_t argument_step_ = 0;
  std::byte* results_ = nullptr;
  std::size_t result_size_ = 0;
  std::uint64_t mark_ = 0;  // before the first element
  std::uint64_t mark_step_ = 0;
  // The only numbers that change with an element: the compiler keeps the rest in registers.
  std::uint64_t done_ = 0;
  std::uint64_t claimed_ = 0;
  bool begun_ = false;
  bool revoked_ = false;
};

}  // namespace PROCPOOL_SYNC_BUILD
}  // namespace procpool::inline v0_1::detail
