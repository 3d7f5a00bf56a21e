// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#include "parent/dedicated_worker.hpp"

#include <signal.h>

#include <utility>

namespace procpool::inline v0_1::parent {

using detail::Lock;

DedicatedWorker::DedicatedWorker(PoolOptions own, std::vector<std::string> variables,
                                 std::optional<detail::ActorPlan> actor)
    : options(std::move(own)), environment(std::move(variables)), actor_(std::move(actor)) {}

std::string DedicatedWorker::text() const {
  return (actor_ ? "actor \"" : "process \"") + options.name + '"';
}

pid_t DedicatedWorker::wait_until_started() {
  Lock lock(mutex_);
  while (pid_ == 0 && !failure_) changed_.wait(lock);
  if (failure_) std::rethrow_exception(failure_);
  return pid_;
}

pid_t DedicatedWorker::wait_for_pid() {
  Lock lock(mutex_);
  while (pid_ == 0 && !failure_) changed_.wait(lock);
  if (pid_ == 0) std::rethrow_exception(failure_);
  return pid_;
}

bool DedicatedWorker::alive() const {
  Lock const lock(mutex_);
  return pid_ != 0 && !exit_ && !failure_;
}

bool DedicatedWorker::wait_until_ended(std::optional<TimePoint> deadline) {
  Lock lock(mutex_);
  while (!ended_ && !failure_) {
    if (!deadline) {
      changed_.wait(lock);
    } else if (!changed_.wait_until(lock, *deadline)) {
      break;
    }
  }
  return ended_ || failure_;
}

std::optional<os::Exit> DedicatedWorker::exit() const {
  Lock const lock(mutex_);
  return exit_;
}

void DedicatedWorker::signal(int number) {
  Lock const lock(mutex_);
  if (pidfd_ >= 0) os::send_signal(pidfd_, number);
}

void DedicatedWorker::kill() noexcept {
  Lock const lock(mutex_);
  if (pidfd_ >= 0) os::signal_group(pidfd_, pid_, SIGKILL);
}

void DedicatedWorker::started(pid_t pid, int pidfd) {
  Lock const lock(mutex_);
  pid_ = pid;
  pidfd_ = pidfd;
  changed_.notify_all();
}

void DedicatedWorker::forget_process() {
  Lock const lock(mutex_);
  pidfd_ = -1;
}

void DedicatedWorker::note_exit(os::Exit const& exit) {
  Lock const lock(mutex_);
  pidfd_ = -1;
  exit_ = exit;
}

void DedicatedWorker::ended(os::Exit const& exit) {
  Lock const lock(mutex_);
  pidfd_ = -1;
  exit_ = exit;
  ended_ = true;
  changed_.notify_all();
}

void DedicatedWorker::not_started(std::exception_ptr reason) {
  Lock const lock(mutex_);
  pidfd_ = -1;
  failure_ = std::move(reason);
  changed_.notify_all();
}

detail::InputBuffer DedicatedWorker::take_arguments() {
  if (actor_->restarts == 0) return std::exchange(actor_->arguments, {});
  return actor_->arguments;
}

}  // namespace procpool::inline v0_1::parent
