// The dispatcher's part that makes workers: from the decision that one is wanted to its first word.

#include <sys/epoll.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <bit>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <span>
#include <tuple>
#include <utility>

#include <procpool/detail/deadline.hpp>
#include <procpool/detail/reason.hpp>
#include <procpool/errors.hpp>

#include "engine/listed_exceptions.hpp"
#include "engine/local/dispatcher.hpp"
#include "engine/local/dispatcher_keys.hpp"
#include "engine/local/process_title.hpp"
#include "engine/local/worker_limits.hpp"
#include "engine/patience.hpp"
#include "entry/hook.hpp"
#include "os/socket.hpp"
#include "os/spawn.hpp"

namespace procpool::inline v0::local {
namespace {

using namespace std::chrono_literals;

constexpr unsigned most_failed_starts = 3;
// If somebody killed them: eight seconds.
constexpr unsigned most_shot_starts = 12;
constexpr auto first_backoff = 10ms;
constexpr unsigned most_backoff_doublings = 7;  // 1.28 s

}  // namespace

bool Dispatcher::wants_worker() {
  std::lock_guard const lock(core_.mutex);
  return !core_.broken && core_.phase != Phase::killing && core_.live < core_.wanted &&
         core_.scheduler.waiting() > core_.starting;
}

void Dispatcher::change(std::size_t slot, State to) {
  Life& life = lives_[slot];
  std::lock_guard const lock(core_.mutex);
  auto const count = [this](State state, std::size_t by) {
    bool const starting = state == State::starting || state == State::initializing;
    if (starting) core_.starting += by;
    if (state == State::ready) core_.ready += by;
    if (starting || state == State::ready) core_.live += by;
  };
  count(life.state, static_cast<std::size_t>(-1));
  count(to, 1);
  life.state = to;
}

void Dispatcher::start_worker(std::size_t slot) {
  lives_[slot] = Life();
  change(slot, State::starting);
  try {
    make_cradle(slot);
    if (!ask_for_fork(slot)) born(slot, spawn(slot));
  } catch (std::exception const& error) {
    lives_[slot].cradle = Cradle();
    start_failed(slot, detail::patiently([&] {
                   return "worker " + std::to_string(slot) + " could not be made: " + error.what();
                 }));
  }
}

std::string Dispatcher::title(std::size_t slot) const {
  return "[" + core_.name + "/" + std::to_string(slot) + "]";
}

void Dispatcher::make_cradle(std::size_t slot) {
  Life& life = lives_[slot];
  if (!image_) image_ = os::open_own_image();
  if (!self_) self_ = os::open_pidfd(::getpid());
  if (!lifeline_) lifeline_.emplace();
  if (began_ == 0) began_ = os::start_time(::getpid());
  if (modules_.empty()) modules_ = identity::loaded_modules();

  life.cradle.channel = std::make_unique<channel::ParentEnd>(core_.ring_bytes);
  std::tie(life.cradle.ours, life.cradle.theirs) = os::socket_pair();
  life.event.emplace();
  if (core_.options.output == Output::capture) {
    life.cradle.output = std::make_unique<OutputTap>(
        core_.options.output_limit.checked("output_limit", most_output));
  }
  if (!core_.options.cgroup.empty()) {
    static std::atomic<std::uint64_t> number{0};
    life.cgroup = os::Cgroup(core_.options.cgroup, os::cgroup_prefix + std::to_string(::getpid()) +
                                                       "-" + std::to_string(++number));
  }
}

os::Child Dispatcher::spawn(std::size_t slot) {
  Cradle const& cradle = lives_[slot].cradle;
  os::SpawnRequest request;
  request.image = image_.get();
  request.control = cradle.theirs.get();
  request.arguments = {program_invocation_name, title(slot) + title_space()};
  request.environment = environment_;
  request.environment_additions = {std::string(worker_mark) + "=" +
                                   std::to_string(channel::protocol_version)};
  request.silent = core_.options.output == Output::drop;
  if (core_.options.ignore_sigterm) request.blocked = SIGTERM;
  if (cradle.output) request.output = cradle.output->workers_end();
  return os::spawn(request);
}

void Dispatcher::send_hello(std::size_t slot, Cradle& cradle) {
  Life& life = lives_[slot];
  std::array<int, most_hello_fds> fds{};
  fds[fd_inbox] = cradle.channel->inbox().fd();
  fds[fd_outbox] = cradle.channel->outbox().fd();
  fds[fd_event] = life.event->fd();
  fds[fd_parent] = self_.get();
  os::UniqueFd const lifeline = lifeline_->end();
  fds[fd_lifeline] = lifeline.get();
  os::UniqueFd const cgroup_kill = life.cgroup ? life.cgroup.open_kill() : os::UniqueFd();
  fds[fd_cgroup_kill] = cgroup_kill.get();
  Hello const hello{
      channel::protocol_version,
      static_cast<std::uint32_t>(slot),
      ::getpid(),
      core_.ring_bytes,
      core_.name,
      limits_of(core_.options.limits),
      core_.options.cpus.empty() ? -1 : core_.options.cpus[slot % core_.options.cpus.size()],
      core_.options.nice,
      core_.options.confine ? 1u : 0u,
      entry::depth() + 1,
      core_.options.recycle_above.value_or(0),
      life.cgroup ? 1u : 0u,
      cradle.output ? cradle.output->token() : std::string(),
      began_,
      core_.options.ignore_sigterm ? 1u : 0u,
      ListedExceptions::text_of(core_.options.exceptions)};
  // The socket is empty and takes it at once; a worker that is dead already reports itself.
  std::span<int const> const sent =
      std::span(fds).first(life.cgroup ? most_hello_fds : fd_cgroup_kill);
  os::send_packet(cradle.ours.get(), encode(hello), sent, false);
  cradle.channel->forget_memory();
  cradle.hello_said = true;
}

void Dispatcher::born(std::size_t slot, os::Child child) {
  Life& life = lives_[slot];
  Cradle cradle = std::exchange(life.cradle, Cradle());
  cradle.theirs.reset();
  if (cradle.output) {
    cradle.output->forget_workers_end();
    life.output = cradle.output->fd();
  }
  life.unborn = false;
  life.pid = child.pid;
  // Some of ours counts as its own, and the system's sums are a bit behind.
  if (life.ticket == 0) life.inherited_peak = os::peak_resident_bytes() / 16 * 17 + (1u << 20);
  life.pidfd = std::move(child.pidfd);
  life.deadline = detail::later(std::chrono::steady_clock::now(), core_.options.start_timeout);
  life.control = cradle.ours.get();
  {
    std::lock_guard const lock(core_.mutex);
    ++core_.counted.worker_starts;
    ++core_.per_worker[slot].starts;
    core_.per_worker[slot].pid = child.pid;
  }
  // From here on there is a process: whatever fails now ends it, and its end is then reported.
  life.unwatched = true;
  try {
    poller_->add(life.pidfd.get(), key(what_exit, slot), EPOLLIN);
    life.unwatched = false;
    poller_->add(life.control, key(what_control, slot), EPOLLIN);
    poller_->add(life.event->fd(), key(what_event, slot), EPOLLIN | EPOLLET);
    // Before its first word: no task has run yet.
    if (life.cgroup) life.cgroup.add(life.pid);
    if (cradle.output) poller_->add(life.output, key(what_output, slot), EPOLLIN);
    if (!cradle.hello_said) send_hello(slot, cradle);
  } catch (std::exception const& error) {
    kill(slot, error.what());
  }
  // It was not needed any more before it was there.
  if (life.killed) send_kill(slot);
  core_.slots[slot].open(std::move(cradle.channel), std::move(cradle.ours), life.pid,
                         std::move(cradle.output));
}

// What a starting worker has to say, or that a worker's control socket is gone.
void Dispatcher::on_control(std::size_t slot) {
  Life& life = lives_[slot];
  if (life.state == State::starting) {
    os::Packet packet;
    std::optional<std::variant<Ready, Refusal>> answer;
    try {
      if (os::receive_packet(life.control, packet, false, longest_message,
                             os::Takes::memory_files) != os::ReceiveResult::received) {
        poller_->remove(life.control);  // its end is coming through the pidfd
        return;
      }
      answer = decode_answer(packet.bytes);
    } catch (std::exception const&) {  // not a packet of ours
    }
    if (!answer) {
      kill(slot, "its first word was none that this program says");
    } else if (auto const* const no = std::get_if<Refusal>(&*answer)) {
      kill(slot, no->reason);
    } else {
      greet(slot, std::get<Ready>(*answer));
    }
  } else if (life.state != State::vacant) {
    // Mostly it is dying, which closes its descriptors before the pidfd tells.
    poller_->remove(life.control);
    life.hung_up = std::chrono::steady_clock::now();
  }
}

void Dispatcher::on_output(std::size_t slot) {
  Life& life = lives_[slot];
  if (life.output < 0 || core_.slots[slot].read_output()) return;
  poller_->remove(life.output);  // everybody has closed it
  life.output = -1;
}

void Dispatcher::greet(std::size_t slot, Ready const& answer) {
  Life& life = lives_[slot];
  // What the template has loaded was looked at when it came up.
  bool const forked = life.ticket != 0;
  if (auto const difference =
          forked ? std::nullopt : identity::first_difference(modules_, answer.modules)) {
    kill(slot, *difference);
    return;
  }
  // From now on only its hang-up is of interest; descriptors are fetched when a record names them.
  poller_->remove(life.control);
  try {
    poller_->add(life.control, key(what_control, slot), 0);
  } catch (std::exception const& error) {  // no memory: it cannot be served
    kill(slot, error.what());
    return;
  }
  if (core_.options.initializer) {
    initialize(slot);
  } else {
    make_ready(slot);
  }
}

void Dispatcher::make_ready(std::size_t slot) {
  change(slot, State::ready);
  {
    std::lock_guard const lock(core_.mutex);
    core_.scheduler.worker_ready(slot, std::chrono::steady_clock::now());
  }
  if (auto const age = core_.options.recycle_after) {
    // Up to a fifth earlier, each another share of it.
    double const part = 1 - 0.2 * even_share(slot);
    lives_[slot].retires =
        detail::later(std::chrono::steady_clock::now(), std::chrono::duration<double>(*age) * part);
  }
  failed_starts_ = 0;
  shot_starts_ = 0;
  spawns_next_ = false;
  core_.place();
}

// ---- the initializer: an element of a task of the pool's own, given to this worker past the scheduler

Chunk Dispatcher::hook_element(BoundCall const& call) {
  detail::Segment nothing;  // one element without arguments
  nothing.count = 1;
  std::uint64_t const length = 0;
  nothing.bytes.resize(sizeof length);
  std::memcpy(nothing.bytes.data(), &length, sizeof length);
  detail::TaskOptions options;
  options.internal = true;
  auto task = std::make_shared<detail::Task>(call.function(), std::move(options));
  task->announce(1, true);
  return {std::move(task), std::make_shared<Batch>(std::move(nothing), 0), 0, 1};
}

void Dispatcher::initialize(std::size_t slot) {
  Life& life = lives_[slot];
  change(slot, State::initializing);
  try {
    Chunk element = hook_element(*core_.options.initializer);
    life.initializer = element.task;
    if (core_.slots[slot].put(element) == Slot::Put::sent) return;
    kill(slot, "the initializer could not be sent to it");
  } catch (std::exception const& error) {
    kill(slot, detail::patiently([&] {
           return std::string("the initializer could not be sent to it: ") + error.what();
         }));
  }
}

void Dispatcher::look_at_initializer(std::size_t slot) {
  Life& life = lives_[slot];
  if (life.state != State::initializing || life.killed || !life.initializer->ended()) return;
  for (detail::Block const& block : life.initializer->take()) {
    if (block.kind == detail::Block::Kind::values) continue;
    life.failure = detail::reason_of(block, life.initializer->id());
    kill(slot, "its initializer failed");  // its end reports it
    return;
  }
  make_ready(slot);
}

void Dispatcher::put_off_births(TimePoint now, unsigned in_a_row) {
  unsigned const doublings = std::min(in_a_row - 1, most_backoff_doublings);
  no_birth_before_ = now + first_backoff * (1u << doublings);
}

void Dispatcher::start_failed(std::size_t slot, std::string const& reason, std::exception_ptr error,
                              bool shot) noexcept {
  change(slot, State::vacant);
  ++failed_starts_;
  shot_starts_ += shot ? 1 : 0;
  put_off_births(std::chrono::steady_clock::now(), failed_starts_ + useless_deaths_);
  Chunks waiting;
  std::exception_ptr broken;
  bool others = false;
  {
    std::lock_guard const lock(core_.mutex);
    if (core_.phase == Phase::killing) return;
    ++core_.counted.failed_starts;
    // An initializer fails again where it has failed once.
    unsigned const most = error && !shot ? 1 : most_failed_starts;
    bool const enough = failed_starts_ - shot_starts_ >= most || failed_starts_ >= most_shot_starts;
    if (enough && core_.ready == 0 && !core_.broken) {
      core_.broken = error ? error : detail::patiently([&] {
        return std::make_exception_ptr(
            SetupError("pool \"" + core_.name + "\" cannot start workers; the last of " +
                       std::to_string(failed_starts_) + " attempts: " + reason));
      });
      broken = core_.broken;
      waiting = core_.scheduler.remove_all();
      core_.tell_room();
    }
    others = enough && core_.ready != 0;
    // What waits for this very worker would wait for as long as the others live.
    if (others) core_.scheduler.count_on_ready_ones();
  }
  if (others) detail::if_possible([this] { core_.place(); });
  if (broken) {
    core_.fail(waiting, broken);
  } else if (std::has_single_bit(
                 failed_starts_)) {  // the first of a row, the second, the fourth ...
    detail::if_possible([&] { core_.log("pool \"" + core_.name + "\": " + reason); });
  }
}

std::string Dispatcher::refusal(std::size_t slot) {
  Life const& life = lives_[slot];
  if (!life.why_killed.empty()) return life.why_killed;
  try {
    os::Packet packet;
    if (os::receive_packet(life.control, packet, false, longest_message, os::Takes::memory_files) ==
        os::ReceiveResult::received) {
      if (auto const answer = decode_answer(packet.bytes)) {
        if (auto const* const no = std::get_if<Refusal>(&*answer)) return no->reason;
      }
    }
  } catch (std::exception const&) {  // it said nothing that can be read
  }
  return {};
}

}  // namespace procpool::inline v0::local
