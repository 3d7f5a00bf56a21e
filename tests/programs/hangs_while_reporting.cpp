// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// Unwinding that never ends, as it might on a stack in ruins: a worker that hangs in the report of
// its crash is ended all the same. The unwinder here is this program's own. (A sanitizer unwinds
// with it too: not there.)

#include <unwind.h>

#include <atomic>
#include <string>

#include "../support/build.hpp"
#include "common.hpp"

namespace {

std::atomic<bool> hangs{false};

int crash(int x) {
  hangs = true;
  ::raise(SIGSEGV);
  return x;
}

}  // namespace

extern "C" __attribute__((visibility("default"))) _Unwind_Reason_Code
_Unwind_Backtrace(_Unwind_Trace_Fn, void*) {
  while (hangs) ::usleep(1000);
  return _URC_END_OF_STACK;
}

int main() {
  if (support::sanitized) return 0;
  procpool::ProcessPool pool{1};
  std::string const text = programs::error_text<procpool::WorkerDied>([&] { pool.call<crash>(1); });
  programs::check(text.find("was killed by SIGKILL, having hung while it reported SIGSEGV") !=
                      std::string::npos,
                  text);
  programs::check(pool.call<programs::square>(3) == 9, "the next call");
}
