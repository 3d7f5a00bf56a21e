#include "parent/worker_launcher.hpp"

#include <signal.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <span>
#include <tuple>
#include <utility>

#include "engine/listed_exceptions.hpp"
#include "entry/entry_hook.hpp"
#include "os/process.hpp"
#include "os/socket.hpp"
#include "parent/core.hpp"
#include "protocol/handshake.hpp"
#include "protocol/worker_limits.hpp"
#include "worker/process_title.hpp"

namespace procpool::inline v0::parent {

std::vector<int> PendingWorker::fork_descriptors() const {
  std::vector<int> fds{workers_control.get()};
  if (output) fds.push_back(output->workers_end());
  return fds;
}

WorkerLauncher::WorkerLauncher(Core const& core, std::vector<std::string> environment)
    : core_(core), environment_(std::move(environment)) {}

void WorkerLauncher::open() {
  if (!image_) image_ = os::open_own_image();
  if (!self_) self_ = os::open_pidfd(::getpid());
  if (!liveness_pipe_) liveness_pipe_.emplace();
  if (start_time_ == 0) start_time_ = os::start_time(::getpid());
  if (modules_.empty()) modules_ = identity::loaded_modules();
}

std::string WorkerLauncher::title(std::size_t index) const {
  return "[" + core_.name + "/" + std::to_string(index) + "]";
}

PendingWorker WorkerLauncher::make() {
  open();
  PoolOptions const& options = core_.options;
  PendingWorker pending;
  pending.channel = std::make_unique<channel::ParentEnd>(core_.ring_bytes);
  std::tie(pending.control, pending.workers_control) = os::socket_pair();
  pending.event = os::Event();
  if (options.output == Output::capture) {
    pending.output =
        std::make_unique<OutputCapture>(options.output_limit.checked("output_limit", max_output));
  }
  if (!options.cgroup.empty()) {
    static std::atomic<std::uint64_t> number{0};
    // Relaxed: only the number has to be unique.
    auto const next = number.fetch_add(1, std::memory_order_relaxed) + 1;
    pending.cgroup = os::Cgroup(options.cgroup, os::cgroup_prefix + std::to_string(::getpid()) +
                                                    "-" + std::to_string(next));
  }
  return pending;
}

os::Child WorkerLauncher::spawn(PendingWorker const& pending, std::size_t index) const {
  os::SpawnRequest request;
  request.image = image_.get();
  request.control = pending.workers_control.get();
  request.arguments = {program_invocation_name, title(index) + worker::title_space()};
  request.environment = environment_;
  request.environment_additions = {std::string(protocol::worker_mark) + "=" +
                                   std::to_string(channel::protocol_version)};
  request.drops_output = core_.options.output == Output::drop;
  if (core_.options.ignore_sigterm) request.blocked = SIGTERM;
  if (pending.output) request.output = pending.output->workers_end();
  return os::spawn(request);
}

void WorkerLauncher::send_hello(PendingWorker& pending, std::size_t index) const {
  PoolOptions const& options = core_.options;
  std::array<int, protocol::max_hello_fds> fds{};
  fds[protocol::fd_inbox] = pending.channel->inbox().fd();
  fds[protocol::fd_outbox] = pending.channel->outbox().fd();
  fds[protocol::fd_event] = pending.event.fd();
  fds[protocol::fd_parent] = self_.get();
  os::UniqueFd const liveness_pipe = liveness_pipe_->end();
  fds[protocol::fd_liveness_pipe] = liveness_pipe.get();
  os::UniqueFd const cgroup_kill = pending.cgroup ? pending.cgroup.open_kill() : os::UniqueFd();
  fds[protocol::fd_cgroup_kill] = cgroup_kill.get();
  protocol::Hello const hello{channel::protocol_version,
                              static_cast<std::uint32_t>(index),
                              ::getpid(),
                              core_.ring_bytes,
                              core_.name,
                              protocol::limits_of(options.limits),
                              options.cpus.empty() ? -1 : options.cpus[index % options.cpus.size()],
                              options.nice,
                              options.harden ? 1u : 0u,
                              entry::depth() + 1,
                              options.recycle_above.value_or(0),
                              pending.cgroup ? 1u : 0u,
                              pending.output ? pending.output->token() : std::string(),
                              start_time_,
                              options.ignore_sigterm ? 1u : 0u,
                              ListedExceptions::text_of(options.exceptions)};
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
  return {image_.get(),
          self_.get(),
          core_.name,
          environment_,
          options.output != Output::inherit,
          options.start_timeout,
          options.ignore_sigterm ? SIGTERM : 0};
}

std::optional<std::string> WorkerLauncher::first_difference(
    std::vector<identity::LoadedModule> const& modules) const {
  return identity::first_difference(modules_, modules);
}

}  // namespace procpool::inline v0::parent
