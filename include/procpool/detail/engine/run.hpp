#pragma once

// Run: consecutive elements that one request to their trampoline runs, where arguments and results have
// fixed sizes: nothing is allocated, and the results are written where they travel from. The engine
// fills it in; the trampoline, on one thread, goes through it by begin() and done(). Each element is
// claimed, begun and marked as done by itself: where the run is, or where it was when the process died,
// can be told at any time.

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>

#include <procpool/detail/engine/sync_points.hpp>

namespace procpool::inline v0::detail {

// What other processes, and other threads of the task, can see of a run.
struct RunWords {
  std::atomic<std::uint64_t>* claim;        // serial + 1 of the last element wanted or begun
  std::atomic<std::uint64_t> const* limit;  // serials at or above it must not begin
  std::atomic<std::uint64_t>* done;         // the mark, see below
  std::atomic<std::uint64_t>* running;      // serial + 1 of the element that runs
  std::atomic<std::uint64_t>* index;        // of that element in its task
  std::atomic<bool> const* abandoned;       // the process is a fork of the one that began
};

// Where it lies, and what is ahead of it.
struct RunPlace {
  std::uint64_t serial;  // of the first element
  std::uint64_t end;     // and behind the last one
  std::uint64_t index;   // of the first one in its task
  std::byte const* arguments;
  std::size_t argument_step;
  std::byte* results;
  std::size_t result_size;
  std::uint64_t mark;       // the done mark before the first element
  std::uint64_t mark_step;  // added with each
  std::uint64_t block;      // how many elements may be claimed at once
};

// Of a result, in bytes: four cache lines.
inline constexpr std::size_t prefetch_ahead = 256;

template <class SyncPoints>
class BasicRun {
 public:
  using Words = RunWords;
  using Place = RunPlace;

  BasicRun(Words const& words, Place const& place) noexcept : words_(words), place_(place) {}

  // Claims the next element. False: there is none, or it must not begin.
  bool begin() noexcept {
    std::uint64_t const serial = next();
    if (serial == place_.end) return false;
    // Claim first, then look at the limit; who lowers the limit looks at the claim after that. The other
    // order would let both sides have the element.
    if (serial >= claimed_) {
      claimed_ = std::min(serial + place_.block, place_.end);
      words_.claim->store(claimed_, std::memory_order_seq_cst);
      SyncPoints::at(SyncPoint::claimed);
    }
    if (serial >= words_.limit->load(std::memory_order_seq_cst)) {
      revoked_ = true;
      return false;
    }
    SyncPoints::at(SyncPoint::begun);
    // The parent has read what lies there: until the line is ours again takes longer than an element may.
    __builtin_prefetch(result() + prefetch_ahead, 1);
    // Relaxed: threads of the task are started by it, after this.
    words_.index->store(place_.index + done_, std::memory_order_relaxed);
    words_.running->store(serial + 1, std::memory_order_relaxed);
    return true;
  }

  // Of the element begun: where its arguments lie, and where its result goes.
  std::byte const* arguments() const noexcept {
    return place_.arguments + done_ * place_.argument_step;
  }
  std::byte* result() const noexcept { return place_.results + done_ * place_.result_size; }
  // Nothing must be written any more: the results' memory is not there.
  bool abandoned() const noexcept { return words_.abandoned->load(std::memory_order_relaxed); }

  // Its result is written.
  void done() noexcept {
    SyncPoints::at(SyncPoint::written);
    ++done_;
    // Release: the result's bytes first, then the mark that counts them. Should the process die now, the
    // result is taken from where it lies.
    words_.done->store(place_.mark + done_ * place_.mark_step, std::memory_order_release);
    SyncPoints::at(SyncPoint::marked);
  }

  // Stands where `other`, a copy of it, stands.
  void follow(BasicRun const& other) noexcept {
    done_ = other.done_;
    revoked_ = other.revoked_;
  }

  // The first element that is not done: the next one, or the one that has thrown.
  std::uint64_t next() const noexcept { return place_.serial + done_; }
  bool revoked() const noexcept { return revoked_; }

 private:
  Words const words_;
  Place const place_;
  // One number says where it is: the fewer words change with each element, the more of them the compiler
  // can keep in registers.
  std::uint64_t done_ = 0;
  std::uint64_t claimed_ = 0;
  bool revoked_ = false;
};

using Run = BasicRun<NoSyncPoints>;

}  // namespace procpool::inline v0::detail
