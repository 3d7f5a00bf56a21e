#pragma once

// What a program under faults does with a pool, in a tenth of a second: every kind of call once, or
// what is composed of calls. Each must end with its value or a typed error, in time; when the pool
// is gone nothing of it may be left.

#include <dirent.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <cstdio>
#include <new>
#include <numeric>
#include <optional>
#include <procpool.hpp>
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
inline std::size_t size_of(std::vector<int> const& values) { return values.size(); }

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
  // `heals`: of all calls only a few fail, so that at the end all is well. `composes`: calls that
  // are composed, streams and what else is said of calls, and not the plain ones.
  Script(Board& board, procpool::Start start, bool heals, bool composes = false)
      : board_(board), start_(start), heals_(heals), composes_(composes) {
    std::iota(inputs_.begin(), inputs_.end(), 0);
  }

  // What was wrong; empty: nothing.
  std::string run() {
    std::size_t const descriptors = entries("/proc/self/fd");
    std::size_t const threads = entries("/proc/self/task");
    try {
      use();
    } catch (...) {
      note("the pool's own life", "ended with an error: " + error_text(true));
    }
    board_.armed.store(0);
    if (::waitpid(-1, nullptr, WNOHANG) != -1) note("afterwards", "a child is left");
    if (!soon([&] { return entries("/proc/self/fd") <= descriptors; }, 1s)) {
      note("afterwards", "descriptors are left");
    }
    if (!soon([&] { return entries("/proc/self/task") <= threads; }, 1s)) {
      note("afterwards", "threads are left");
    }
    return wrong_;
  }

  static constexpr auto limit = 6s;  // of each step

  // What it is about, for a judge who finds it stuck.
  void (*begins)(char const* step) = [](char const*) {};

 private:
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
      if (std::string const text = error_text(); !text.empty()) note(name, text);
    }
    if (std::chrono::steady_clock::now() - begin > limit) note(name, "took too long");
    return well;
  }

  void expect(bool condition, char const* name) {
    if (!condition) note(name, "gave a wrong value");
  }

  void use() {
    procpool::PoolOptions options;
    options.workers = 2;
    options.start = start_;
    options.start_timeout = 2s;
    options.stop_grace = 500ms;
    options.ask_grace = 50ms;
    options.log = [](std::string_view) {};

    board_.armed.store(1);
    std::optional<procpool::ProcessPool> there;
    if (!step("pool", [&] { there.emplace(options); })) return;
    procpool::ProcessPool& pool = *there;
    step("submit", [&] { expect(pool.submit<square>(3).get() == 9, "submit"); });
    composes_ ? compose(pool) : call(pool);
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
        pool.with({.retries = 2}).call<die>(1);
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

  Board& board_;
  procpool::Start const start_;
  bool const heals_;
  bool const composes_;
  // Made before anything is refused.
  std::vector<int> inputs_ = std::vector<int>(50);
  std::string const text_ = std::string(300'000, 't');
  std::vector<int> const table_ = std::vector<int>(50'000, 7);
  std::string wrong_;
};

}  // namespace faults
