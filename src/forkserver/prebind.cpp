// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#include "forkserver/prebind.hpp"

#include <pthread.h>
#include <sched.h>

#include <chrono>
#include <iostream>
#include <string>
#include <typeinfo>
#include <vector>

#include <procpool/detail/call/type_name.hpp>

#include "os/process.hpp"

namespace procpool::inline v0_1::forkserver {

namespace {

void* do_nothing(void*) { return nullptr; }

// The C library looks up functions for a thread's storage.
void begin_and_end_a_thread() noexcept {
  pthread_t thread{};
  if (::pthread_create(&thread, nullptr, do_nothing, nullptr) != 0) return;
  ::pthread_join(thread, nullptr);
  // The system counts the thread for a moment after it was joined.
  constexpr int max_looks = 1000;
  for (int look = 0; look < max_looks && os::thread_count() > 1; ++look) ::sched_yield();
}

}  // namespace

void prebind() noexcept {
  // The second thread reuses the stack of the first, on another path, like the first thread of each
  // worker.
  for (int thread = 0; thread < 2 && os::thread_count() == 1; ++thread) begin_and_end_a_thread();
  static_cast<void>(std::chrono::steady_clock::now());
  try {
    // Like the name of a task's function, and as complex.
    static_cast<void>(detail::type_name(typeid(std::vector<std::string>)));
    // Like the end of every program.
    for (auto* const stream : {&std::cout, &std::cerr, &std::clog}) stream->flush();
    for (auto* const stream : {&std::wcout, &std::wcerr, &std::wclog}) stream->flush();
  } catch (...) {  // no memory; a stream's exceptions are switched on
  }
}

}  // namespace procpool::inline v0_1::forkserver
