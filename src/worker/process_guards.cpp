// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#include "worker/process_guards.hpp"

#include <pthread.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstdlib>

namespace procpool::inline v0_1::worker {
namespace {

channel::WorkerEnd* channel_of_process = nullptr;
WorkerContext* context_of_process = nullptr;

// The rings are not mapped in a forked child. If the task returns there too, its trampoline still
// stores a stage: into memory of the child's own. The loop then ends the child.
void in_forked_child() {
  context_of_process->in_forked_child();
  auto const page = channel_of_process->control_page();
  static_cast<void>(::mmap(page.data(), page.size(), PROT_READ | PROT_WRITE,
                           MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0));
}

void report_exit() {
  if (!context_of_process->forked()) channel_of_process->say_exiting();
}

// If the task's thread calls exit(), the destructors of its thread-local objects run first, ahead
// of all that tasks have registered. On another thread the last function that was registered runs
// first.
struct ExitReporter {
  bool armed = false;
  ~ExitReporter() {
    if (armed) report_exit();
  }
};
thread_local ExitReporter exit_reporter;

}  // namespace

void guard_process(channel::WorkerEnd& channel, WorkerContext& context) {
  channel_of_process = &channel;
  context_of_process = &context;
  exit_reporter.armed = true;
  std::atexit(report_exit);
  ::at_quick_exit(report_exit);
  ::pthread_atfork(nullptr, nullptr, in_forked_child);
}

LoopGuard::~LoopGuard() {
  if (left_) return;
  if (!context_.forked()) channel_.say_exit_hint(channel::ExitHint::thread_ended);
  ::_exit(EXIT_FAILURE);
}

}  // namespace procpool::inline v0_1::worker
