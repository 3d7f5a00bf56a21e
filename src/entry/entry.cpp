// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#include <procpool/entry.hpp>

#include <unistd.h>

#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <string_view>

#include <procpool/errors.hpp>

#include "entry/entry_hook.hpp"
#include "entry/mark.hpp"
#include "forkserver/fork_server.hpp"
#include "os/spawn.hpp"
#include "worker/worker_main.hpp"

// Defined beside __wrap_main. Its address is a fact of the link: there before any initialiser runs,
// and null in a program whose main is not wrapped.
extern "C" __attribute__((weak, visibility("default"))) char procpool_main_is_wrapped;

namespace procpool::inline v0_1 {
namespace {

std::atomic<bool> init_called{false};
std::atomic<int> index_of_worker{-1};
std::atomic<char const*> name_of_host{nullptr};
std::atomic<bool> became_worker{false};
std::atomic<unsigned> pools_above{0};
std::atomic<char const*> module_of_helper{nullptr};
std::atomic<void (*)()> start_of_component{nullptr};

// For programs whose main is not wrapped. 101: ahead of their own static initialisers.
__attribute__((constructor(101))) void take_mark_early() { procpool_take_mark(environ); }

}  // namespace

namespace entry {

bool marked() noexcept { return mark() != Mark::none; }

void check_may_use_pools() {
  if (has_more_rights()) {
    throw SetupError(
        "this program has more rights than whoever started it (it is set-uid or set-gid, or its "
        "file "
        "has capabilities), so it cannot have workers: whoever starts it could pass himself off as "
        "its "
        "pool. Run tasks in the program itself (Start::in_process), or in a program without such "
        "rights");
  }
  if (marked()) {
    throw SetupError(
        "this process is a worker that has not reached its entry, so it cannot use a pool: a pool "
        "may be a global, but may be used only after main has begun");
  }
}

bool has_entry_hook() noexcept {
  // Relaxed: the flag guards nothing but itself.
  return &procpool_main_is_wrapped != nullptr || init_called.load(std::memory_order_relaxed);
}

// Relaxed: set ahead of the first thread of the worker.
char const* helper_module() noexcept { return module_of_helper.load(std::memory_order_relaxed); }

// Relaxed: both ahead of main, on its thread.
void on_start(void (*start)()) noexcept {
  start_of_component.store(start, std::memory_order_relaxed);
}

int run_worker(int argc, char** argv) {
  char* const title = argc > 1 ? argv[1] : nullptr;
  bool const is_fork_server = mark() == Mark::fork_server_process;
  forget_mark();
  became_worker.store(true, std::memory_order_relaxed);
  // Comes back as many times as there are workers, in each of them once.
  if (is_fork_server) return worker::worker_main(forkserver::fork_server_main(title));
  return worker::worker_main({os::UniqueFd(os::child_control_fd), title});
}

void set_worker_index(int index) noexcept {
  index_of_worker.store(index, std::memory_order_relaxed);
}

void take_host() noexcept {
  char const* const name = std::getenv(host_variable);
  if (name == nullptr) return;
  name_of_host.store(::strdup(name), std::memory_order_relaxed);  // as long as the process
  ::unsetenv(host_variable);
}

std::string_view host() noexcept {
  char const* const name = name_of_host.load(std::memory_order_relaxed);
  return name == nullptr ? std::string_view() : name;
}

void set_depth(unsigned depth) noexcept { pools_above.store(depth, std::memory_order_relaxed); }

unsigned depth() noexcept { return pools_above.load(std::memory_order_relaxed); }

void check_depth(Count limit) {
  std::size_t const most = detail::checked(limit, "nesting_limit", detail::max_nesting);
  if (depth() < most) return;
  throw SetupError("this pool is used in a task of a pool, " + std::to_string(depth()) +
                   " deep already; PoolOptions::nesting_limit is " + std::to_string(most));
}

}  // namespace entry

void init(int argc, char** argv) {
  init_called.store(true, std::memory_order_relaxed);
  // By exit, so that static destructors run, coverage is written and leaks are checked.
  if (entry::marked()) std::exit(entry::run_worker(argc, argv));
  if (auto* const start = start_of_component.exchange(nullptr, std::memory_order_relaxed)) start();
}

bool in_worker() noexcept {
  return became_worker.load(std::memory_order_relaxed) || entry::marked();
}

int worker_index() noexcept { return index_of_worker.load(std::memory_order_relaxed); }

}  // namespace procpool::inline v0_1

int procpool_become_worker(int argc, char** argv) {
  using namespace procpool;
  if (argc != 3 || !entry::marked()) {
    std::fputs("procpool-worker: pools start this program for workers\n", stderr);
    return EXIT_FAILURE;
  }
  module_of_helper.store(argv[2], std::memory_order_relaxed);
  return entry::run_worker(argc, argv);
}
