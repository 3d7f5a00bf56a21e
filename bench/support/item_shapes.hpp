// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#pragma once

// The measurements of queues and pipes between processes, the same for every C++ system. A Queue has
// push(Item const&) and pop(), which both wait. Producers and consumers are forked children; they are
// told what to do, and tell of their ends, by pipes. An End of a pipe has send(Item const&) and
// receive(), which both wait; who has the other end calls answer_items().

#include <unistd.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <stdexcept>
#include <vector>

#include "peers/cpp/shared_memory.hpp"
#include "support/measure.hpp"
#include "support/program.hpp"
#include "support/shapes.hpp"

namespace bench {

struct Item {
  std::uint64_t number = 0;
  std::uint64_t last = 0;  // of its producer, for now
  std::array<std::uint64_t, 6> rest{};
};
static_assert(sizeof(Item) == 64);

class Pipe {
 public:
  Pipe() {
    if (::pipe(ends_.data()) != 0) throw std::runtime_error("no pipe");
  }
  Pipe(Pipe const&) = delete;
  Pipe& operator=(Pipe const&) = delete;
  ~Pipe() {
    ::close(ends_[0]);
    ::close(ends_[1]);
  }

  void write(std::uint64_t number) const {
    if (::write(ends_[1], &number, sizeof number) != sizeof number) ::_exit(1);
  }
  std::uint64_t read() const {
    std::uint64_t number = 0;
    if (::read(ends_[0], &number, sizeof number) != sizeof number) ::_exit(1);
    return number;
  }

 private:
  std::array<int, 2> ends_{};
};

// Items per second from producers to consumers.
template <class Queue>
void measure_items(Measure const& measure, Queue& queue, std::size_t producers,
                   std::size_t consumers) {
  std::vector<Pipe> orders(producers);
  Pipe const ends;
  std::vector<Child> children;
  for (std::size_t i = 0; i < consumers; ++i) {
    children.emplace_back([&] {
      for (auto const self = static_cast<std::uint64_t>(getpid());;) {
        if (queue.pop().last != 0) ends.write(self);
      }
    });
  }
  for (std::size_t i = 0; i < producers; ++i) {
    children.emplace_back([&, i] {
      for (;;) {
        std::uint64_t const count = orders[i].read();
        for (std::uint64_t number = 1; number <= count; ++number) {
          queue.push({number, number == count ? std::uint64_t{1} : 0, {}});
        }
      }
    });
  }
  Witness witness;
  measure_throughput(measure, [&](std::size_t items) {
    for (auto const& order : orders) order.write(items / producers);
    for (std::size_t i = 0; i < producers; ++i) witness.saw(static_cast<pid_t>(ends.read()));
  });
}

// Microseconds of an item there and one back.
template <class Queue>
void measure_item_roundtrip(Measure const& measure, Queue& there, Queue& back) {
  Child const child([&] {
    for (auto const self = static_cast<std::uint64_t>(getpid());;) {
      back.push({there.pop().number, self, {}});
    }
  });
  Witness witness;
  std::uint64_t number = 0;
  measure_roundtrip(measure, [&] {
    there.push({++number, 0, {}});
    Item const item = back.pop();
    if (item.number != number) throw std::logic_error("a wrong item");
    witness.saw(static_cast<pid_t>(item.last));
  });
}

// The other end's part: never returns. The last item of each order is answered.
template <class End>
[[noreturn]] void answer_items(End& end) {
  for (auto const self = static_cast<std::uint64_t>(getpid());;) {
    Item const item = end.receive();
    if (item.last != 0) end.send({item.number, self, {}});
  }
}

// Items per second from this process to the one that has the other end.
template <class End>
void measure_pipe_items(Measure const& measure, End& end) {
  Witness witness;
  measure_throughput(measure, [&](std::size_t items) {
    for (std::uint64_t number = 1; number <= items; ++number) {
      end.send({number, number == items ? std::uint64_t{1} : 0, {}});
    }
    witness.saw(static_cast<pid_t>(end.receive().last));
  });
}

// Microseconds of an item there and one back.
template <class End>
void measure_pipe_roundtrip(Measure const& measure, End& end) {
  Witness witness;
  std::uint64_t number = 0;
  measure_roundtrip(measure, [&] {
    end.send({++number, 1, {}});
    Item const item = end.receive();
    if (item.number != number) throw std::logic_error("a wrong item");
    witness.saw(static_cast<pid_t>(item.last));
  });
}

// The cases of one system; make() makes an end whose other end answers in another process.
template <class Make>
void add_pipe_cases(char const* system, Make make) {
  Add("pipe_items", system, "items/s", [make](Measure const& measure) {
    auto end = make();
    measure_pipe_items(measure, end);
  });
  Add("pipe_roundtrip", system, "us", [make](Measure const& measure) {
    auto end = make();
    measure_pipe_roundtrip(measure, end);
  });
}

// The cases of one system; make() makes a queue.
template <class Make>
void add_item_cases(char const* system, Make make) {
  Add("items_1x1", system, "items/s", [make](Measure const& measure) {
    auto queue = make();
    measure_items(measure, queue, 1, 1);
  });
  Add("items_2x2", system, "items/s", [make](Measure const& measure) {
    auto queue = make();
    measure_items(measure, queue, 2, 2);
  });
  Add("items_roundtrip", system, "us", [make](Measure const& measure) {
    auto there = make();
    auto back = make();
    measure_item_roundtrip(measure, there, back);
  });
}

}  // namespace bench
