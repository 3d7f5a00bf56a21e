// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// cluster_simulation: one call over 1 to 1,000 hosts of 64 workers each, simulated. See simulate here.
//
// The client is real: its scheduler, the ledgers of its hosts and the messages are those of the
// library, in the order of ClusterEngine's turn. Hosts and the network are simulated, and the clock is
// virtual. A turn of the client takes the CPU time that its calls really took here, and for each message
// what a message through a TCP socket costs here.
//
// Prints a line for each number of hosts and length of a task, with tabs in between. With --check a turn
// takes a fixed time, nothing is printed, and the status says whether every element had exactly one
// outcome, and whether the client's steps for a chunk were few, however many the hosts.

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <deque>
#include <exception>
#include <limits>
#include <memory>
#include <optional>
#include <queue>
#include <random>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "cluster/remote_host.hpp"
#include "parent/scheduler.hpp"
#include "support/clock.hpp"

namespace {

namespace cluster = procpool::cluster;
namespace detail = procpool::detail;
namespace parent = procpool::parent;
using cluster::HostLedger;
using cluster::RemoteHost;
using parent::Chunk;
using Time = std::uint64_t;  // virtual nanoseconds

constexpr std::size_t workers_per_host = 64;
constexpr Time latency = 50'000;             // of a message, either way
constexpr Time agent_for_a_message = 5'000;  // of a host's agent: to take it or to make it
constexpr Time grain_ns = 4'000'000;         // of the scheduler
constexpr std::size_t value_bytes = 8;       // of an argument and of a result
constexpr std::uint64_t input_elements = 2048;
// As ClusterEngine has them.
constexpr std::size_t granted_chunks = 2;
constexpr std::uint64_t enough_granted_ns = 2'000'000;
constexpr std::uint64_t long_ns = 20'000'000;
constexpr std::uint64_t grain_bytes = std::uint64_t{1} << 20;

void task_code(detail::Operation&) {}

std::uint64_t elements_of_chunk(Time task_ns) { return std::max<Time>(1, grain_ns / task_ns); }

parent::Scheduler::TimePoint point(Time time) {
  return parent::Scheduler::TimePoint(std::chrono::hours(1)) + std::chrono::nanoseconds(time);
}

void require(bool condition, char const* what) {
  if (!condition) throw std::logic_error(what);
}

// What the client does in its turns: the pure part of ClusterEngine, for one call that nobody cancels.
class Client final : private cluster::Link {
 public:
  using Sent = std::pair<Peer, detail::Bytes>;

  Client(std::size_t hosts, std::uint64_t elements)
      : task_(std::make_shared<detail::Task>(function())),
        scheduler_(hosts * workers_per_host, std::numeric_limits<std::uint64_t>::max(),
                   grain_bytes),
        places_(hosts * workers_per_host),
        seen_(elements) {
    for (std::size_t i = 0; i < hosts; ++i) {
      hosts_.push_back(
          std::make_unique<RemoteHost>(i, "host " + std::to_string(i), i + 1, point(0)));
      hosts_[i]->first_place = i * workers_per_host;
    }
    for (std::size_t i = 0; i < places_.size(); ++i) {
      places_[i].host = i / workers_per_host;
      places_[i].load.version = 1;
      places_[i].load.writable = true;
      scheduler_.observe(i, load_of(places_[i]), point(0));
      scheduler_.worker_ready(i, point(0));
    }
    task_->announce_all(elements);
  }

  // What the thread does that has made the call: it keeps the queue long, and takes the outcomes.
  void caller(std::uint64_t queued) {
    while (scheduler_.waiting() < queued && added_ < seen_.size()) {
      std::uint64_t const count = std::min(input_elements, seen_.size() - added_);
      detail::InputBuffer input{added_, count, detail::Bytes(count * value_bytes), {}};
      scheduler_.add({task_, std::make_shared<parent::SharedInput>(std::move(input), value_bytes),
                      added_, count});
      added_ += count;
    }
    for (detail::OutcomeBlock const& block : task_->take()) {
      for (std::uint64_t i = block.first; i < block.first + block.count; ++i) {
        require(!seen_.at(i), "an element has one outcome");
        seen_[i] = true;
      }
    }
  }

  void handle(Peer peer, detail::Bytes const& bytes) {
    RemoteHost& host = *hosts_[peer];
    auto const envelope = cluster::open_envelope(bytes);
    require(envelope.has_value(), "the client takes every message");
    std::vector<detail::Bytes> messages;
    require(host.conversation.accept(*envelope, messages), "messages come in their order");
    for (detail::Bytes& one : messages) {
      auto const kept = std::make_shared<detail::Bytes const>(std::move(one));
      auto const message = cluster::decode(*kept);
      require(message.has_value(), "the client reads every message");
      for (auto const& outcome : std::get<cluster::Block>(*message).outcomes) {
        apply(host, outcome, kept);
      }
    }
  }

  // Returns what is to be sent.
  std::vector<Sent> turn(Time now) {
    now_ = now;
    place();
    balance();
    grant();
    for (auto const& host : hosts_) host->send(*this, point(now));
    return std::exchange(sent_, {});
  }

  std::uint64_t delivered() const { return delivered_; }
  // Decisions of the scheduler, and what it was told.
  std::uint64_t steps() const { return steps_; }
  // A balance that has something to move asks to be asked again.
  bool looks_again() const { return look_again_; }
  bool is_whole() const { return std::ranges::find(seen_, false) == seen_.end(); }

 private:
  struct Place {
    std::size_t host = 0;
    parent::Load load{};
    std::size_t granted = 0;
    std::size_t granted_long = 0;
    std::uint64_t granted_ns = 0;
    std::vector<std::uint64_t> waiting{};
  };

  static detail::Function function() {
    detail::Function made;
    made.code = task_code;
    made.argument_size = value_bytes;
    made.result_size = value_bytes;
    return made;
  }

  static parent::Load load_of(Place const& place) {
    parent::Load load = place.load;
    if (load.held.chunks > 1) --load.held.chunks;
    return load;
  }
  static bool may_grant(Place const& place) {
    return place.granted == 0 ||
           (place.granted_long == 0 &&
            (place.granted < granted_chunks || place.granted_ns < enough_granted_ns));
  }
  static void note_granted(Place& place, HostLedger::Granted granted) {
    ++place.granted;
    place.granted_ns += granted.estimate_ns;
    if (granted.is_long) ++place.granted_long;
  }
  void observe(std::size_t place) {
    ++steps_;
    scheduler_.observe(place, load_of(places_[place]), point(now_));
  }

  void settle(HostLedger::Taken const& taken, bool answered) {
    Place& place = places_[taken.place];
    place.load.held -= taken.amount;
    (answered ? place.load.answered : place.load.returned) += taken.chunk.count;
    if (!answered) place.load.given -= taken.chunk.count;
    if (taken.granted) {
      place.granted_ns -= std::min(place.granted_ns, taken.amount.estimate_ns);
      if (taken.last) {
        --place.granted;
        if (taken.is_long) --place.granted_long;
      }
    } else if (taken.last) {
      std::erase(place.waiting, taken.serial);
    }
    ++place.load.version;
    observe(taken.place);
  }

  void apply(RemoteHost& host, cluster::OutcomeMessage const& outcome,
             std::shared_ptr<detail::Bytes const> const& bytes) {
    auto const taken = host.ledger.answer(outcome.task, outcome.first, outcome.count);
    require(taken.has_value(), "a host answers what it was granted");
    settle(*taken, true);
    scheduler_.measure(task_code, outcome.count, outcome.nanoseconds);
    detail::OutcomeBlock block;
    block.first = outcome.first;
    block.count = outcome.count;
    block.payload = detail::Payload(bytes, outcome.payload);
    block.nanoseconds = outcome.nanoseconds;
    delivered_ += outcome.count;
    task_->deliver(std::move(block));
  }

  void place() {
    for (;;) {
      parent::Scheduler::Group group;
      ++steps_;
      if (!scheduler_.next(group)) return;
      for (Chunk& chunk : group.chunks) give(std::move(chunk), group.worker, group.each);
      observe(group.worker);
    }
  }

  void give(Chunk&& chunk, std::size_t index, double each) {
    Place& place = places_[index];
    RemoteHost& host = *hosts_[place.host];
    parent::Amount const amount = chunk.amount();
    place.load.offered += amount;
    place.load.held += amount;
    place.load.given += chunk.count;
    ++place.load.version;
    bool const is_long = each <= 0 || chunk.estimate_ns > long_ns;
    std::uint64_t const serial = host.ledger.give(index, chunk, is_long);
    bool const granted = place.waiting.empty() && may_grant(place);
    host.give(chunk, serial, granted, point(now_));
    if (granted) {
      note_granted(place, host.ledger.grant(serial));
    } else {
      place.waiting.push_back(serial);
    }
  }

  void balance() {
    for (;;) {
      ++steps_;
      auto const wanted = scheduler_.steal(point(now_), look_again_);
      if (!wanted) return;
      RemoteHost& host = *hosts_[places_[wanted->worker].host];
      std::uint64_t left = wanted->elements;
      cluster::Withdraw told;
      auto taken = host.ledger.withdraw(
          [&](std::size_t at, Chunk& chunk) {
            if (at != wanted->worker || left == 0) return Chunk();
            std::uint64_t const some = std::min(left, chunk.count);
            left -= some;
            return chunk.split_off(chunk.count - some);
          },
          told);
      if (taken.empty()) return;
      host.post(std::move(told));
      for (HostLedger::Taken& one : taken) {
        settle(one, false);
        std::uint64_t const count = one.chunk.count;
        scheduler_.requeue(std::move(one.chunk));
        scheduler_.came_back(one.place, count);
      }
      place();
    }
  }

  void grant() {
    std::vector<cluster::Grant> grants(hosts_.size());
    for (Place& place : places_) {
      while (!place.waiting.empty() && may_grant(place)) {
        std::uint64_t const serial = place.waiting.front();
        place.waiting.erase(place.waiting.begin());
        note_granted(place, hosts_[place.host]->ledger.grant(serial));
        grants[place.host].serials.push_back(serial);
      }
    }
    for (std::size_t i = 0; i < hosts_.size(); ++i) {
      if (!grants[i].serials.empty()) hosts_[i]->post(std::move(grants[i]));
    }
  }

  // Its link.
  void send(Peer peer, detail::Bytes&& message) override {
    sent_.emplace_back(peer, std::move(message));
  }
  void wait(std::optional<TimePoint>, std::vector<Event>&) override {}
  void ring() noexcept override {}
  void drop(Peer) override {}
  std::string name(Peer) const override { return {}; }
  std::size_t largest_message() const override { return std::size_t{1} << 30; }
  void close(std::chrono::milliseconds) override {}

  std::shared_ptr<detail::Task> const task_;
  parent::Scheduler scheduler_;
  std::vector<std::unique_ptr<RemoteHost>> hosts_;
  std::vector<Place> places_;
  std::vector<Sent> sent_;
  std::vector<bool> seen_;  // elements whose outcome the caller has
  std::uint64_t added_ = 0;
  std::uint64_t delivered_ = 0;
  std::uint64_t steps_ = 0;
  Time now_ = 0;
  bool look_again_ = false;
};

// One host: 64 workers, which take what is granted in its order, and an agent that reads and writes.
struct Host {
  struct Given {
    std::uint64_t serial = 0;
    std::uint64_t first = 0;
    std::uint64_t count = 0;
    bool granted = false;
  };
  explicit Host(std::uint64_t session) : conversation(session) {}

  cluster::Conversation conversation;
  std::deque<Given> queue{};
  std::vector<cluster::OutcomeMessage> outcomes{};  // not sent
  std::size_t idle = workers_per_host;
  Time agent_free = 0;
  bool sends_soon = false;
};

struct Event {
  enum class Kind : std::uint8_t { client, look, host, ended, sends };
  Time time = 0;
  std::uint64_t order = 0;
  Kind kind = Kind::client;
  std::size_t host = 0;
  detail::Bytes bytes{};              // a message
  cluster::OutcomeMessage outcome{};  // what has ended

  friend bool operator<(Event const& a, Event const& b) {  // for a queue whose top is the largest
    return a.time != b.time ? a.time > b.time : a.order > b.order;
  }
};

struct Costs {
  double message_ns = 0;
  std::optional<Time> turn{};  // nothing: as measured
};

struct Result {
  double elements_per_second = 0;  // in the middle part of the call
  double efficiency = 0;           // of the workers
  double client_ns = 0;            // for an element
  double messages = 0;             // of the client, for an element
  double steps = 0;                // of the scheduler, for an element
  bool whole = false;
};

class Simulation {
 public:
  Simulation(std::size_t hosts, Time task_ns, std::uint64_t chunks_per_worker, Costs const& costs)
      : task_ns_(task_ns),
        round_(hosts * workers_per_host * elements_of_chunk(task_ns)),
        elements_(round_ * chunks_per_worker),
        costs_(costs),
        client_(hosts, elements_) {
    for (std::size_t i = 0; i < hosts; ++i) hosts_.emplace_back(i + 1);
  }

  Result run() {
    clock_cost();
    client_.caller(4 * round_);
    turn();
    while (!events_.empty() && client_.delivered() < elements_) {
      now_ = events_.top().time;
      Event event = std::move(const_cast<Event&>(events_.top()));
      events_.pop();
      switch (event.kind) {
        case Event::Kind::look: looks_ = false; [[fallthrough]];
        case Event::Kind::client:
          if (!event.bytes.empty()) inbox_.emplace_back(event.host, std::move(event.bytes));
          // A client that is busy finds all that has come meanwhile.
          if (now_ < client_free_) {
            if (!wakes_) at({client_free_, 0, Event::Kind::client});
            wakes_ = true;
          } else {
            wakes_ = false;
            turn();
          }
          break;
        case Event::Kind::host: read(event.host, event.bytes); break;
        case Event::Kind::ended: ended(event); break;
        case Event::Kind::sends: write(event.host); break;
      }
    }
    return result();
  }

 private:
  struct Mark {
    Time time = 0;
    std::uint64_t delivered = 0;
    double client_ns = 0;
    std::uint64_t messages = 0;
  };

  void at(Event event) {
    event.order = ++order_;
    events_.push(std::move(event));
  }

  static std::uint64_t cpu() { return bench::now_on(CLOCK_THREAD_CPUTIME_ID); }
  // Of a look at the clock, which is not the client's.
  void clock_cost() {
    std::vector<double> costs;
    for (int i = 0; i < 200; ++i) {
      auto const begin = cpu();
      costs.push_back(static_cast<double>(cpu() - begin));
    }
    look_ns_ = bench::median(costs);
  }

  void turn() {
    auto const begin = cpu();
    for (auto const& [host, bytes] : inbox_) client_.handle(host, bytes);
    std::vector<Client::Sent> sent = client_.turn(now_);
    double const took = static_cast<double>(cpu() - begin) - look_ns_;
    std::size_t const messages = inbox_.size() + sent.size();
    inbox_.clear();
    double const cost = (costs_.turn ? static_cast<double>(*costs_.turn) : std::max(took, 0.0)) +
                        static_cast<double>(messages) * costs_.message_ns;
    client_free_ = now_ + static_cast<Time>(cost);
    client_ns_ += cost;
    messages_ += messages;
    for (std::size_t i = 0; i < sent.size(); ++i) {
      // All leave in the last part of the turn, each behind the one before it.
      Time const gone = client_free_ - static_cast<Time>(static_cast<double>(sent.size() - 1 - i) *
                                                         costs_.message_ns);
      at({gone + latency, 0, Event::Kind::host, sent[i].first, std::move(sent[i].second)});
    }
    client_.caller(4 * round_);
    mark();
    if (client_.looks_again() && !std::exchange(looks_, true)) {
      at({client_free_ + 2'000'000, 0, Event::Kind::look});
    }
  }

  // The middle part of the call: neither the first chunks of all workers nor its end.
  void mark() {
    Mark const now{client_free_, client_.delivered(), client_ns_, messages_};
    if (!begin_ && now.delivered >= elements_ * 3 / 10) begin_ = now;
    if (!end_ && now.delivered >= elements_ * 8 / 10) end_ = now;
  }

  // The agent takes one message after the other.
  Time agent(std::size_t index) {
    Host& host = hosts_[index];
    return host.agent_free = std::max(host.agent_free, now_) + agent_for_a_message;
  }

  void read(std::size_t index, detail::Bytes const& bytes) {
    Host& host = hosts_[index];
    Time const read = agent(index);
    auto const envelope = cluster::open_envelope(bytes);
    std::vector<detail::Bytes> messages;
    require(envelope && host.conversation.accept(*envelope, messages),
            "a host takes every message");
    for (detail::Bytes const& one : messages) {
      auto const message = cluster::decode(one);
      require(message.has_value(), "a host reads every message");
      if (auto const* const chunk = std::get_if<cluster::ChunkMessage>(&*message)) {
        task_ = chunk->task;
        host.queue.push_back({chunk->serial, chunk->first, chunk->count, chunk->granted});
      } else if (auto const* const grant = std::get_if<cluster::Grant>(&*message)) {
        for (auto const serial : grant->serials) {
          for (Host::Given& given : host.queue) given.granted |= given.serial == serial;
        }
      } else if (auto const* const withdraw = std::get_if<cluster::Withdraw>(&*message)) {
        for (auto const& part : withdraw->parts) {
          for (Host::Given& given : host.queue) {
            if (given.serial == part.serial) given.count = part.keep;
          }
        }
        std::erase_if(host.queue, [](Host::Given const& given) { return given.count == 0; });
      }
    }
    work(index, read);
  }

  void work(std::size_t index, Time begin) {
    Host& host = hosts_[index];
    while (host.idle != 0) {
      auto const next = std::ranges::find(host.queue, true, &Host::Given::granted);
      if (next == host.queue.end()) return;
      // Each element takes between half and one and a half of the usual.
      double const count = static_cast<double>(next->count);
      double const off =
          std::uniform_real_distribution<double>(-0.5, 0.5)(random_) / std::sqrt(count);
      Event event{begin, 0, Event::Kind::ended, index};
      event.outcome.task = task_;
      event.outcome.first = next->first;
      event.outcome.count = next->count;
      event.outcome.nanoseconds =
          static_cast<std::uint64_t>(static_cast<double>(task_ns_) * count * (1 + off));
      event.time += event.outcome.nanoseconds;
      host.queue.erase(next);
      --host.idle;
      at(std::move(event));
    }
  }

  void ended(Event& event) {
    Host& host = hosts_[event.host];
    ++host.idle;
    host.outcomes.push_back(std::move(event.outcome));
    // What ends while the agent is busy goes together.
    if (!std::exchange(host.sends_soon, true)) {
      at({agent(event.host), 0, Event::Kind::sends, event.host});
    }
    work(event.host, now_);
  }

  void write(std::size_t index) {
    Host& host = hosts_[index];
    host.sends_soon = false;
    cluster::Block block;
    block.outcomes = std::exchange(host.outcomes, {});
    std::size_t most = 0;
    for (auto const& outcome : block.outcomes) most = std::max<std::size_t>(most, outcome.count);
    if (results_.size() < most * value_bytes) results_.resize(most * value_bytes);
    for (auto& outcome : block.outcomes) {
      outcome.payload = std::span<std::byte const>(results_).first(outcome.count * value_bytes);
    }
    host.conversation.post(cluster::encode(block));
    while (auto bytes = host.conversation.next()) {
      at({now_ + latency, 0, Event::Kind::client, index, std::move(*bytes)});
    }
  }

  Result result() {
    Result found;
    found.whole = client_.delivered() == elements_ && client_.is_whole();
    found.steps = static_cast<double>(client_.steps()) / static_cast<double>(elements_);
    if (!begin_ || !end_ || end_->time <= begin_->time) return found;
    double const time = static_cast<double>(end_->time - begin_->time);
    double const delivered = static_cast<double>(end_->delivered - begin_->delivered);
    double const workers = static_cast<double>(hosts_.size() * workers_per_host);
    found.elements_per_second = delivered / time * 1e9;
    found.efficiency = delivered * static_cast<double>(task_ns_) / (time * workers);
    found.client_ns = (end_->client_ns - begin_->client_ns) / delivered;
    found.messages = static_cast<double>(end_->messages - begin_->messages) / delivered;
    return found;
  }

  Time const task_ns_;
  std::uint64_t const round_;  // elements of a chunk for each worker
  std::uint64_t const elements_;
  Costs const costs_;
  Client client_;
  std::deque<Host> hosts_;
  std::priority_queue<Event> events_;
  std::vector<std::pair<std::size_t, detail::Bytes>> inbox_;
  detail::Bytes results_;
  std::mt19937 random_{1};
  std::uint64_t order_ = 0;
  std::uint64_t task_ = 0;
  std::uint64_t messages_ = 0;
  Time now_ = 0;
  Time client_free_ = 0;
  bool wakes_ = false;  // an event is there for when the client has time
  bool looks_ = false;
  double client_ns_ = 0;
  double look_ns_ = 0;
  std::optional<Mark> begin_;
  std::optional<Mark> end_;
};

// CPU time of a message of 200 bytes: half of what it takes to write it to a socket and read it there.
double cost_of_message() {
  int const listener = ::socket(AF_INET, SOCK_STREAM, 0);
  int const writer = ::socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof(address);
  auto* const place = reinterpret_cast<sockaddr*>(&address);
  bool const listens = ::bind(listener, place, size) == 0 && ::listen(listener, 1) == 0 &&
                       ::getsockname(listener, place, &size) == 0 &&
                       ::connect(writer, place, size) == 0;
  int const reader = listens ? ::accept(listener, nullptr, nullptr) : -1;
  require(reader >= 0, "TCP works on this machine");
  int const one = 1;
  ::setsockopt(writer, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
  std::array<char, 200> bytes{};
  std::vector<double> costs;
  constexpr int messages = 200;
  for (int round = 0; round < 21; ++round) {
    auto const begin = bench::now_on(CLOCK_THREAD_CPUTIME_ID);
    for (int i = 0; i < messages; ++i) {
      require(::write(writer, bytes.data(), bytes.size()) == static_cast<ssize_t>(bytes.size()) &&
                  ::read(reader, bytes.data(), bytes.size()) == static_cast<ssize_t>(bytes.size()),
              "a message goes through a socket");
    }
    auto const took = bench::now_on(CLOCK_THREAD_CPUTIME_ID) - begin;
    costs.push_back(static_cast<double>(took) / (2 * messages));
  }
  for (int const socket : {listener, writer, reader}) ::close(socket);
  return bench::median(costs);
}

int check() {
  // Two for what is given, one for its outcome, and a few in a turn, which may be for one message.
  constexpr double max_steps = 12;
  for (Time const task_ns : {Time{100'000}, Time{10'000'000}}) {
    for (std::size_t const hosts : {4, 32}) {
      Costs costs;
      costs.turn = 2'000;
      costs.message_ns = 50;
      Result const result = Simulation(hosts, task_ns, 12, costs).run();
      if (!result.whole) {
        std::fprintf(stderr, "%zu hosts: an element had no outcome, or more than one\n", hosts);
        return EXIT_FAILURE;
      }
      double const steps = result.steps * static_cast<double>(elements_of_chunk(task_ns));
      if (steps > max_steps) {
        std::fprintf(stderr, "%zu hosts: %.1f steps for a chunk\n", hosts, steps);
        return EXIT_FAILURE;
      }
    }
  }
  return EXIT_SUCCESS;
}

int measure() {
  Costs costs;
  costs.message_ns = cost_of_message();
  std::printf("message_ns\t%.0f\n", costs.message_ns);
  for (Time const task_ns : {Time{100'000}, Time{1'000'000}, Time{10'000'000}, Time{100'000'000}}) {
    for (std::size_t const hosts : {1, 3, 10, 30, 100, 300, 1000}) {
      std::uint64_t const rounds = hosts < 30 ? 200 : hosts < 300 ? 40 : 15;
      Result const result = Simulation(hosts, task_ns, rounds, costs).run();
      require(result.whole, "every element has one outcome");
      std::printf("%llu\t%zu\t%.1f\t%.0f\t%.0f\t%.3f\n",
                  static_cast<unsigned long long>(task_ns / 1000), hosts, 100 * result.efficiency,
                  result.elements_per_second, result.client_ns, result.messages);
      std::fflush(stdout);
    }
  }
  return EXIT_SUCCESS;
}

}  // namespace

int main(int argc, char** argv) try {
  if (argc == 2 && std::string_view(argv[1]) == "--check") return check();
  if (argc == 1) return measure();
  std::fputs("usage: cluster_simulation [--check]\n", stderr);
  return EXIT_FAILURE;
} catch (std::exception const& error) {
  std::fprintf(stderr, "cluster_simulation: not so: %s\n", error.what());
  return EXIT_FAILURE;
}
