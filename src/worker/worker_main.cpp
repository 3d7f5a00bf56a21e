// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#include "worker/worker_main.hpp"

#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <procpool/detail/export.hpp>

#include "channel/worker_end.hpp"
#include "entry/entry_hook.hpp"
#include "identity/module.hpp"
#include "os/event.hpp"
#include "os/memfd.hpp"
#include "os/process.hpp"
#include "os/socket.hpp"
#include "os/spawn.hpp"
#include "protocol/handshake.hpp"
#include "protocol/worker_limits.hpp"
#include "worker/crash_handler.hpp"
#include "worker/output_tagger.hpp"
#include "worker/parent_watchdog.hpp"
#include "worker/process_guards.hpp"
#include "worker/process_title.hpp"
#include "worker/worker.hpp"
#include "worker/worker_context.hpp"

namespace procpool::inline v0_1::worker {
namespace {

[[noreturn]] void refuse(int control, std::string const& reason) {
  try {
    os::send_packet(control, encode(protocol::Refusal{reason}), {}, true);
  } catch (std::exception const&) {  // the parent sees the end of the process
  }
  std::exit(EXIT_FAILURE);
}

// Moves a descriptor to a high number. A task that opens files does not get the numbers next to it,
// and a task that closes a range of low numbers does not close it.
os::UniqueFd out_of_the_way(os::UniqueFd descriptor) {
  constexpr rlim_t usual = 512;
  rlimit limit{};
  ::getrlimit(RLIMIT_NOFILE, &limit);
  rlim_t const lowest = std::min(usual, limit.rlim_cur / 2);
  int const moved = ::fcntl(descriptor.get(), F_DUPFD_CLOEXEC, static_cast<int>(lowest));
  return moved < 0 ? std::move(descriptor) : os::UniqueFd(moved);
}

// By a handler that does nothing: a program that a task executes has the default action again.
void ignore_sigterm() {
  struct sigaction action{};
  action.sa_handler = [](int) {};
  action.sa_flags = SA_RESTART;
  ::sigaction(SIGTERM, &action, nullptr);
  sigset_t term;
  sigemptyset(&term);
  sigaddset(&term, SIGTERM);
  ::pthread_sigmask(SIG_UNBLOCK, &term, nullptr);
}

// Ahead of the first task: nobody else reads the environment yet.
void set_environment(std::vector<std::string> const& variables) {
  for (std::string const& variable : variables) {
    std::size_t const end = variable.find('=');
    if (end == std::string::npos) continue;
    ::setenv(variable.substr(0, end).c_str(), variable.c_str() + end + 1, 1);
  }
}

// A line that is no longer than the buffer is written at once, so that lines of several processes
// do not mix. Without a buffer of its own, stdio would take a small one.
void write_whole_lines() {
  constexpr std::size_t longest_line = 64 * 1024;
  static char* const buffer = new char[longest_line];  // never freed: used until the very end
  std::setvbuf(stdout, buffer, _IOLBF, longest_line);
}

// A task may have many handles, each with its descriptors. Far below the hard limit, which may be a
// billion: programs that close all numbers up to the limit would take forever.
void raise_open_files() {
  constexpr rlim_t enough = 65'536;
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  limit.rlim_cur = std::max(limit.rlim_cur, std::min(limit.rlim_max, enough));
  ::setrlimit(RLIMIT_NOFILE, &limit);
}

// The steps from the parent's greeting to the loop. Each refuses, and ends the process, if it
// fails.
class Setup {
 public:
  explicit Setup(WorkerStart& start) noexcept : start_(start), greeting_(start.control.get()) {}

  // False: the parent is gone.
  bool receive_hello();
  void apply_settings();
  void open_channel();
  // Last: the limits leave no room for anything that the worker itself needs.
  void apply_limits();
  // Answers the greeting and runs the loop. Returns the exit status.
  PROCPOOL_PASSES_FORCED_END int work();

 private:
  WorkerStart& start_;
  int const greeting_;  // the control socket, which the channel owns later
  os::Packet packet_;
  protocol::Hello hello_;
  OutputTagger tagger_;
  os::UniqueFd parent_;
  os::UniqueFd liveness_pipe_;
  os::UniqueFd cgroup_kill_;
  // Never destroyed: threads of tasks may ask for requests to stop until the process is gone.
  channel::WorkerEnd* channel_ = nullptr;
  WorkerContext* context_ = nullptr;
  std::vector<identity::LoadedModule> modules_;
};

bool Setup::receive_hello() {
  if (os::receive_packet(greeting_, packet_, true, protocol::longest_message) !=
      os::ReceiveResult::received) {
    return false;
  }
  auto hello = protocol::decode_hello(packet_.bytes);
  if (!hello || packet_.fds.size() !=
                    (hello->cgroup != 0 ? protocol::max_hello_fds : protocol::fd_cgroup_kill)) {
    refuse(greeting_, "the parent's greeting is not one that this program knows");
  }
  hello_ = std::move(*hello);
  if (hello_.protocol != channel::protocol_version) {
    refuse(greeting_, "this worker speaks version " + std::to_string(channel::protocol_version) +
                          " of the protocol and the program version " +
                          std::to_string(hello_.protocol));
  }
  return true;
}

void Setup::apply_settings() {
  entry::set_worker_index(static_cast<int>(hello_.worker));
  entry::set_depth(hello_.depth);
  ProcessTitle::name_process(hello_.pool,
                             hello_.dedicated != 0 ? std::string() : std::to_string(hello_.worker));
  set_environment(hello_.environment);
  entry::take_host();
  if (hello_.ignore_sigterm != 0) ignore_sigterm();
  // Before the first thread, which inherits it.
  if (auto const failed = protocol::apply_scheduling(hello_)) refuse(greeting_, *failed);
  if (hello_.whole_lines != 0) write_whole_lines();
  if (!hello_.output_token.empty()) {
    tagger_ = OutputTagger(out_of_the_way(os::duplicate(STDOUT_FILENO)), hello_.output_token);
  }
}

void Setup::open_channel() {
  auto const take = [this](protocol::HelloFd which) {
    return out_of_the_way(std::move(packet_.fds[which]));
  };
  parent_ = take(protocol::fd_parent);
  liveness_pipe_ = take(protocol::fd_liveness_pipe);
  try {
    if (hello_.cgroup != 0) cgroup_kill_ = take(protocol::fd_cgroup_kill);
    watch_parent({static_cast<pid_t>(hello_.parent), hello_.parent_began, !start_.forked},
                 parent_.get(), greeting_, liveness_pipe_.get(), cgroup_kill_.get());
    os::Memfd const inbox(std::move(packet_.fds[protocol::fd_inbox]));
    os::Memfd const outbox(std::move(packet_.fds[protocol::fd_outbox]));
    channel_ =
        new channel::WorkerEnd(inbox, outbox, hello_.ring_bytes,
                               os::Event(take(protocol::fd_event)), std::move(start_.control));
    context_ = new WorkerContext(*channel_);
  } catch (std::exception const& error) {
    refuse(greeting_, error.what());
  }
  guard_process(*channel_, *context_);
  set_worker_context(context_);
  report_crashes(channel_->control_page());
}

void Setup::apply_limits() {
  // The fork server has reported the modules of a forked worker.
  if (!start_.forked) modules_ = identity::loaded_modules();
  if (hello_.harden != 0) {
    if (auto const failed = protocol::harden()) refuse(greeting_, *failed);
  }
  raise_open_files();
  // What the fork server has loaded is the pool's, and no part of what a worker may have.
  for (protocol::Hello::Limit& limit : hello_.limits) {
    std::uint64_t const loaded = limit.resource == RLIMIT_DATA ? start_.preloaded.data
                                 : limit.resource == RLIMIT_AS ? start_.preloaded.addresses
                                                               : 0;
    limit.soft += loaded;
    limit.hard += loaded;
  }
  if (auto const failed = apply(hello_.limits)) refuse(greeting_, *failed);
}

int Setup::work() {
  ProcessTitle const title =
      start_.forked ? ProcessTitle(start_.argument, start_.title) : ProcessTitle(start_.argument);
  // All that the worker needs is there before the answer. If something is missing, the start has
  // failed and says so. After the answer it would be an unexplained death, and the next worker's
  // too.
  std::uint64_t const recycle_above =
      hello_.recycle_above == 0 ? 0 : hello_.recycle_above + start_.preloaded.resident;
  Worker worker(*channel_, *context_,
                {title, std::move(tagger_), recycle_above, ListedExceptions(hello_.exceptions)});
  if (os::send_packet(greeting_, encode(protocol::Ready{modules_}), {}, true) !=
      os::SendResult::sent) {
    return EXIT_FAILURE;
  }
  worker.loop();
  std::fflush(stdout);
  return hello_.dedicated != 0 && worker.threw() ? EXIT_FAILURE : EXIT_SUCCESS;
}

}  // namespace

PROCPOOL_PASSES_FORCED_END int worker_main(WorkerStart start) {
  os::no_core_dumps();
  start.control = out_of_the_way(std::move(start.control));
  int const greeting = start.control.get();
  try {
    Setup setup(start);
    if (!setup.receive_hello()) return EXIT_FAILURE;
    setup.apply_settings();
    setup.open_channel();
    setup.apply_limits();
    return setup.work();
  } catch (std::exception const& error) {
    // Before the answer to the greeting: nothing of a task passes here. The program reports why
    // there is no worker.
    refuse(greeting, error.what());
  }
}

}  // namespace procpool::inline v0_1::worker
