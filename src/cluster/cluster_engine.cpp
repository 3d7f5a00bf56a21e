// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#include "cluster/cluster_engine.hpp"

#include <algorithm>
#include <cstdio>
#include <limits>
#include <ranges>
#include <stdexcept>
#include <utility>

#include <procpool/detail/codec/exception_codec.hpp>
#include <procpool/detail/engine/actor_engine.hpp>
#include <procpool/detail/engine/deadline.hpp>
#include <procpool/detail/engine/reason.hpp>
#include <procpool/errors.hpp>

#include "cluster/failure_wire.hpp"
#include "cluster/pool_options.hpp"
#include "engine/call_seeds.hpp"
#include "engine/describe.hpp"
#include "engine/fork_detection.hpp"
#include "engine/patience.hpp"
#include "identity/module.hpp"
#include "os/text.hpp"
#include "parent/next_look.hpp"

namespace procpool::inline v0_1::cluster {

using detail::Lock;
using detail::OutcomeBlock;
using parent::Chunk;
using parent::Chunks;
using parent::Phase;

namespace {

constexpr std::size_t granted_chunks = 2;
// So much that is granted never keeps a worker waiting for the next grant.
constexpr std::uint64_t enough_granted_ns = 2'000'000;
// Nothing is granted behind a longer chunk: another host might be free first.
constexpr std::uint64_t long_ns = 20'000'000;
constexpr std::uint64_t grain_bytes = std::uint64_t{1} << 20;
constexpr std::size_t usual_input = 16 * 1024;
constexpr char const* wrote_nonsense = "it sent what cannot be";

std::vector<Module> own_modules() {
  std::vector<Module> modules;
  for (identity::LoadedModule const& module : identity::loaded_modules()) {
    auto const id = module.id.bytes();
    modules.push_back({module.path, static_cast<std::uint8_t>(module.id.kind()),
                       detail::Bytes(id.begin(), id.end())});
  }
  return modules;
}

// Of so many workers in all, those of one host.
std::size_t share_of(std::size_t workers, std::size_t hosts, std::size_t host) {
  return workers / hosts + (host < workers % hosts ? 1 : 0);
}

std::optional<std::size_t> queue_limit_of(PoolOptions const& options) {
  if (!options.queue_limit) return std::nullopt;
  return detail::checked(*options.queue_limit, "queue_limit", detail::max_queue_limit);
}

}  // namespace

// ---- begin and end

ClusterEngine::ClusterEngine(std::shared_ptr<Client> client, Options options,
                             PoolOptions const& pool_options, std::size_t hosts)
    : forks_(fork_count()),
      cluster_(options),
      options_(pool_options),
      client_(std::move(client)),
      scheduler_(0, std::numeric_limits<std::uint64_t>::max(), grain_bytes),
      admission_(options_.name, queue_limit_of(options_)),
      seeds_(options_.seed),
      unanswered_(hosts) {
  if (hosts == 0) throw SetupError("pool \"" + options_.name + "\" has no host");
  static_cast<void>(encode_pool_options(options_));  // throws here, where somebody hears of it
  hosts_.resize(hosts);
  client_->join(*this);
  auto const end = detail::later(std::chrono::steady_clock::now(), cluster_.start_timeout);
  std::string failure;
  {
    Lock lock(mutex_);
    while (place_count_ == 0 && refused_.empty() && waits_->changed.wait_until(lock, end)) {
    }
    if (!refused_.empty()) {
      failure = refused_;
    } else if (place_count_ == 0) {
      failure = std::to_string(unanswered_) + " of " + std::to_string(hosts) +
                " hosts have not answered within " +
                std::to_string(cluster_.start_timeout.count()) + " ms";
    }
  }
  if (failure.empty()) return;
  bool const unanswered = refused_text().empty();
  client_->leave(*this);
  // This thread alone has the hosts now.
  std::string names;
  for (auto const& host : hosts_) {
    if (unanswered && host && host->state == RemoteHost::State::greeted) {
      names += (names.empty() ? ": " : ", ") + host->name;
    }
  }
  throw SetupError("pool \"" + options_.name + "\": " + failure + names);
}

std::unique_ptr<detail::Engine> make_engine(std::shared_ptr<Client> client, Options options,
                                            PoolOptions const& pool_options, std::size_t hosts) {
  return std::make_unique<ClusterEngine>(std::move(client), options, pool_options, hosts);
}

ClusterEngine::~ClusterEngine() {
  if (forked_since(forks_)) {
    // Threads and locks belong to another process, and are not even read.
    for (auto& host : hosts_) static_cast<void>(host.release());
    static_cast<void>(waits_.release());
    static_cast<void>(new std::shared_ptr<Client>(client_));
    return;
  }
  shutdown(End::kill, std::nullopt);
  client_->leave(*this);
}

std::string ClusterEngine::refused_text() const {
  Lock const lock(mutex_);
  return refused_;
}

void ClusterEngine::check_process() const {
  if (!forked_since(forks_)) return;
  throw SetupError("pool \"" + options_.name +
                   "\" belongs to the process that this one was forked from; make a pool here");
}

// ---- calls

void ClusterEngine::open_stream(std::shared_ptr<detail::Task> const&) {
  check_process();
  Lock const lock(mutex_);
  admission_.check_call();
}

std::exception_ptr ClusterEngine::refusal_of_handles(detail::Task const& task,
                                                     detail::InputBuffer const& input) {
  for (auto const* const list : {&task.function().resources, &input.resources}) {
    for (auto const& resource : *list) {
      if (resource->kind() == detail::Resource::Kind::value) continue;
      return std::make_exception_ptr(SerializationError(
          std::string("procpool: an argument of ") + task.name() + " has " +
          detail::name_of(resource->kind()) +
          ", which exists on one machine only, and the workers of this pool are on several"));
    }
  }
  return nullptr;
}

bool ClusterEngine::has_room(std::uint64_t count) const {
  return admission_.has_room(count, scheduler_.busy_workers());
}

void ClusterEngine::await_room(Lock& lock, detail::Task const& task, std::uint64_t first,
                               std::uint64_t count) {
  if (!admission_.queue_limit() || has_room(count)) return;
  if (first == 0 && task.when_full() == WhenFull::refuse) {
    throw QueueFull("pool \"" + options_.name + "\" takes no more tasks now: its queue_limit of " +
                    std::to_string(*admission_.queue_limit()) + " is reached");
  }
  while (admission_.may_get_room(first == 0) && task.cancelled_from() > first && !has_room(count)) {
    if (!task.deadline()) {
      waits_->room.wait(lock);
    } else if (!waits_->room.wait_until(lock, *task.deadline())) {
      break;
    }
  }
}

void ClusterEngine::append(std::shared_ptr<detail::Task> const& task, detail::InputBuffer&& input,
                           bool last) {
  check_process();
  std::exception_ptr refused = refusal_of_handles(*task, input);
  std::uint64_t const first_index = input.first;
  std::uint64_t const count = input.count;
  Chunk chunk{
      task, std::make_shared<parent::SharedInput>(std::move(input), task->function().argument_size),
      first_index, count};
  bool const first = first_index == 0;
  Chunks cancelled;
  bool overdue = false;
  {
    Lock lock(mutex_);
    if (task->stream()) {
      admission_.check_stream();
    } else {
      if (first) admission_.check_call();
      await_room(lock, *task, first_index, count);
      if (first) admission_.check_call();  // it may have been closed meanwhile
    }
    if (first) seeds_.seed(*task);
    // Steps that may find no memory come first: nothing is counted that is in nobody's hands.
    if (task->expires()) overdue = deadlines_.add(chunk, std::chrono::steady_clock::now());
    if (!refused) refused = admission_.hopeless();
    if (refused) {
      overdue = false;
    } else if (!admission_.goes_on()) {
      cancelled.push_back(std::move(chunk));
      overdue = false;
    } else {
      if (std::uint64_t const end = task->cancelled_from(); end < chunk.end()) {
        cancelled.push_back(chunk.take_from(end));
      }
      if (chunk.count != 0 && !overdue) scheduler_.add(std::move(chunk));
    }
    admission_.accept(count);
    if (first && !task->stream()) admission_.call_begins();
    if (task->announce(count, last) && !task->stream()) admission_.call_sealed();
  }
  client_->ring();
  // NOLINTBEGIN(bugprone-use-after-move): a chunk that was refused, or is overdue, was not moved
  if (refused) return end_element(chunk, refused, false);
  if (overdue) fail_expired(chunk);
  // NOLINTEND(bugprone-use-after-move)
  fail_cancelled(cancelled);
}

std::size_t ClusterEngine::begin_on_each_worker(std::shared_ptr<detail::Task> const&) {
  check_process();
  Lock const lock(mutex_);
  return place_count_;
}

void ClusterEngine::seal(std::shared_ptr<detail::Task> const& task) {
  check_process();
  if (!task->seal()) return;
  {
    Lock const lock(mutex_);
    if (!task->stream()) admission_.call_sealed();
  }
  client_->ring();
}

void ClusterEngine::cancel(std::shared_ptr<detail::Task> const& task, Running running) {
  check_process();
  bool const ends_running = running == Running::is_ended;
  if (task->internal()) return cancel_start(*task);
  if (ends_running) task->mark_for_end();
  cancel_from(task, 0, ends_running);
  seal(task);
  if (!ends_running) return;
  // A process that cannot be killed is abandoned by then, and a host that is gone is lost.
  task->wait_until(
      detail::later(detail::later(std::chrono::steady_clock::now(), options_.shutdown.term_grace),
                    cluster_.lost_after + std::chrono::seconds(2)));
}

void ClusterEngine::request_stop(std::shared_ptr<detail::Task> const& task) noexcept {
  if (forked_since(forks_) || task->ended()) return;
  detail::patiently([&] { cancel_from(task, 0, true); });
}

void ClusterEngine::cancel_from(std::shared_ptr<detail::Task> const& task, std::uint64_t first,
                                bool ends_running) {
  bool const marked = task->cancel_from(first);
  if (!marked && !ends_running) return;
  Chunks waiting;
  Chunks off;
  {
    Lock const lock(mutex_);
    detail::patiently(
        [&]() PROCPOOL_REQUIRES(mutex_) { cuts_.push_back({task, first, ends_running}); });
    waiting = scheduler_.remove(*task, first);
    off = deadlines_.remove_delayed(
        [&](Chunk const& chunk) { return chunk.task == task && chunk.first >= first; });
    waits_->room.notify_all();
  }
  fail_cancelled(off);
  fail_cancelled(waiting);
  client_->ring();
}

std::size_t ClusterEngine::input_elements(detail::Task const& task) const {
  std::size_t const chunk = task.chunk();
  std::size_t const most = std::min(usual_input, admission_limit().value_or(usual_input));
  if (chunk == 0) return most;
  return chunk * std::max<std::size_t>(1, most / chunk);
}

// ---- what a pool of several machines has not

void ClusterEngine::resize(std::size_t) {
  throw std::logic_error("procpool: pool \"" + options_.name +
                         "\" has the workers of its hosts, and cannot be resized");
}

void ClusterEngine::pause() {
  throw std::logic_error("procpool: pool \"" + options_.name +
                         "\" has workers on several machines, and cannot pause");
}

std::shared_ptr<detail::ActorEngine> ClusterEngine::make_actor(detail::ActorPlan&&) {
  throw std::logic_error("procpool: pool \"" + options_.name +
                         "\" has workers on several machines, and makes no actors");
}

// ---- workers without work

void ClusterEngine::start_workers(std::shared_ptr<detail::Task> const& task, std::size_t workers) {
  check_process();
  {
    Lock const lock(mutex_);
    admission_.check_call();
    starts_.emplace(task->id(), Start{task, workers, {}, {}});
    task->announce(1, true);
  }
  client_->ring();
}

void ClusterEngine::cancel_start(detail::Task const& task) {
  std::optional<Start> start;
  {
    Lock const lock(mutex_);
    auto node = starts_.extract(task.id());
    if (node) start = std::move(node.mapped());
  }
  if (start) end_start(*start, cancellation(task), true);
}

void ClusterEngine::end_start(Start const& start, std::exception_ptr const& failure,
                              bool cancelled) {
  OutcomeBlock block;
  block.count = 1;
  block.kind = failure ? OutcomeBlock::Kind::failed : OutcomeBlock::Kind::values;
  block.failure = failure;
  block.cancelled = cancelled;
  start.task->deliver(std::move(block));
}

void ClusterEngine::order_starts() {
  std::vector<Start> done;
  {
    Lock const lock(mutex_);
    for (auto& [id, start] : starts_) {
      if (start.workers == 0) continue;
      std::size_t const ready = ready_hosts();
      std::size_t left = std::exchange(start.workers, 0);
      for (std::size_t i = 0, nth = 0; i < hosts_.size(); ++i) {
        RemoteHost& host = *hosts_[i];
        if (host.state != RemoteHost::State::ready) continue;
        std::size_t const rest = ready - nth++;
        std::size_t const share = std::min((left + rest - 1) / rest, host.workers);
        left -= std::min(left, share);
        if (share == 0) continue;
        detail::patiently([&, request = id] { host.starts.insert(request); });
        detail::patiently([&] { start.hosts.insert(i); });
        host.post(StartWorkers{id, share});
      }
    }
    for (auto at = starts_.begin(); at != starts_.end();) {
      bool const over = at->second.hosts.empty();
      if (over) detail::patiently([&] { done.push_back(std::move(at->second)); });
      at = over ? starts_.erase(at) : std::next(at);
    }
  }
  for (Start const& start : done) end_start(start, start.failure, false);
}

// ---- the thread of the client: hosts

void ClusterEngine::handle(Link& link, Link::Event const& event) {
  using Kind = Link::Event::Kind;
  if (event.peer >= hosts_.size()) return;
  std::unique_ptr<RemoteHost>& place = hosts_[event.peer];
  auto const now = std::chrono::steady_clock::now();
  if (event.kind == Kind::up) {
    if (!place) place = detail::patiently([&] { return greet(link, event.peer, now); });
    return;
  }
  if (!place) {  // it was gone before this pool
    if (event.kind != Kind::down) return;
    auto refused =
        detail::patiently([&] { return "host " + link.name(event.peer) + ": " + event.text; });
    Lock const lock(mutex_);
    refused_ = std::move(refused);
    waits_->changed.notify_all();
    return;
  }
  RemoteHost& host = *place;
  if (event.kind == Kind::down) return lose(host, event.text);
  auto const envelope = open_envelope(event.bytes);
  if (!envelope || envelope->session != host.conversation.session()) return;
  if (host.state == RemoteHost::State::lost) {
    Lock const lock(mutex_);
    ++late_;
    return;
  }
  host.heard = now;
  std::vector<detail::Bytes> messages;
  if (!host.conversation.accept(*envelope, messages)) return lose(host, wrote_nonsense);
  for (detail::Bytes& bytes : messages) {
    if (host.state != RemoteHost::State::lost) receive(host, std::move(bytes));
  }
}

std::unique_ptr<RemoteHost> ClusterEngine::greet(Link const& link, Link::Peer peer,
                                                 TimePoint now) const {
  auto host = std::make_unique<RemoteHost>(peer, link.name(peer), random_seed(), now);
  Hello hello;
  hello.modules = own_modules();
  detail::Bytes const words = encode_pool_options(options_);
  hello.options = words;
  if (cluster_.workers_per_host) {
    hello.workers = cluster_.workers_per_host;
  } else if (options_.workers) {
    hello.workers = share_of(detail::checked(*options_.workers, "workers", detail::max_workers),
                             hosts_.size(), peer);
  }
  hello.beat = cluster_.beat;
  hello.lost_after = cluster_.lost_after;
  hello.host = host->name;
  host->post(std::move(hello));
  return host;
}

void ClusterEngine::receive(RemoteHost& host, detail::Bytes&& bytes) {
  auto const kept =
      detail::patiently([&] { return std::make_shared<detail::Bytes const>(std::move(bytes)); });
  auto const message = detail::patiently([&] { return decode(*kept); });
  if (!message) return lose(host, wrote_nonsense);
  if (auto const* const block = std::get_if<Block>(&*message)) {
    for (OutcomeMessage const& outcome : block->outcomes) {
      if (host.state != RemoteHost::State::lost) apply(host, outcome, kept);
    }
  } else if (auto const* const answer = std::get_if<Welcome>(&*message)) {
    welcome(host, *answer);
  } else if (auto const* const refusal = std::get_if<Refusal>(&*message)) {
    lose(host, detail::patiently([&] { return os::one_line(os::cut(refusal->reason, 4096)); }));
  } else if (auto const* const line = std::get_if<Line>(&*message)) {
    detail::if_possible([&] { log(host.name + ": " + line->text); });
  } else if (auto const* const event = std::get_if<EventMessage>(&*message)) {
    pass_on(host, *event);
  } else if (auto const* const stats = std::get_if<StatsMessage>(&*message)) {
    detail::if_possible([&] {  // or else the next ones
      host.stats = *stats;
      publish_stats(host);
    });
  } else if (auto const* const ended = std::get_if<Ended>(&*message)) {
    host.ended = true;
    {
      Lock const lock(mutex_);
      for (std::uint64_t i = 0; i < std::min<std::uint64_t>(ended->forced, host.workers); ++i) {
        tally_.count_forced();
      }
    }
    if (!host.ledger.empty()) lose(host, "it ended before all of its elements had");
  } else if (!std::holds_alternative<Beat>(*message)) {
    lose(host, wrote_nonsense);
  }
}

void ClusterEngine::welcome(RemoteHost& host, Welcome const& message) {
  if (host.state != RemoteHost::State::greeted || message.workers > detail::max_workers) {
    return lose(host, wrote_nonsense);
  }
  host.state = RemoteHost::State::ready;
  host.workers = message.workers;
  bool all = false;
  {
    Lock const lock(mutex_);
    all = --unanswered_ == 0;
  }
  if (all) assign_places(std::chrono::steady_clock::now());
}

void ClusterEngine::assign_places(TimePoint now) {
  std::vector<Place> places;
  std::vector<WorkerStats> seen;
  detail::patiently([&] {
    places.clear();
    seen.clear();
    for (std::size_t i = 0; i < hosts_.size(); ++i) {
      hosts_[i]->first_place = places.size();
      for (std::size_t n = 0; n < hosts_[i]->workers; ++n) {
        WorkerStats& one = seen.emplace_back();
        one.index = static_cast<unsigned>(places.size());
        one.host = hosts_[i]->name;
        places.push_back(Place{i});
      }
    }
  });
  places_ = std::move(places);
  Lock const lock(mutex_);
  detail::patiently([&]() PROCPOOL_REQUIRES(mutex_) {
    if (places_.empty()) refused_ = "its hosts have no worker";
    scheduler_.resize(places_.size());
    tally_.resize(places_.size());
  });
  for (std::size_t i = 0; i < places_.size(); ++i) {
    places_[i].load.version = 1;
    places_[i].load.writable = true;
    scheduler_.observe(i, load_of(places_[i]), now);
    scheduler_.worker_ready(i, now);
  }
  places_seen_ = std::move(seen);
  place_count_ = places_.size();
  waits_->changed.notify_all();
}

std::size_t ClusterEngine::ready_hosts() const {
  return static_cast<std::size_t>(std::ranges::count_if(
      hosts_, [](auto const& host) { return host && host->state == RemoteHost::State::ready; }));
}

void ClusterEngine::lose(RemoteHost& host, std::string const& reason) {
  auto const before = std::exchange(host.state, RemoteHost::State::lost);
  if (before == RemoteHost::State::lost) return;
  if (before == RemoteHost::State::greeted || places_.empty()) {
    auto refused = detail::patiently([&] { return "host " + host.name + ": " + reason; });
    Lock const lock(mutex_);
    refused_ = std::move(refused);
    waits_->changed.notify_all();
    return;
  }
  if (!host.ended || !host.ledger.empty()) {
    detail::if_possible(
        [&] { log("pool \"" + options_.name + "\": host " + host.name + " is lost: " + reason); });
  }
  std::vector<Taken> held = host.ledger.lose();
  std::vector<Taken> granted;
  std::vector<Taken> returned;
  detail::patiently([&] {
    granted.reserve(held.size());
    returned.reserve(held.size());
  });
  bool const again = cluster_.on_host_lost == OnLost::again;
  for (Taken& taken : held) {
    (taken.granted && !again ? granted : returned).push_back(std::move(taken));
  }
  std::vector<Start> starts;
  {
    Lock const lock(mutex_);
    for (std::size_t n = 0; n < host.workers; ++n) scheduler_.worker_leaves(host.first_place + n);
    place_count_ -= host.workers;
    for (auto at = starts_.begin(); at != starts_.end();) {
      bool const over = at->second.hosts.erase(host.peer) != 0 && at->second.hosts.empty();
      if (over) detail::patiently([&] { starts.push_back(std::move(at->second)); });
      at = over ? starts_.erase(at) : std::next(at);
    }
  }
  for (Start const& start : starts) end_start(start, start.failure, false);
  requeue(std::move(returned));
  for (Taken const& taken : granted) settle(taken, true);
  for (Taken const& taken : granted) end_lost(host, taken.chunk, reason);
  {
    Lock const lock(mutex_);
    scheduler_.count_on_ready_ones();
  }
  if (ready_hosts() == 0) {
    end_all_hopeless(detail::patiently([&] {
      return std::make_exception_ptr(HostLost("no host of pool \"" + options_.name +
                                                  "\" is left; the last one, " + host.name +
                                                  ", was lost: " + reason,
                                              host.name, reason, HostLost::Begun::no));
    }));
  }
}

void ClusterEngine::end_lost(RemoteHost const& host, Chunk const& chunk,
                             std::string const& reason) {
  Chunk rest = chunk;
  while (rest.count != 0) {
    // Each element counts its own attempts.
    Chunk element = rest.take_front(rest.count > 1 && chunk.task->retries() ? 1 : rest.count);
    auto const error = detail::patiently([&] {
      return std::make_exception_ptr(HostLost(
          parent::element_text(*element.task, element.first, element.count) + " of pool \"" +
              options_.name + "\": host " + host.name + " is lost: " + reason,
          host.name, reason, HostLost::Begun::maybe, element.task->id(), element.first));
    });
    auto const& retries = element.task->retries();
    auto const how = detail::patiently([&] { return describe(error); });
    if (retries && try_again(element, retries->on_crash, how, -1)) continue;
    end_element(element, error, false, true);
  }
}

void ClusterEngine::end_all_hopeless(std::exception_ptr const& reason) {
  Chunks waiting;
  Chunks off;
  {
    Lock const lock(mutex_);
    admission_.end_hopeless(reason);
    waiting = scheduler_.remove_all();
    off = deadlines_.remove_delayed([](Chunk const&) { return true; });
    waits_->room.notify_all();
  }
  for (Chunk const& chunk : waiting) end_element(chunk, reason, false);
  for (Chunk const& chunk : off) end_element(chunk, reason, false);
}

// ---- outcomes

void ClusterEngine::settle(Taken const& taken, bool answered) {
  Place& place = places_[taken.place];
  place.load.held -= taken.amount;
  (answered ? place.load.answered : place.load.returned) += taken.chunk.count;
  if (!answered) place.load.given -= taken.chunk.count;
  if (taken.granted) {
    place.granted_ns -= std::min(place.granted_ns, taken.amount.estimate_ns);
    if (taken.last) {
      --place.granted;
      if (taken.is_long) --place.granted_long;
      if (place.granted == 0) place.granted_ns = 0;
    }
  } else if (taken.last) {
    std::erase_if(place.waiting,
                  [&](Waiting const& waiting) { return waiting.serial == taken.serial; });
  }
  ++place.load.version;
  Lock const lock(mutex_);
  scheduler_.observe(taken.place, load_of(place), std::chrono::steady_clock::now());
}

void ClusterEngine::apply(RemoteHost& host, OutcomeMessage const& message,
                          std::shared_ptr<detail::Bytes const> const& bytes) {
  if (end_part_of_start(host, message)) return;
  auto taken = host.ledger.answer(message.task, message.first, message.count);
  if (!taken) return lose(host, wrote_nonsense);
  settle(*taken, true);
  Chunk const& chunk = taken->chunk;
  detail::Task& task = *chunk.task;
  OutcomeBlock block;
  block.first = chunk.first;
  block.count = chunk.count;
  block.kind = static_cast<OutcomeBlock::Kind>(message.kind);
  block.begun = message.begun;
  block.cancelled = message.cancelled && block.kind == OutcomeBlock::Kind::failed;
  bool const worker_known =
      message.worker >= 0 && static_cast<std::size_t>(message.worker) < host.workers;
  std::size_t const place =
      worker_known ? host.first_place + static_cast<std::size_t>(message.worker) : taken->place;
  block.worker = worker_known ? static_cast<int>(place) : -1;
  block.pid = static_cast<pid_t>(message.pid);
  block.host = host.shared_name;
  block.nanoseconds = message.nanoseconds;
  for (auto const& text : message.output) {
    if (text.element - chunk.first < chunk.count) {
      detail::if_possible([&] { task.add_output(text.element, text.text); });
    }
  }
  auto const& retries = task.retries();
  if (block.kind == OutcomeBlock::Kind::failed) {
    FailurePlace const where = detail::patiently([&] {
      auto earlier = task.earlier_attempts(chunk.first);
      FailurePlace place_of{options_.name, host.name,   static_cast<int>(host.first_place),
                            task.id(),     chunk.first, task.label().text};
      place_of.earlier = std::move(earlier.told);
      place_of.attempts_failed = earlier.failed;
      return place_of;
    });
    block.failure = detail::patiently([&] { return decode_failure(message.payload, where); });
    Failure const failure = detail::patiently([&] { return Failure(block.failure); });
    bool const died = failure.as<WorkerDied>() != nullptr;
    bool const late = failure.as<TaskTimeout>() != nullptr;
    if (late) {
      detail::if_possible(
          [&] { tell(EventKind::task_timed_out, chunk, block.worker, describe(block.failure)); });
    }
    bool const allowed = retries && !block.cancelled &&
                         (died ? retries->on_crash : late && message.begun && retries->on_timeout);
    auto const how = [&] { return detail::describe_briefly(block.failure); };
    if (allowed && chunk.count == 1 &&
        try_again(chunk, true, detail::patiently(how), block.worker)) {
      return;
    }
    if (late && where.attempts_failed != 0) {
      block.failure = detail::patiently([&] {
        return std::make_exception_ptr(
            TaskTimeout(failure.what() + attempts_text(where.earlier, where.attempts_failed),
                        task.id(), chunk.first));
      });
    }
  } else {
    block.payload = detail::patiently([&] { return detail::Payload(bytes, message.payload); });
    block.resources = detail::patiently([&] {
      detail::Resource::List named = chunk.input->resources();
      auto const& of_state = task.function().resources;
      named.insert(named.end(), of_state.begin(), of_state.end());
      return detail::as_shared(std::move(named));
    });
    if (block.kind == OutcomeBlock::Kind::thrown && thrown_is_tried_again(chunk, block)) return;
  }
  {
    Lock const lock(mutex_);
    if (block.kind == OutcomeBlock::Kind::values) {
      detail::if_possible([&]() PROCPOOL_REQUIRES(mutex_) {
        scheduler_.measure(task.function().code, chunk.count, message.nanoseconds);
      });
    }
    if (worker_known) tally_.count_answered(place, chunk.count, message.nanoseconds);
  }
  deliver(chunk, std::move(block));
}

bool ClusterEngine::thrown_is_tried_again(Chunk const& chunk, OutcomeBlock const& block) {
  auto const& retries = chunk.task->retries();
  if (!retries || retries->also_on.empty() || chunk.count != 1) return false;
  std::exception_ptr const error = detail::patiently(
      [&] { return detail::reason_of(block, chunk.task->id(), {}, {}, chunk.task->label().text); });
  std::exception_ptr const kind = detail::patiently(
      [&] { return detail::listed_kind(block.payload.bytes(), options_.exceptions.functions()); });
  bool const allowed =
      retries->also_on.contains(error) || (kind && retries->also_on.contains(kind));
  return try_again(chunk, allowed, detail::patiently([&] { return describe(error); }),
                   block.worker);
}

bool ClusterEngine::end_part_of_start(RemoteHost& host, OutcomeMessage const& message) {
  std::optional<Start> done;
  {
    Lock const lock(mutex_);
    auto const found = starts_.find(message.task);
    if (found == starts_.end()) return host.starts.erase(message.task) != 0;
    host.starts.erase(message.task);
    Start& start = found->second;
    start.hosts.erase(host.peer);
    if (message.kind == OutcomeMessage::Kind::failed && !start.failure) {
      start.failure = detail::patiently([&] {
        return decode_failure(
            message.payload,
            {options_.name, host.name, static_cast<int>(host.first_place), message.task, 0});
      });
    }
    if (start.hosts.empty()) {
      done = std::move(start);
      starts_.erase(found);
    }
  }
  if (done) end_start(*done, done->failure, false);
  return true;
}

bool ClusterEngine::try_again(Chunk const& failed, bool allowed, std::string const& how,
                              int worker) {
  auto const& retries = failed.task->retries();
  Chunk element = failed;
  element.again = true;
  if (!retries || !allowed || element.unwanted()) return false;
  {
    Lock const lock(mutex_);
    if (!admission_.goes_on()) return false;
  }
  auto const now = std::chrono::steady_clock::now();
  std::uint64_t const attempt =
      detail::patiently([&] { return failed.task->earlier_attempts(failed.first).failed; }) + 1;
  auto const begin = detail::later(now, detail::backoff_before(attempt, *retries));
  // The failure of this attempt says more than that of one that would have no time.
  if (auto const& deadline = failed.task->deadline(); deadline && begin >= *deadline) return false;
  auto const counted_as_failed = [&] { return failed.task->attempt_failed(failed.first, how); };
  if (!detail::patiently(counted_as_failed)) return false;
  {
    Lock const lock(mutex_);
    deadlines_.delay_until(begin, std::move(element));
    tally_.count_retry();
  }
  detail::if_possible([&] {
    tell(EventKind::task_retried, failed, worker,
         parent::element_text(*failed.task, failed.first, 1) + " is run again: attempt " +
             std::to_string(attempt) + " ended with: " + how);
  });
  return true;
}

void ClusterEngine::deliver(Chunk const& chunk, OutcomeBlock&& block) {
  {
    Lock const lock(mutex_);
    admission_.resolve(chunk.count);
    tally_.count_ended(chunk.count, block.cancelled);
    waits_->room.notify_all();
  }
  if (chunk.task->stop_on_error() && block.kind != OutcomeBlock::Kind::values && !block.cancelled) {
    cancel_from(chunk.task, block.first + 1, false);
  }
  chunk.task->deliver(std::move(block));
  Lock const lock(mutex_);
  delivered_ += chunk.count;
  if (admission_.phase() != Phase::open && delivered_ == admission_.accepted()) client_->ring();
}

void ClusterEngine::end_element(Chunk const& chunk, std::exception_ptr const& reason,
                                bool cancelled, bool begun) {
  if (chunk.count == 0) return;
  OutcomeBlock block;
  block.first = chunk.first;
  block.count = chunk.count;
  block.kind = OutcomeBlock::Kind::failed;
  block.cancelled = cancelled;
  block.begun = begun;
  block.failure = reason;
  deliver(chunk, std::move(block));
}

std::exception_ptr ClusterEngine::cancellation(detail::Task const& task) const {
  return detail::patiently([&] {
    return std::make_exception_ptr(TaskCancelled(task.name() + " of pool \"" + options_.name +
                                                 "\" was cancelled before this element had ended"));
  });
}

void ClusterEngine::fail_cancelled(Chunks const& chunks) {
  for (Chunk const& chunk : chunks) end_element(chunk, cancellation(*chunk.task), true);
}

void ClusterEngine::fail_expired(Chunk const& chunk) {
  auto const reason = detail::patiently([&] {
    auto const& task = *chunk.task;
    std::string text = parent::element_text(task, chunk.first, chunk.count) + " of pool \"" +
                       options_.name + "\" had not ";
    text += chunk.input->expiry() == parent::SharedInput::Expiry::all
                ? "ended at its deadline"
                : "begun after its queue_timeout of " +
                      std::to_string(task.queue_timeout()->count()) + " ms";
    auto const earlier = task.earlier_attempts(chunk.first);
    return std::make_exception_ptr(TaskTimeout(text + attempts_text(earlier.told, earlier.failed)));
  });
  tell(EventKind::task_timed_out, chunk, -1, detail::patiently([&] { return describe(reason); }));
  end_element(chunk, reason, false);
}

// ---- turns

std::optional<ClusterEngine::TimePoint> ClusterEngine::turn(Link& link, TimePoint now) {
  // A program that was stopped itself has heard of nobody meanwhile.
  if (last_turn_ != TimePoint() && now - last_turn_ > 4 * cluster_.beat) {
    for (auto const& host : hosts_) {
      if (host) host->heard += now - last_turn_;
    }
  }
  last_turn_ = now;
  for (Link::Peer const peer : std::exchange(unheard_, {})) {
    detail::patiently([&] { link.drop(peer); });
  }
  bool const placed = !places_.empty();
  if (placed) {
    cut_tasks();
    watch_deadlines(now);
    watch_hosts(now);
    order_starts();
    place(now);
    balance(now);
    grant();
    advance_end(now);
  }
  parent::NextLook next;
  for (auto const& host : hosts_) {
    if (!host || host->state == RemoteHost::State::lost) continue;
    if (now - host->sent >= cluster_.beat) host->post_urgent(Beat{});
    host->send(link, now);
    next.at(now + cluster_.beat);
  }
  constexpr std::chrono::milliseconds soon{2};
  if (look_soon_) next.at(now + soon);
  next.at(next_deadline_);
  {
    Lock const lock(mutex_);
    next.at(admission_.next_phase());
    if (!cuts_.empty()) next.at(now);
  }
  if (!unheard_.empty()) next.at(now);
  return next.time();
}

void ClusterEngine::withdraw_where(std::function<Chunk(std::size_t, Chunk&)> const& cut) {
  for (auto const& host : hosts_) {
    if (!host || host->state != RemoteHost::State::ready) continue;
    Withdraw told;
    auto taken = host->ledger.withdraw(cut, told);
    if (taken.empty()) continue;
    host->post(std::move(told));
    requeue(std::move(taken));
  }
}

void ClusterEngine::cut_tasks() {
  std::vector<CutRequest> cuts;
  {
    Lock const lock(mutex_);
    cuts = std::exchange(cuts_, {});
  }
  if (cuts.empty()) return;
  withdraw_where([](std::size_t, Chunk& chunk) {
    std::uint64_t const end = chunk.task->cancelled_from();
    return end < chunk.end() ? chunk.take_from(end) : Chunk();
  });
  for (CutRequest const& cut : cuts) {
    for (auto const& host : hosts_) {
      if (!host->ledger.holds(cut.task->id())) continue;
      host->post_urgent(Cut{cut.task->id(), cut.from, cut.ends_running});
    }
  }
}

void ClusterEngine::watch_deadlines(TimePoint now) {
  parent::Deadlines::Due due;
  Chunks expired;
  {
    Lock const lock(mutex_);
    due = deadlines_.due(now);
    if (due.expired) expired = scheduler_.remove_expired();
  }
  next_deadline_ = due.next;
  if (!due.delayed.empty()) requeue_chunks(std::move(due.delayed), {});
  if (!due.expired) return;
  for (Chunk const& chunk : expired) fail_expired(chunk);
  withdraw_where(
      [](std::size_t, Chunk& chunk) { return chunk.expired() ? chunk.split_off(0) : Chunk(); });
}

void ClusterEngine::watch_hosts(TimePoint now) {
  for (auto const& host : hosts_) {
    if (host->state != RemoteHost::State::ready || host->ended) continue;
    if (now - host->heard > cluster_.lost_after) {
      detail::patiently([&] { unheard_.push_back(host->peer); });
      lose(*host, detail::patiently([&] {
        return "nothing was heard of it for " + std::to_string(cluster_.lost_after.count()) + " ms";
      }));
    }
  }
  if (now - swept_ < cluster_.beat) return;
  swept_ = now;
  for (auto const& host : hosts_) {
    if (host->state == RemoteHost::State::ready) host->sweep();
  }
}

void ClusterEngine::place(TimePoint now) {
  for (;;) {
    parent::Scheduler::Group group;
    {
      Lock const lock(mutex_);
      if (!scheduler_.next(group)) return;
      tally_.add_records(1);
      waits_->room.notify_all();
    }
    for (Chunk& chunk : group.chunks) give(std::move(chunk), group.worker, group.each, now);
    Lock const lock(mutex_);
    scheduler_.observe(group.worker, load_of(places_[group.worker]), now);
  }
}

// The scheduler gives a worker two chunks. A place gets a third: on the way of two messages a worker
// would run dry.
parent::Load ClusterEngine::load_of(Place const& place) noexcept {
  parent::Load load = place.load;
  if (load.held.chunks > 1) --load.held.chunks;
  return load;
}

// An element that may only wait for some time is not granted behind others: its client can take it back.
bool ClusterEngine::may_grant(Place const& place, bool alone) noexcept {
  if (place.granted == 0) return true;
  if (alone) return false;
  return place.granted_long == 0 &&
         (place.granted < granted_chunks || place.granted_ns < enough_granted_ns);
}

void ClusterEngine::give(Chunk&& chunk, std::size_t index, double each, TimePoint now) {
  Place& place = places_[index];
  RemoteHost& host = *hosts_[place.host];
  parent::Amount const amount = chunk.amount();
  place.load.offered += amount;
  place.load.held += amount;
  place.load.given += chunk.count;
  ++place.load.version;
  bool const is_long = each <= 0 || chunk.estimate_ns > long_ns;
  std::uint64_t const serial = host.ledger.give(index, chunk, is_long);
  bool const alone = chunk.task->queue_timeout().has_value();
  bool const granted = place.waiting.empty() && may_grant(place, alone);
  try {
    host.give(chunk, serial, granted, now);
  } catch (std::exception const& error) {  // its function lies in no module
    note_granted(place, host.ledger.grant(serial));
    auto const taken = host.ledger.answer(chunk.task->id(), chunk.first, chunk.count);
    settle(*taken, true);
    auto const reason = detail::patiently([&] {
      return std::make_exception_ptr(
          SetupError(parent::element_text(*chunk.task, chunk.first, chunk.count) +
                     " could not be sent to host " + host.name + ": " + error.what()));
    });
    end_element(chunk, reason, false);
    return;
  }
  if (granted) {
    note_granted(place, host.ledger.grant(serial));
  } else {
    detail::patiently([&] { place.waiting.push_back({serial, alone}); });
  }
}

void ClusterEngine::note_granted(Place& place, HostLedger::Granted granted) {
  ++place.granted;
  place.granted_ns += granted.estimate_ns;
  if (granted.is_long) ++place.granted_long;
}

void ClusterEngine::grant() {
  auto grants = detail::patiently([&] { return std::vector<Grant>(hosts_.size()); });
  for (Place& place : places_) {
    RemoteHost& host = *hosts_[place.host];
    if (host.state != RemoteHost::State::ready) continue;
    while (!place.waiting.empty() && may_grant(place, place.waiting.front().alone)) {
      std::uint64_t const serial = place.waiting.front().serial;
      place.waiting.erase(place.waiting.begin());
      note_granted(place, host.ledger.grant(serial));
      detail::patiently([&] { grants[place.host].serials.push_back(serial); });
    }
  }
  for (std::size_t i = 0; i < hosts_.size(); ++i) {
    if (!grants[i].serials.empty()) hosts_[i]->post(std::move(grants[i]));
  }
}

void ClusterEngine::balance(TimePoint now) {
  look_soon_ = false;
  for (;;) {
    bool look_again = false;
    std::optional<parent::Scheduler::Revocation> wanted;
    {
      Lock const lock(mutex_);
      wanted = scheduler_.steal(now, look_again);
    }
    if (!wanted) {
      bool const any =
          std::ranges::any_of(places_, [](Place const& place) { return !place.waiting.empty(); });
      look_soon_ = look_again && any;
      return;
    }
    RemoteHost& host = *hosts_[places_[wanted->worker].host];
    std::uint64_t left = wanted->elements;
    Withdraw told;
    auto taken = host.ledger.withdraw(
        [&](std::size_t place, Chunk& chunk) {
          if (place != wanted->worker || left == 0) return Chunk();
          std::uint64_t const some = std::min(left, chunk.count);
          left -= some;
          return chunk.split_off(chunk.count - some);
        },
        told);
    if (taken.empty()) return;  // all of it may have begun
    host.post(std::move(told));
    requeue(std::move(taken));
    place(now);
  }
}

void ClusterEngine::requeue(std::vector<Taken>&& taken) {
  for (Taken& one : taken) {
    settle(one, false);
    Chunks chunks;
    std::size_t const place = one.place;
    detail::patiently([&] { chunks.push_back(std::move(one.chunk)); });
    requeue_chunks(std::move(chunks), place);
  }
}

void ClusterEngine::requeue_chunks(Chunks&& chunks, std::optional<std::size_t> place) {
  Chunks cancelled;
  Chunks expired;
  Chunks hopeless;
  std::exception_ptr reason;
  {
    Lock const lock(mutex_);
    reason = admission_.hopeless();
    for (Chunk& chunk : std::views::reverse(chunks)) {
      std::uint64_t const elements = chunk.count;
      std::uint64_t const wanted_to =
          admission_.phase() >= Phase::cancelling ? 0 : chunk.task->cancelled_from();
      if (Chunk unwanted = chunk.take_from(wanted_to); unwanted.count != 0) {
        detail::patiently([&] { cancelled.push_back(std::move(unwanted)); });
      }
      if (chunk.count != 0) {
        if (chunk.expired()) {
          detail::patiently([&] { expired.push_back(std::move(chunk)); });
        } else if (reason) {
          detail::patiently([&] { hopeless.push_back(std::move(chunk)); });
        } else {
          scheduler_.requeue(std::move(chunk));
        }
      }
      if (place) scheduler_.came_back(*place, elements);
    }
  }
  fail_cancelled(cancelled);
  for (Chunk const& chunk : expired) fail_expired(chunk);
  for (Chunk const& chunk : hopeless) end_element(chunk, reason, false);
}

// ---- the end

void ClusterEngine::close() {
  check_process();
  Lock const lock(mutex_);
  admission_.close();
  waits_->room.notify_all();
}

void ClusterEngine::begin_end(Phase phase, std::optional<TimePoint> deadline) {
  std::vector<Start> starts;
  {
    Lock const lock(mutex_);
    admission_.begin_end(phase, deadline);
    for (auto& [id, start] : std::exchange(starts_, {})) {
      detail::patiently([&, &one = start] { starts.push_back(std::move(one)); });
    }
    waits_->room.notify_all();
  }
  for (Start const& start : starts) end_start(start, cancellation(*start.task), true);
  client_->ring();
}

bool ClusterEngine::join_until(std::optional<TimePoint> deadline) {
  check_process();
  begin_end(Phase::draining, std::nullopt);
  Lock lock(mutex_);
  while (!ended_) {
    if (!deadline) {
      waits_->changed.wait(lock);
    } else if (!waits_->changed.wait_until(lock, *deadline)) {
      return ended_;
    }
  }
  return true;
}

Summary ClusterEngine::shutdown(End end, std::optional<TimePoint> deadline) {
  check_process();
  begin_end(end == End::drain    ? Phase::draining
            : end == End::cancel ? Phase::cancelling
                                 : Phase::killing,
            deadline);
  Lock lock(mutex_);
  while (!ended_) waits_->changed.wait(lock);
  return tally_.summary();
}

void ClusterEngine::advance_end(TimePoint now) {
  Phase phase{};
  bool drained = false;
  bool delivered = false;
  {
    Lock const lock(mutex_);
    phase = admission_.advance(now);
    drained = admission_.drained(delivered_);
    delivered = delivered_ == admission_.accepted();
    if (phase == Phase::open || ended_) return;
  }
  if (phase >= Phase::cancelling) {
    Chunks waiting;
    Chunks off;
    {
      Lock const lock(mutex_);
      waiting = scheduler_.remove_all();
      off = deadlines_.remove_delayed([](Chunk const&) { return true; });
    }
    fail_cancelled(waiting);
    fail_cancelled(off);
    withdraw_where([](std::size_t, Chunk& chunk) { return chunk.split_off(0); });
  }
  bool const may_end = phase > Phase::draining || drained;
  if (may_end && phase > end_told_) {
    end_told_ = phase;
    End const end = phase == Phase::draining     ? End::drain
                    : phase == Phase::cancelling ? End::cancel
                                                 : End::kill;
    for (auto const& host : hosts_) host->post(EndPool{end});
  }
  bool const gone = std::ranges::all_of(hosts_, [](auto const& host) {
    return host->state == RemoteHost::State::lost || host->ended;
  });
  if (!gone || !may_end || !delivered) return;
  Lock const lock(mutex_);
  if (delivered_ != admission_.accepted()) return;
  ended_ = true;
  waits_->changed.notify_all();
}

// ---- what is told

void ClusterEngine::log(std::string const& text) const noexcept {
  detail::if_possible([&] {
    std::string const clean = os::clean_lines(text);
    if (options_.log) {
      options_.log(clean);
      return;
    }
    std::string const line = "procpool: " + clean + "\n";
    std::fputs(line.c_str(), stderr);
  });
}

void ClusterEngine::tell(EventKind kind, Chunk const& chunk, int worker,
                         std::string const& text) const noexcept {
  if (!options_.on_event) return;
  detail::if_possible([&] {
    Event event;
    event.kind = kind;
    event.time = std::chrono::system_clock::now();
    event.pool = options_.name;
    event.worker = worker;
    event.task = chunk.task->id();
    event.element = chunk.first;
    event.elements = chunk.count;
    event.label = chunk.task->label().text;
    event.text = os::one_line(text);
    options_.on_event(event);
  });
}

void ClusterEngine::pass_on(RemoteHost const& host, EventMessage const& message) const noexcept {
  constexpr auto last = static_cast<std::uint32_t>(EventKind::task_logged);
  auto const kind = static_cast<EventKind>(message.kind);
  // The client tells these itself, for it knows of the attempts.
  bool const ours = kind == EventKind::task_timed_out || kind == EventKind::task_retried;
  if (message.kind > last || ours || !options_.on_event) return;
  detail::if_possible([&] {
    Event event;
    event.kind = kind;
    event.time = std::chrono::system_clock::time_point(
        std::chrono::duration_cast<std::chrono::system_clock::duration>(
            std::chrono::nanoseconds(message.time)));
    event.pool = os::one_line(message.pool);
    if (message.worker >= 0 && static_cast<std::size_t>(message.worker) < host.workers) {
      event.worker = static_cast<int>(host.first_place) + message.worker;
    }
    event.pid = static_cast<pid_t>(message.pid);
    event.signal = message.signal;
    event.exit_status = message.exit_status;
    event.task = message.task;
    event.element = message.element;
    event.elements = message.elements;
    event.label = os::one_line(message.label);
    if (message.level) {
      event.level = static_cast<LogLevel>(
          std::min(*message.level, static_cast<std::uint32_t>(LogLevel::error)));
    }
    event.text = host.name + ": " + os::one_line(message.text);
    event.missed = message.missed;
    options_.on_event(event);
  });
}

// Of the places only those of this host: many hosts report often.
void ClusterEngine::publish_stats(RemoteHost const& changed) {
  Stats sum;
  for (auto const& host : hosts_) {
    if (!host) continue;  // others have answered before it was up
    StatsMessage const& stats = host->stats;
    sum.worker_starts += stats.worker_starts;
    sum.worker_deaths += stats.worker_deaths;
    sum.workers_timed_out += stats.timed_out;
    sum.workers_cancelled += stats.cancelled;
    sum.workers_recycled += stats.recycled;
    sum.workers_left_idle += stats.left_idle;
    sum.failed_starts += stats.failed_starts;
    if (host->state == RemoteHost::State::ready)
      sum.workers += static_cast<unsigned>(stats.workers);
  }
  std::vector<WorkerStats> seen;
  for (std::size_t i = 0; i < std::min(changed.workers, changed.stats.places.size()); ++i) {
    StatsMessage::Worker const& from = changed.stats.places[i];
    WorkerStats& to = seen.emplace_back();
    to.index = static_cast<unsigned>(changed.first_place + i);
    to.host = changed.name;
    to.pid = static_cast<pid_t>(from.pid);
    to.starts = from.starts;
    to.done = from.done;
    to.busy = from.busy;
    to.last_end = os::one_line(from.last_end);
    if (!from.runs) continue;
    RunningElement& running = to.running.emplace();
    running.worker = to.index;
    running.task = from.task;
    running.element = from.element;
    running.done = from.steps;
    running.total = from.total;
    running.label = os::one_line(from.label);
  }
  Lock const lock(mutex_);
  of_hosts_ = sum;
  for (WorkerStats& one : seen) {
    if (one.index < places_seen_.size()) places_seen_[one.index] = std::move(one);
  }
}

unsigned ClusterEngine::size() const noexcept {
  Lock const lock(mutex_);
  return static_cast<unsigned>(place_count_);
}

std::optional<std::size_t> ClusterEngine::admission_limit() const noexcept
    PROCPOOL_UNCHECKED_LOCKS {
  return admission_.queue_limit();  // never changes
}

Stats ClusterEngine::stats() const {
  check_process();
  Lock const lock(mutex_);
  Stats stats = tally_.stats();
  stats.submitted = admission_.accepted();
  stats.done = admission_.resolved();
  stats.running = std::min(scheduler_.busy_workers(), stats.submitted - stats.done);
  stats.queued = stats.submitted - stats.done - stats.running;
  stats.workers = of_hosts_.workers;
  stats.worker_starts = of_hosts_.worker_starts;
  stats.worker_deaths = of_hosts_.worker_deaths;
  stats.workers_timed_out = of_hosts_.workers_timed_out;
  stats.workers_cancelled = of_hosts_.workers_cancelled;
  stats.workers_recycled = of_hosts_.workers_recycled;
  stats.workers_left_idle = of_hosts_.workers_left_idle;
  stats.failed_starts = of_hosts_.failed_starts;
  return stats;
}

std::vector<WorkerStats> ClusterEngine::worker_stats() const {
  check_process();
  Lock const lock(mutex_);
  return places_seen_;
}

std::vector<RunningElement> ClusterEngine::running(detail::Task const& task) const {
  check_process();
  std::vector<RunningElement> running;
  Lock const lock(mutex_);
  for (WorkerStats const& place : places_seen_) {
    if (place.running && place.running->task == task.id()) running.push_back(*place.running);
  }
  return running;
}

std::uint64_t ClusterEngine::late_messages() const {
  Lock const lock(mutex_);
  return late_;
}

}  // namespace procpool::inline v0_1::cluster
