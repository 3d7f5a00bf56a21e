// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// What one writes by hand with boost::interprocess::message_queue: a queue of tasks, a queue of
// results, forked workers. A task is a message; a worker that is killed may take the queue's lock
// with it. The queues lose their names as soon as they are made, and the workers inherit them.

#include <boost/interprocess/ipc/message_queue.hpp>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "peers/cpp/shared_memory.hpp"
#include "support/processes.hpp"
#include "support/program.hpp"
#include "support/shapes.hpp"

namespace bench {
namespace {

namespace ipc = boost::interprocess;

constexpr char const* system = "boost message_queue";

enum class Kind : std::uint64_t { empty, polynomial, spin, burn };
struct Message {
  Kind kind = Kind::empty;
  std::uint64_t index = 0;
  std::uint64_t value = 0;
};

class Queue {
 public:
  Queue(std::string const& name, std::size_t messages, std::size_t bytes) {
    auto const own = name + std::to_string(getpid());
    ipc::message_queue::remove(own.c_str());
    queue_ = std::make_unique<ipc::message_queue>(ipc::create_only, own.c_str(), messages, bytes);
    ipc::message_queue::remove(own.c_str());
  }
  void send(void const* message, std::size_t bytes) { queue_->send(message, bytes, 0); }
  bool try_send(void const* message, std::size_t bytes) {
    return queue_->try_send(message, bytes, 0);
  }
  std::size_t receive(void* message, std::size_t bytes) {
    ipc::message_queue::size_type got = 0;
    unsigned priority = 0;
    queue_->receive(message, bytes, got, priority);
    return got;
  }

 private:
  std::unique_ptr<ipc::message_queue> queue_;
};

class Pool {
 public:
  explicit Pool(int workers, std::size_t bytes = sizeof(Message))
      : tasks_("procpool-bench-tasks-", 1024, bytes),
        results_("procpool-bench-results-", 1024, sizeof(Message)),
        bytes_(bytes) {
    for (int i = 0; i < workers; ++i) children_.emplace_back([this] { work(); });
  }

  Message call(Message const& message) {
    send(message);
    return receive();
  }
  // A message with so much behind it as the queue's messages have.
  Message call_with(std::vector<std::byte>& buffer) {
    Message const message;
    std::memcpy(buffer.data(), &message, sizeof message);
    tasks_.send(buffer.data(), buffer.size());
    return receive();
  }

  // The results come in whatever order.
  template <class Make, class See>
  void run(std::size_t count, Make make, See see) {
    std::size_t given = 0;
    for (std::size_t done = 0; done < count;) {
      while (given < count) {
        Message const message = make(given);
        if (given - done < 512) {
          send(message);
        } else if (!tasks_.try_send(&message, sizeof message)) {
          break;
        }
        ++given;
        if (given - done >= 1000) break;
      }
      see(receive());
      ++done;
    }
  }

 private:
  void send(Message const& message) { tasks_.send(&message, sizeof message); }
  Message receive() {
    Message message;
    results_.receive(&message, sizeof message);
    return message;
  }
  void work() {
    auto const self = getpid();
    std::vector<std::byte> buffer(bytes_);
    for (Message message;;) {
      tasks_.receive(buffer.data(), buffer.size());
      std::memcpy(&message, buffer.data(), sizeof message);
      auto const argument = message.value;
      if (message.kind == Kind::spin) spin(argument);
      if (message.kind == Kind::burn) burn(argument);
      message.value = sign(self, message.kind == Kind::polynomial ? polynomial(argument) : 0);
      results_.send(&message, sizeof message);
    }
  }

  Queue tasks_;
  Queue results_;
  std::size_t bytes_;
  std::vector<Child> children_;
};

void roundtrip(Measure const& measure) {
  Pool pool(2);
  Witness witness;
  measure_roundtrip(measure, [&] { witness.saw(maker_of(pool.call({}).value)); });
}
Add const hot("roundtrip_hot", system, "us", roundtrip);
Add const busy("busy_roundtrip", system, "us", [](Measure const& measure) {
  BusyCores const others;
  roundtrip(measure);
});
Add const parked("roundtrip_parked", system, "us", [](Measure const& measure) {
  Pool pool(2);
  Witness witness;
  measure_parked(measure, [&] { witness.saw(maker_of(pool.call({}).value)); });
});

void run_same(Pool& pool, std::size_t tasks, Message const& message, Witness& witness) {
  pool.run(
      tasks, [&](std::size_t) { return message; },
      [&](Message const& result) { witness.saw(maker_of(result.value)); });
}

void throughput(Measure const& measure) {
  Pool pool(2);
  Witness witness;
  measure_throughput(measure, [&](std::size_t tasks) { run_same(pool, tasks, {}, witness); });
}
Add const submits("submit_throughput", system, "tasks/s", throughput);
Add const chunk1("map_chunk1", system, "tasks/s", throughput);

Add const ints("map_200k_ints", system, "tasks/s", [](Measure const& measure) {
  Pool pool(2);
  Witness witness;
  std::vector<std::uint64_t> results(measure.tiny() ? 2'000 : 200'000);
  for (int round = 0; round < measure.rounds(); ++round) {
    auto const begin = now_ns();
    pool.run(
        results.size(), [](std::size_t i) { return Message{Kind::polynomial, i, i}; },
        [&](Message const& result) { results.at(result.index) = result.value; });
    auto const seconds = seconds_since(begin);
    for (std::size_t i = 0; i < results.size(); ++i) {
      witness.saw(maker_of(results[i]));
      if (number_of(results[i]) != polynomial(i)) throw std::logic_error("a wrong result");
    }
    measure.report(static_cast<double>(results.size()) / seconds);
  }
});

[[maybe_unused]] bool const families = [] {
  for (std::uint64_t const us : {2u, 20u, 200u}) {
    Add("efficiency_" + std::to_string(us) + "us", system, "%", [us](Measure const& measure) {
      Pool pool(2);
      Witness witness;
      measure_efficiency(measure, us * 1000, 2, [&](std::size_t tasks) {
        run_same(pool, tasks, {Kind::spin, 0, us * 1000}, witness);
      });
    });
  }
  for (int workers = 1; workers <= 64; workers *= 2) {
    Add("workers_" + std::to_string(workers), system, "us", [workers](Measure const& measure) {
      Pool pool(workers);
      Witness witness;
      auto const run = [&](std::size_t tasks) { run_same(pool, tasks, {}, witness); };
      auto const tasks = tasks_for_slice(measure, run);
      for (int round = 0; round < measure.rounds(); ++round) {
        auto const begin = now_ns();
        run(tasks);
        measure.report(seconds_since(begin) * 1e6 / static_cast<double>(tasks));
      }
    });
  }
  // Larger messages would take a queue of a thousand times their size.
  std::pair<char const*, std::size_t> const sizes[] = {
      {"8B", 8}, {"1KiB", 1 << 10}, {"16KiB", 16 << 10}, {"128KiB", 128 << 10}};
  for (auto const& [name, bytes] : sizes) {
    Add("argument_" + std::string(name), system, "us", [bytes = bytes](Measure const& measure) {
      Pool pool(2, sizeof(Message) + bytes);
      Witness witness;
      std::vector<std::byte> buffer(sizeof(Message) + bytes, std::byte{1});
      measure_roundtrip(measure, [&] { witness.saw(maker_of(pool.call_with(buffer).value)); });
    });
  }
  return true;
}();

Add const busy_cost("busy_cpu", system, "us", [](Measure const& measure) {
  constexpr std::uint64_t element = 20'000;
  BusyCores const others;
  Pool pool(2);
  Witness witness;
  auto const run = [&](std::size_t tasks) {
    run_same(pool, tasks, {Kind::burn, 0, element}, witness);
  };
  auto const tasks = tasks_for_slice(measure, run, 64);
  for (int round = 0; round < measure.rounds(); ++round) {
    auto const begin = cpu_ns(others.pids());
    run(tasks);
    auto const used = static_cast<double>(cpu_ns(others.pids()) - begin);
    measure.report((used / static_cast<double>(tasks) - element) / 1e3);
  }
});

}  // namespace
}  // namespace bench
