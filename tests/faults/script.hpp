#pragma once

// What a program under faults does with a pool, in a tenth of a second: every kind of call once. Each must end
// with its value or a typed error, in time; when the pool is gone nothing of it may be left.

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
  // `heals`: of all calls only a few fail, so that at the end all is well.
  Script(Board& board, procpool::Start start, bool heals)
      : board_(board), start_(start), heals_(heals) {}

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
    std::string const text(300'000, 't');
    std::vector<int> inputs(50);
    std::iota(inputs.begin(), inputs.end(), 0);
    std::vector<int> const table(50'000, 7);

    board_.armed.store(1);
    std::optional<procpool::ProcessPool> there;
    if (!step("pool", [&] { there.emplace(options); })) return;
    procpool::ProcessPool& pool = *there;
    step("submit", [&] { expect(pool.submit<square>(3).get() == 9, "submit"); });
    step("map", [&] { expect(pool.map<square>(inputs).back() == 49 * 49, "map"); });
    step("large", [&] { expect(pool.call<echo>(text) == text, "large"); });
    step("share", [&] {
      std::optional<procpool::Shared<std::vector<int>>> shared;
      try {
        shared = pool.share(table);
      } catch (std::system_error const&) {  // as it says
        return;
      }
      expect(pool.call<size_of>(*shared) == table.size(), "share");
    });
    step("timeout", [&] {
      auto future = pool.with({.timeout = 30ms}).submit<sleep_for>(60'000);
      try {
        future.get();
        expect(false, "timeout");
      } catch (procpool::TaskTimeout const&) {
      }
    });
    step("cancel", [&] {
      auto future = pool.submit<sleep_for>(60'000);
      std::this_thread::sleep_for(5ms);
      future.cancel();
      try {
        future.get();
        expect(false, "cancel");
      } catch (procpool::TaskCancelled const&) {
      }
    });
    step("crash", [&] {
      try {
        pool.call<die>(1);
        expect(false, "crash");
      } catch (procpool::WorkerDied const&) {
      }
    });
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

  Board& board_;
  procpool::Start const start_;
  bool const heals_;
  std::string wrong_;
};

}  // namespace faults
