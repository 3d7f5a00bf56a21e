// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#include "parent/worker_launcher.hpp"

#include <signal.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <map>
#include <span>
#include <tuple>
#include <utility>

#include "engine/listed_exceptions.hpp"
#include "entry/entry_hook.hpp"
#include "os/affinity.hpp"
#include "os/process.hpp"
#include "os/socket.hpp"
#include "parent/core.hpp"
#include "parent/dedicated_worker.hpp"
#include "parent/worker_environment.hpp"
#include "protocol/function_registration.hpp"
#include "protocol/handshake.hpp"
#include "protocol/worker_limits.hpp"
#include "worker/process_title.hpp"

namespace procpool::inline v0_1::parent {

namespace {

std::vector<std::string> variables_of(std::map<std::string, std::string> const& environment) {
  std::vector<std::string> variables;
  variables.reserve(environment.size());
  for (auto const& [name, value] : environment) variables.push_back(name + "=" + value);
  return variables;
}

}  // namespace

std::vector<int> PendingWorker::fork_descriptors() const {
  std::vector<int> fds{workers_control.get()};
  if (output) fds.push_back(output->workers_end());
  if (lines) {
    for (auto const stream : {LineSink::out, LineSink::error}) {
      fds.push_back(lines->workers_end(stream));
    }
  }
  if (null_device) fds.push_back(null_device.get());
  return fds;
}

WorkerLauncher::WorkerLauncher(Core const& core, std::vector<std::string> environment,
                               entry::WorkerProgram program)
    : core_(core), environment_(std::move(environment)), program_(std::move(program)) {}

void WorkerLauncher::open() {
  if (!program_.image) program_.image = os::open_own_image();
  if (!self_) self_ = os::open_pidfd(::getpid());
  if (!liveness_pipe_) liveness_pipe_.emplace();
  if (start_time_ == 0) start_time_ = os::start_time(::getpid());
  if (modules_.empty()) modules_ = identity::loaded_modules();
  if (usable_cpus_.empty()) usable_cpus_ = os::usable_cpus();
  if (core_.options.start.preload && !preload_) {
    preload_ = os::sealed_copy(
        "procpool-preload", protocol::encode_registration(
                                detail::BoundCallAccess::function(*core_.options.start.preload)));
  }
}

PoolOptions const& WorkerLauncher::options_of(PendingWorker const& pending) const noexcept {
  return pending.dedicated ? pending.dedicated->options : core_.options;
}

std::string WorkerLauncher::title(PendingWorker const& pending, std::size_t index) const {
  if (pending.dedicated) return "[" + pending.dedicated->options.name + "]";
  return "[" + core_.name + "/" + std::to_string(index) + "]";
}

PendingWorker WorkerLauncher::make(std::shared_ptr<DedicatedWorker const> dedicated,
                                   std::size_t index) {
  open();
  PendingWorker pending;
  pending.dedicated = std::move(dedicated);
  PoolOptions const& options = options_of(pending);
  pending.channel = std::make_unique<channel::ParentEnd>(core_.ring_bytes);
  std::tie(pending.control, pending.workers_control) = os::socket_pair();
  pending.event = os::Event();
  if (options.output.mode == Output::capture) {
    pending.output = std::make_unique<OutputCapture>(
        detail::checked(options.output.limit, "output.limit", detail::max_output));
  }
  if (options.output.mode == Output::lines) pending.lines = std::make_unique<OutputLines>();
  if (options.output.mode == Output::relay) {
    pending.lines = std::make_unique<OutputLines>(title(pending, index) + " ");
  }
  // A fork server drops the output of all its workers, or of none.
  if (pending.dedicated && options.output.mode == Output::drop) {
    pending.null_device = os::open_null_device();
  }
  if (!options.placement.cgroup.empty()) {
    static std::atomic<std::uint64_t> number{0};
    // Relaxed: only the number has to be unique.
    auto const next = number.fetch_add(1, std::memory_order_relaxed) + 1;
    pending.cgroup =
        os::Cgroup(options.placement.cgroup,
                   os::cgroup_prefix + std::to_string(::getpid()) + "-" + std::to_string(next));
  }
  return pending;
}

os::Child WorkerLauncher::spawn(PendingWorker const& pending, std::size_t index) const {
  os::SpawnRequest request;
  request.image = program_.image.get();
  request.control = pending.workers_control.get();
  PoolOptions const& options = options_of(pending);
  request.arguments = {program_invocation_name, title(pending, index) + worker::title_space()};
  if (!program_.module.empty()) request.arguments.push_back(program_.module);
  request.environment = pending.dedicated ? pending.dedicated->environment : environment_;
  if (!pending.dedicated) {
    request.environment_additions = core_.place_environments.variables_of(index);
  }
  request.environment_additions.push_back(std::string(protocol::worker_mark) + "=" +
                                          std::to_string(channel::protocol_version));
  request.drops_output = options.output.mode == Output::drop;
  if (options.shutdown.ignore_sigterm) request.blocked = SIGTERM;
  if (pending.output) request.output = pending.output->workers_end();
  if (pending.lines) {
    request.output = pending.lines->workers_end(LineSink::out);
    request.error = pending.lines->workers_end(LineSink::error);
  }
  return os::spawn(request);
}

void WorkerLauncher::send_hello(PendingWorker& pending, std::size_t index) const {
  PoolOptions const& options = options_of(pending);
  std::array<int, protocol::max_hello_fds> fds{};
  fds[protocol::fd_inbox] = pending.channel->inbox().fd();
  fds[protocol::fd_outbox] = pending.channel->outbox().fd();
  fds[protocol::fd_event] = pending.event.fd();
  fds[protocol::fd_parent] = self_.get();
  os::UniqueFd const liveness_pipe = liveness_pipe_->end();
  fds[protocol::fd_liveness_pipe] = liveness_pipe.get();
  os::UniqueFd const cgroup_kill = pending.cgroup ? pending.cgroup.open_kill() : os::UniqueFd();
  fds[protocol::fd_cgroup_kill] = cgroup_kill.get();
  // A spawned worker has its variables from the beginning.
  std::vector<std::string> const variables =
      pending.dedicated ? variables_of(options.start.environment)
      : pending.forked  ? core_.place_environments.variables_of(index)
                        : std::vector<std::string>();
  protocol::Hello const hello{channel::protocol_version,
                              pending.dedicated ? 0u : static_cast<std::uint32_t>(index),
                              ::getpid(),
                              core_.ring_bytes,
                              options.name,
                              protocol::limits_of(options.limits),
                              cpus_of_worker(options, usable_cpus_, index),
                              options.placement.nice,
                              options.harden ? 1u : 0u,
                              entry::depth() + 1,
                              options.lifetime.recycle_above.value_or(0),
                              pending.cgroup ? 1u : 0u,
                              pending.output ? pending.output->token() : std::string(),
                              start_time_,
                              options.shutdown.ignore_sigterm ? 1u : 0u,
                              ListedExceptions::text_of(options.exceptions),
                              pending.dedicated ? 1u : 0u,
                              pending.dedicated || pending.lines ? 1u : 0u,
                              variables};
  // The socket is empty and takes the packet at once. The pidfd reports a worker that is dead
  // already.
  std::span<int const> const sent =
      std::span(fds).first(pending.cgroup ? protocol::max_hello_fds : protocol::fd_cgroup_kill);
  os::send_packet(pending.control.get(), encode(hello), sent, false);
  pending.channel->forget_memory();
  pending.hello_sent = true;
}

ForkServerProcess::Settings WorkerLauncher::fork_server_settings() const {
  PoolOptions const& options = core_.options;
  return {program_.image.get(),
          self_.get(),
          core_.name,
          environment_,
          options.output.mode != Output::inherit,
          options.start.timeout,
          options.shutdown.ignore_sigterm ? SIGTERM : 0,
          preload_ ? preload_.fd() : -1,
          entry::depth() + 1,
          program_.module};
}

std::optional<std::string> WorkerLauncher::first_difference(
    std::vector<identity::LoadedModule> const& modules) const {
  using identity::Programs;
  return identity::first_difference(modules_, modules,
                                    program_.module.empty() ? Programs::same : Programs::any);
}

}  // namespace procpool::inline v0_1::parent
