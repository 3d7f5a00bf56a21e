// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#pragma once

// What a program under faults does with a pool, in a tenth of a second: every kind of call once, what
// is composed of calls, or what handles do. Each must end with its value or a typed error, in time;
// when the pool is gone nothing of it may be left.

#include <dirent.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <exception>
#include <new>
#include <numeric>
#include <optional>
#include <procpool.hpp>
#include <procpool/shared_object.hpp>
#include <span>
#include <string>
#include <string_view>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#include "board.hpp"

namespace faults {

using namespace std::chrono_literals;

inline int square(int x) { return x * x; }
inline int sleep_for(int milliseconds) {
  std::this_thread::sleep_for(std::chrono::milliseconds(milliseconds));
  return milliseconds;
}
inline int die(int x) { return x + ::raise(SIGKILL); }
inline std::string echo(std::string text) { return text; }
inline void fill(std::span<int> numbers) {
  for (int& number : numbers) number = 7;
}
inline procpool::SharedArray<int> make_array(int size) {
  procpool::SharedArray<int> numbers(size);
  fill(numbers);
  return numbers;
}
inline int first_of(std::span<int const> numbers) { return numbers[0]; }
inline std::size_t size_of(std::vector<int> const& values) { return values.size(); }

// How many items it has passed on.
inline int pass_on(procpool::Queue<int> const& from, procpool::Queue<int> const& to) {
  int passed = 0;
  for (int const item : from) {
    to.push(item);
    ++passed;
  }
  return passed;
}
inline int first_in(procpool::Queue<procpool::SharedArray<int>> const& queue) {
  auto const numbers = queue.pop();
  return numbers ? (*numbers)[0] : 0;
}
inline std::size_t length_in(procpool::Queue<std::string> const& queue) {
  auto const text = queue.pop();
  return text ? text->size() : 0;
}
inline int take_and_die(procpool::Queue<int> const& queue) {
  return queue.try_pop().value_or(0) + ::raise(SIGKILL);
}
using TextPipe = procpool::PipeEnd<std::string>;
// How many messages it has sent back.
inline int send_back(TextPipe end) {
  int sent = 0;
  for (; auto message = end.receive(); ++sent) end.send(*message);
  return sent;
}
inline void send_to(procpool::PipeEnd<TextPipe> end) {
  auto [here, there] = procpool::make_pipe<std::string>();
  end.send(std::move(there));
  here.send("from afar");
}
inline int number_in(int const& object) { return object; }
struct Sum {
  int sum = 0;
  int add(int x) { return sum += x; }
  int die() { return ::raise(SIGKILL); }
};
inline void count_up(procpool::SharedValue<int> const& value) {
  value.with_lock([](int& number) { ++number; });
}

inline procpool::Future<int> square_twice(procpool::ProcessPool& pool, int x) {
  int const once = co_await pool.submit<square>(x);
  co_return co_await pool.submit<square>(once);
}
inline procpool::Future<int> sleep_twice(procpool::ProcessPool& pool, int milliseconds) {
  int const once = co_await pool.submit<sleep_for>(milliseconds);
  co_return co_await pool.submit<sleep_for>(once);
}

inline std::size_t entries(char const* folder) {
  DIR* const directory = ::opendir(folder);
  std::size_t count = 0;
  while (directory != nullptr && ::readdir(directory) != nullptr) ++count;
  if (directory != nullptr) ::closedir(directory);
  return count;
}

template <class Condition>
bool soon(Condition&& condition, std::chrono::milliseconds limit) {
  auto const end = std::chrono::steady_clock::now() + limit;
  while (!condition()) {
    if (std::chrono::steady_clock::now() > end) return false;
    std::this_thread::sleep_for(1ms);
  }
  return true;
}

class Script {
 public:
  enum class Part {
    plain,
    composes,   // calls that are composed, streams and what else is said of calls
    handles,    // shared memory, queues, pipes
    processes,  // of their own; no pool
  };
  // `heals`: of all calls only a few fail, so that at the end all is well.
  Script(Board& board, procpool::Start start, bool heals, Part part = Part::plain)
      : board_(board), start_(start), heals_(heals), part_(part) {
    std::iota(inputs_.begin(), inputs_.end(), 0);
  }

  // What was wrong; empty: nothing.
  std::string run() {
    std::size_t descriptors = entries("/proc/self/fd");
    if (part_ == Part::processes) {
      static std::size_t const kept = descriptors_of_processes();
      descriptors = std::max(descriptors, kept);
    }
    std::size_t const threads = entries("/proc/self/task");
    try {
      use();
    } catch (...) {
      note("the pool's own life", "ended with an error: " + error_text(true));
    }
    board_.armed.store(0);
    // Processes share what ends a second after the last of them.
    auto const wait = part_ == Part::processes ? 4s : 1s;
    if (!soon([&] { return entries("/proc/self/fd") <= descriptors; }, wait)) {
      note("afterwards", "descriptors are left");
    }
    if (!soon([&] { return entries("/proc/self/task") <= threads; }, wait)) {
      note("afterwards", "threads are left");
    }
    if (::waitpid(-1, nullptr, WNOHANG) != -1) note("afterwards", "a child is left");
    return wrong_;
  }

  static constexpr auto limit = 6s;  // of each step

  // What it is about, for a judge who finds it stuck.
  void (*begins)(char const* step) = [](char const*) {};
  // How a step has failed.
  void (*said)(char const* step, std::string const& text) = [](char const*, std::string const&) {};

 private:
  // With those that processes share, once, and that stay when the processes have ended.
  std::size_t descriptors_of_processes() {
    procpool::start_process<square>(procpool::ProcessOptions{.start = start_}, 3).get();
    soon([] { return entries("/proc/self/task") == 3; }, 4s);  // and two names of folders
    return entries("/proc/self/fd");
  }

  void note(std::string const& step, std::string const& what) {
    wrong_ += (wrong_.empty() ? "" : "; ") + step + ": " + what;
  }

  // Of the exception that is being handled; empty: it is one that calls may end with.
  static std::string error_text(bool all = false) {
    try {
      throw;
    } catch (procpool::Error const& error) {
      return all ? error.what() : "";
    } catch (std::bad_alloc const&) {
      return all ? "no memory" : "";
    } catch (std::exception const& error) {
      return std::string("an error of another kind: ") + error.what();
    }
  }

  // True: it gave what it should.
  template <class Body>
  bool step(char const* name, Body const& body) {
    begins(name);
    auto const begin = std::chrono::steady_clock::now();
    bool well = false;
    try {
      body();
      well = true;
    } catch (...) {
      said(name, error_text(true));
      if (std::string const text = error_text(); !text.empty()) note(name, text);
    }
    if (std::chrono::steady_clock::now() - begin > limit) note(name, "took too long");
    return well;
  }

  void expect(bool condition, char const* name) {
    if (!condition) note(name, "gave a wrong value");
  }

  void use() {
    if (part_ == Part::processes) {
      board_.armed.store(1);
      run_processes();
      return;
    }
    procpool::PoolOptions options;
    options.workers = 2;
    options.start.method = start_;
    options.start.timeout = 2s;
    options.shutdown.stop_grace = 500ms;
    options.shutdown.ask_grace = 50ms;
    options.log = [](std::string_view) {};

    board_.armed.store(1);
    std::optional<procpool::ProcessPool> there;
    if (!step("pool", [&] { there.emplace(options); })) return;
    procpool::ProcessPool& pool = *there;
    step("submit", [&] { expect(pool.submit<square>(3).get() == 9, "submit"); });
    switch (part_) {
      case Part::plain: call(pool); break;
      case Part::composes: compose(pool); break;
      default: use_handles(pool); break;
    }
    bool well = step("after", [&] { expect(pool.call<square>(5) == 25, "after"); });
    if (heals_) {
      // What failed has failed once: twice it cannot.
      for (int i = 0; i < 2 && !well; ++i) {
        std::string error;
        well = step("healed", [&] {
          try {
            expect(pool.call<square>(5) == 25, "healed");
          } catch (std::exception const& e) {
            error = e.what();
            throw;
          }
        });
        if (!well && i == 1) note("healed", "does not work again: " + error);
      }
    }
    step("end", [&] { there.reset(); });
  }

  // Cancelling is never refused: what runs on would hold up the end of the pool.
  template <class Handle>
  void end_early(Handle handle) {
    std::this_thread::sleep_for(5ms);
    try {
      handle.cancel();
    } catch (std::bad_alloc const&) {
      note("cancel", "found no memory");
    }
    try {
      handle.get();
      expect(false, "cancel");
    } catch (procpool::TaskCancelled const&) {
    }
  }

  void call(procpool::ProcessPool& pool) {
    step("map", [&] { expect(pool.map<square>(inputs_).back() == 49 * 49, "map"); });
    step("large", [&] { expect(pool.call<echo>(text_) == text_, "large"); });
    step("share", [&] {
      std::optional<procpool::Shared<std::vector<int>>> shared;
      try {
        shared = pool.share(table_);
      } catch (std::system_error const&) {  // as it says
        return;
      }
      expect(pool.call<size_of>(*shared) == table_.size(), "share");
    });
    step("shared memory", [&] {
      procpool::SharedArray<int> const numbers(1'000);
      pool.call<fill>(numbers);
      expect(numbers[999] == 7, "shared memory");
      auto made = pool.call<make_array>(1'000);
      expect(made[999] == 7, "shared memory of a worker");
      int const locked = made.with_lock([](std::span<int> all) { return all[0]; });
      expect(locked == 7, "shared memory under its lock");
      procpool::SharedArray<int const> const frozen = std::move(made).freeze(100ms);
      expect(pool.call<first_of>(frozen) == 7, "frozen memory");
    });
    step("timeout", [&] {
      auto future = pool.with({.timeout = 30ms}).submit<sleep_for>(60'000);
      try {
        future.get();
        expect(false, "timeout");
      } catch (procpool::TaskTimeout const&) {
      }
    });
    step("cancel", [&] { end_early(pool.submit<sleep_for>(60'000)); });
    step("crash", [&] {
      try {
        pool.call<die>(1);
        expect(false, "crash");
      } catch (procpool::WorkerDied const&) {
      }
    });
  }

  // Of what is cancelled, and would have a value otherwise. It is over by itself: what is to be
  // made of a future may be refused, and then it runs on.
  static constexpr int long_time = 3'000;

  void compose(procpool::ProcessPool& pool) {
    step("then", [&] {
      auto const plus_one = [](int x) { return x + 1; };
      expect(pool.submit<square>(3).then(plus_one).get() == 10, "then");
    });
    step("then, cancelled",
         [&] { end_early(pool.submit<sleep_for>(long_time).then([](int x) { return x; })); });
    step("when_all", [&] {
      auto const [a, b] = procpool::when_all(pool.submit<square>(2), pool.submit<square>(3)).get();
      expect(a == 4 && b == 9, "when_all");
    });
    step("when_all, cancelled", [&] {
      end_early(procpool::when_all(pool.submit<sleep_for>(long_time), pool.submit<square>(3)));
    });
    step("coroutine", [&] { expect(square_twice(pool, 3).get() == 81, "coroutine"); });
    step("coroutine, cancelled", [&] { end_early(sleep_twice(pool, long_time)); });
    step("stream", [&] {
      int sum = 0;
      for (int const value : pool.imap<square>(inputs_)) sum += value;
      expect(sum == 40'425, "stream");
    });
    step("unordered", [&] {
      int sum = 0;
      for (auto const& [index, value] : pool.imap_unordered<square>(inputs_)) sum += value;
      expect(sum == 40'425, "unordered");
    });
    step("retries", [&] {
      try {
        pool.with({.retries = {.times = 2}}).call<die>(1);
        expect(false, "retries");
      } catch (procpool::WorkerDied const&) {
      }
    });
    step("resize", [&] {
      pool.resize(3);
      expect(pool.with({.chunk = 5}).map<square>(inputs_).back() == 49 * 49, "resize");
      pool.resize(2);
    });
    step("key", [&] {
      std::vector<procpool::Future<int>> all;
      for (int i = 0; i < 6; ++i) {
        all.push_back(pool.with({.priority = i, .key = i % 2}).submit<square>(i));
      }
      for (int i = 0; i < 6; ++i) expect(all[static_cast<std::size_t>(i)].get() == i * i, "key");
    });
    step("queue_timeout", [&] {
      auto future = pool.with({.queue_timeout = 60s}).submit<square>(3);
      expect(future.get() == 9, "queue_timeout");
    });
    step("map_async, cancelled",
         [&] { end_early(pool.map_async<sleep_for>(std::vector<int>(4, long_time))); });
  }

  // A queue that is closed in any case, because somebody takes from it until then. What it may need for
  // that, it has again at the second attempt.
  class Closes {
   public:
    explicit Closes(procpool::Queue<int> const& queue) : queue_(queue) {}
    Closes(Closes const&) = delete;
    Closes& operator=(Closes const&) = delete;
    ~Closes() {
      for (int i = 0; i < 2; ++i) {
        try {
          queue_.close();
          return;
        } catch (std::exception const&) {
        }
      }
    }

   private:
    procpool::Queue<int> const& queue_;
  };

  // The next item, if there is one. What this process lacked, it has again at the second attempt,
  // unless more than a few calls fail.
  template <class T>
  std::optional<T> next(procpool::Queue<T> const& queue) {
    try {
      return queue.try_pop();
    } catch (std::bad_alloc const&) {
    } catch (procpool::SetupError const&) {
    }
    return queue.try_pop();
  }

  void use_handles(procpool::ProcessPool& pool) {
    step("queue", [&] {
      procpool::Queue<int> const there;
      procpool::Queue<int> const back;
      Closes const closes(there);
      auto passed = pool.submit<pass_on>(there, back);
      for (int i = 0; i < 5; ++i) there.push(i);
      there.close();
      std::exception_ptr failure;
      int arrived = 0;
      try {
        arrived = passed.get();
      } catch (...) {
        failure = std::current_exception();
      }
      // What the worker did not take is still there, but for the item that it had in its hand.
      int found = 0;
      while (next(back)) ++found;
      int left = 0;
      while (next(there)) ++left;
      expect(failure ? found + left >= 4 : arrived == 5 && found == 5, "queue");
      if (failure) std::rethrow_exception(failure);
    });
    step("large items", [&] {
      procpool::Queue<std::string> const queue{{.bytes = 4 << 20}};
      queue.push(text_);
      queue.push(text_);
      expect(pool.call<length_in>(queue) == text_.size(), "large items");
      auto const here = next(queue);
      expect(here && *here == text_, "large items");
    });
    step("an item that is given again", [&] {
      procpool::Queue<int> const queue{{.redeliver = 1}};
      queue.push(3);
      try {
        pool.call<take_and_die>(queue);
      } catch (procpool::Error const&) {  // of whatever kind
      } catch (std::bad_alloc const&) {
      }
      std::optional<int> item;
      soon([&] { return (item = next(queue)).has_value(); }, 2s);
      expect(item == 3, "an item that is given again");
    });
    step("queue of handles", [&] {
      procpool::Queue<procpool::SharedArray<int>> const queue;
      procpool::SharedArray<int> const numbers(100);
      fill(numbers);
      queue.push(numbers);
      queue.push(numbers);
      expect(pool.call<first_in>(queue) == 7, "queue of handles");
      auto const here = queue.try_pop();
      expect(here && here->size() == 100, "queue of handles");
    });
    step("pipe", [&] {
      auto [here, there] = procpool::make_pipe<std::string>();
      auto sent = pool.submit<send_back>(std::move(there));
      bool same = true;
      for (std::string const* const text : {&short_, &text_}) {
        here.send(*text);
        same = same && here.receive() == *text;
      }
      here.close();
      expect(sent.get() == 2 && same, "pipe");
    });
    step("pipe through a pipe", [&] {
      auto [here, there] = procpool::make_pipe<TextPipe>();
      auto sent = pool.submit<send_to>(std::move(there));
      auto other = here.receive();
      sent.get();
      expect(other && other->receive() == "from afar", "pipe through a pipe");
      expect(!other->receive(), "pipe through a pipe");
    });
    step("shared value", [&] {
      procpool::SharedValue<int> const value(0);
      pool.call<count_up>(value);
      pool.call<count_up>(value);
      expect(value.load() == 2, "shared value");
    });
    step("shared object", [&] {
      auto const object =
          procpool::share_object<int>(4'096, [](procpool::ObjectBuilder& build) -> int& {
            return *build.construct<int>(boost::interprocess::anonymous_instance)(7);
          });
      expect(pool.call<square>(*object) == 49 && pool.call<number_in>(object) == 7,
             "shared object");
    });
    step("actor", [&] {
      auto actor = pool.actor<Sum>({.restarts = 1, .checkpoint_every = 1});
      expect(actor.call<&Sum::add>(2).get() == 2, "actor");
      try {
        actor.call<&Sum::die>().get();
        expect(false, "actor");
      } catch (procpool::WorkerDied const&) {
      }
      expect(actor.call<&Sum::add>(3).get() == 5, "actor");
    });
  }

  void run_processes() {
    step("process", [&] {
      procpool::Process process{{.start = start_}, square, 3};
      expect(process.get() == 9, "process");
    });
    step("processes", [&] {
      procpool::Queue<int> const there;
      procpool::Queue<int> const back;
      std::optional<procpool::Process<int>> one;
      std::optional<procpool::Process<int>> other;
      Closes const closes(there);
      for (auto* const each : {&one, &other}) {
        each->emplace(procpool::ProcessOptions{.start = start_}, pass_on, there, back);
      }
      for (int i = 0; i < 5; ++i) there.push(i);
      there.close();
      expect(one->get() + other->get() == 5, "processes");
    });
    step("a process that is killed", [&] {
      procpool::Process process{
          {.start = start_, .at_exit = procpool::End::kill}, sleep_for, 60'000};
    });
    step("a process that dies", [&] {
      procpool::Process process{{.start = start_}, die, 1};
      process.join();
      try {
        process.get();
        expect(false, "a process that dies");
      } catch (procpool::WorkerDied const&) {
      }
    });
    bool well = step("after", [&] {
      procpool::Process process{{.start = start_}, square, 5};
      expect(process.get() == 25, "after");
    });
    if (heals_ && !well) {
      well = step("healed", [&] {
        procpool::Process process{{.start = start_}, square, 5};
        expect(process.get() == 25, "healed");
      });
      if (!well) note("healed", "does not work again");
    }
  }

  Board& board_;
  procpool::Start const start_;
  bool const heals_;
  Part const part_;
  // Made before anything is refused.
  std::vector<int> inputs_ = std::vector<int>(50);
  std::string const short_ = "short";
  std::string const text_ = std::string(300'000, 't');
  std::vector<int> const table_ = std::vector<int>(50'000, 7);
  std::string wrong_;
};

}  // namespace faults
