// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// The machine's limit for many tasks: for each of two forked workers a ring of tasks and a ring of
// results in shared memory, one record per task, and a wake-up only where somebody sleeps: the
// parent at the low watermark, the worker when it ran dry. No errors, no general dispatch, no
// death.

#include <array>
#include <vector>

#include "peers/cpp/shared_memory.hpp"
#include "support/program.hpp"
#include "support/shapes.hpp"

namespace bench {
namespace {

struct Item {
  std::uint64_t number;
  std::uint64_t nanoseconds;
  pid_t maker;
  std::array<std::byte, 44> rest;
};

struct Ring {
  static constexpr std::uint32_t capacity = 1024;
  alignas(128) std::atomic<std::uint32_t> tail{0};
  alignas(128) std::atomic<std::uint32_t> head{0};
  alignas(128) std::array<Item, capacity> items;

  std::uint32_t size() const { return tail.load() - head.load(); }
};

// The private side of a producer and of a consumer: the other's index is looked at only when
// needed.
struct Producer {
  Ring& ring;
  std::uint32_t tail = 0;
  std::uint32_t head = 0;

  bool put(Item const& item) {
    if (tail - head == Ring::capacity &&
        tail - (head = ring.head.load(std::memory_order_acquire)) == Ring::capacity) {
      return false;
    }
    ring.items[tail++ % Ring::capacity] = item;
    return true;
  }
  void publish() { ring.tail.store(tail); }
};
struct Consumer {
  Ring& ring;
  std::uint32_t head = 0;
  std::uint32_t tail = 0;

  bool take(Item& item) {
    if (head == tail && head == (tail = ring.tail.load(std::memory_order_acquire))) return false;
    item = ring.items[head++ % Ring::capacity];
    return true;
  }
  void release() { ring.head.store(head); }
};

struct Worker {
  Doorbell doorbell;
  Ring tasks;
  Ring results;
};
struct Everyone {
  Doorbell parent;
  std::array<Worker, 2> workers;
};

constexpr std::uint32_t depth = 512;

void work(Everyone& everyone, std::size_t index) {
  auto& worker = everyone.workers[index];
  auto const self = getpid();
  Consumer tasks{worker.tasks};
  Producer results{worker.results};
  for (Item item;;) {
    worker.doorbell.wait([&] { return worker.tasks.tail.load() != tasks.head; });
    std::uint32_t since = 0;
    while (tasks.take(item)) {
      if (item.nanoseconds != 0) spin(item.nanoseconds);
      item.maker = self;
      results.put(item);  // there is room: no more than `depth` are under way
      // By sixteen, and the last one of what there is.
      if (++since % 16 == 0 || item.nanoseconds != 0 || tasks.head == worker.tasks.tail.load()) {
        tasks.release();
        results.publish();
        auto const left = worker.tasks.tail.load() - tasks.head;
        if (left == 0 || (left <= depth / 2 && left + 16 > depth / 2)) everyone.parent.ring();
      }
    }
  }
}

class Pool {
 public:
  void run(std::size_t count, std::uint64_t nanoseconds, Witness& witness) {
    std::size_t given = 0;
    std::size_t done = 0;
    while (done < count) {
      bool any = false;
      for (std::size_t i = 0; i < 2; ++i) {
        for (Item item; results_[i].take(item); any = true) {
          witness.saw(item.maker);
          --under_way_[i];
          ++done;
        }
        results_[i].release();
        if (given < count && under_way_[i] <= depth / 2) {
          // The last ones evenly.
          auto const share = std::min<std::size_t>(depth, under_way_[i] + (count - given + 1) / 2);
          for (; under_way_[i] < share; ++under_way_[i])
            tasks_[i].put({given++, nanoseconds, 0, {}});
          tasks_[i].publish();
          everyone_->workers[i].doorbell.ring();
          any = true;
        }
      }
      if (!any && done < count) {
        everyone_->parent.wait([&] {
          return results_[0].head != everyone_->workers[0].results.tail.load() ||
                 results_[1].head != everyone_->workers[1].results.tail.load();
        });
      }
    }
  }

 private:
  Shared<Everyone> everyone_;
  std::array<Child, 2> children_{Child([this] { work(*everyone_, 0); }),
                                 Child([this] { work(*everyone_, 1); })};
  std::array<Producer, 2> tasks_{Producer{everyone_->workers[0].tasks},
                                 Producer{everyone_->workers[1].tasks}};
  std::array<Consumer, 2> results_{Consumer{everyone_->workers[0].results},
                                   Consumer{everyone_->workers[1].results}};
  std::array<std::size_t, 2> under_way_{};
};

void throughput(Measure const& measure) {
  Pool pool;
  Witness witness;
  measure_throughput(measure, [&](std::size_t tasks) { pool.run(tasks, 0, witness); });
}
Add const submits("submit_throughput", "raw rings", "tasks/s", throughput);
Add const chunk1("map_chunk1", "raw rings", "tasks/s", throughput);

[[maybe_unused]] bool const efficiencies = [] {
  for (std::uint64_t const us : {2u, 20u, 200u}) {
    Add("efficiency_" + std::to_string(us) + "us", "raw rings", "%", [us](Measure const& measure) {
      Pool pool;
      Witness witness;
      measure_efficiency(measure, us * 1000, 2,
                         [&](std::size_t tasks) { pool.run(tasks, us * 1000, witness); });
    });
  }
  return true;
}();

}  // namespace
}  // namespace bench
