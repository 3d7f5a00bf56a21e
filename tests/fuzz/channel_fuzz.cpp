// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// The parent's reader of frames, over an outbox that has any bytes and may change at any time.

#include <algorithm>

#include "fuzz/worker_side.hpp"

namespace {

using namespace procpool::channel;

constexpr int max_acts = 256;

class Parent {
 public:
  void act(std::uint8_t what, fuzz::Input& in, fuzz::WorkerSide const& worker) {
    switch (what % 5) {
      case 0: put(1 + in.take() % 80, in.take()); break;
      case 1: collect(worker); break;
      case 2: revoke(in.take()); break;
      case 3: look(in.take()); break;
      default: end_.acknowledged(); break;
    }
  }

  void put(std::uint64_t count, std::size_t bytes) {
    if (end_.acknowledging() || !end_.fits(bytes)) return;
    std::array<std::byte, 256> const payload{};
    end_.put_chunk({0, 1, 0, count, 0, false, count % 2 == 0}, {std::span(payload).first(bytes)});
    end_.publish();
    given_ += count;
    limit_ = given_;
  }

  void collect(fuzz::WorkerSide const& worker) {
    std::size_t records = 0;
    while (auto const arrival = end_.next()) {
      fuzz::require(++records <= fuzz::ring_bytes / sizeof(OutboxHeader), "reading ends");
      taken_ += aligned(sizeof(OutboxHeader) + arrival->payload.size());
      fuzz::require(taken_ <= worker.words().tail, "nothing is read that was not published");
      sum_ = static_cast<std::uint8_t>(sum_ + fuzz::sum_of(arrival->payload));
    }
    end_.taken();
  }

  void revoke(std::uint64_t elements) {
    if (end_.acknowledging() || given_ == 0) return;
    std::uint64_t const from = elements < given_ ? given_ - elements : 0;
    // Revoked elements stay revoked as long as nothing more is put.
    limit_ = std::min(limit_, from);
    std::uint64_t const cut = end_.revoke(from);
    fuzz::require(cut >= limit_ && cut <= given_,
                  "the cut is between what was wanted and what was given");
  }

  void look(std::uint8_t number) {
    if (auto const running = end_.running(number)) {
      fuzz::require(running->serial >= number, "what runs is owed");
      fuzz::require(running->serial < given_, "what runs was given");
    }
    static_cast<void>(end_.listens(number));
    static_cast<void>(end_.retiring());
    end_.park(number);
    static_cast<void>(end_.news());
    static_cast<void>(end_.begin_short_poll(number));
    end_.unpark();
    end_.ask_to_stop(number);
  }

  void reap(std::uint64_t expected, std::uint64_t outstanding) {
    auto const remains = end_.remains(expected, outstanding);
    fuzz::require(remains.done <= outstanding, "no more is done than was owed");
    fuzz::require(remains.payload.size() <= fuzz::ring_bytes, "what is open is within the ring");
    fuzz::require(remains.claim <= given_, "no more is claimed than was given");
    fuzz::require(!remains.begun || remains.done < outstanding, "what has begun was owed");
    sum_ = static_cast<std::uint8_t>(sum_ + fuzz::sum_of(remains.payload));
  }

  std::uint64_t given() const { return given_; }
  ParentEnd& end() { return end_; }

 private:
  ParentEnd end_{fuzz::ring_bytes};
  std::uint64_t given_ = 0;
  std::uint64_t limit_ = 0;
  std::uint64_t taken_ = 0;
  std::uint8_t volatile sum_ = 0;
};

}  // namespace

void fuzz::run(std::span<std::byte const> input) {
  Input in(input);
  Parent parent;
  WorkerSide worker(parent.end());
  try {
    parent.put(3, 16);
    for (int i = 0; i < max_acts && !in.empty(); ++i) {
      auto const what = in.take();
      if (what % 2 == 0) {
        worker.act(what / 2, in);
      } else {
        parent.act(what / 2, in, worker);
      }
    }
    parent.collect(worker);
  } catch (BadFrame const&) {
  }
  std::uint64_t const expected = parent.given() == 0 ? 0 : in.take() % parent.given();
  parent.reap(expected, parent.given() - expected);
}

std::vector<fuzz::Bytes> fuzz::seeds() {
  auto const worker = [](std::uint8_t act) { return static_cast<std::uint8_t>(2 * act); };
  auto const parent = [](std::uint8_t act) { return static_cast<std::uint8_t>(2 * act + 1); };
  std::uint8_t const one = 1;
  std::uint8_t const four = 4;
  return {
      Output().put(worker(WorkerSide::values)).put(one).put(four).put(parent(1)).take(),
      Output()
          .put(worker(WorkerSide::values))
          .put(one)
          .put(four)
          .put(parent(0))
          .put(four)
          .put(four)
          .put(worker(WorkerSide::values))
          .put(one)
          .put(four)
          .put(parent(2))
          .put(one)
          .put(worker(WorkerSide::set_word))
          .put(std::uint8_t{3})
          .put(std::uint64_t{160})
          .put(parent(4))
          .put(parent(1))
          .put(parent(3))
          .put(one)
          .take(),
      Output()
          .put(worker(WorkerSide::set_word))
          .put(std::uint8_t{0})
          .put(std::uint64_t{2})
          .put(worker(WorkerSide::set_word))
          .put(std::uint8_t{1})
          .put(std::uint64_t{0x1'0000'0008})
          .put(parent(3))
          .put(one)
          .take(),
      Output()
          .put(worker(WorkerSide::record))
          .put(one)
          .put(one)
          .put(std::uint16_t{64})
          .put(std::uint16_t{0})
          .put(one)
          .put(std::uint16_t{9})
          .put(parent(1))
          .take(),
  };
}
