// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// link_trial NAME, as a job of three processes: one trial of MpiLink by itself. Each rank ends with
// status 0 if all has happened as the trial says, and rank 0 says that it is content. Rank 0 is the
// client and has the peers 0 and 1.

#include <signal.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <iterator>
#include <map>
#include <random>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "mpijob/mpi_link.hpp"

namespace {

using procpool::detail::Bytes;
using procpool::mpijob::MpiLink;
using Event = MpiLink::Event;
using Kind = Event::Kind;
using Clock = std::chrono::steady_clock;
using namespace std::chrono_literals;

constexpr auto patience = 40s;

[[noreturn]] void failed(char const* what, int line) {
  std::fprintf(stderr, "link_trial.cpp:%d: not so: %s\n", line, what);
  std::fflush(nullptr);
  ::_exit(EXIT_FAILURE);
}
#define CHECK(condition) ((condition) ? void() : failed(#condition, __LINE__))

// The events of a link, one at a time.
class Ear {
 public:
  explicit Ear(MpiLink& link) : link_(link) {}

  Event next() {
    while (events_.empty()) hear();
    Event event = std::move(events_.front());
    events_.pop_front();
    return event;
  }
  Event next(Kind kind, MpiLink::Peer peer) {
    Event event = next();
    if (event.kind != kind || event.peer != peer) {
      std::fprintf(stderr, "event %d of %zu (%s) in place of %d of %zu\n",
                   static_cast<int>(event.kind), event.peer, event.text.c_str(),
                   static_cast<int>(kind), peer);
    }
    CHECK(event.kind == kind);
    CHECK(event.peer == peer);
    return event;
  }
  // Each peer is up, and nothing of it comes before. What one says may come before another is up.
  void all_up() {
    std::vector<bool> up(link_.rank() == 0 ? link_.size() - 1 : 1);
    std::deque<Event> kept;
    while (std::ranges::count(up, false) != 0) {
      Event event = next();
      if (event.kind == Kind::up) {
        CHECK(!up.at(event.peer));
        up[event.peer] = true;
      } else {
        CHECK(up.at(event.peer));
        kept.push_back(std::move(event));
      }
    }
    std::ranges::move(events_, std::back_inserter(kept));
    events_ = std::move(kept);
  }
  // What was heard of it and not looked at is forgotten.
  void forget(MpiLink::Peer peer) {
    std::erase_if(events_, [peer](Event const& event) { return event.peer == peer; });
  }

 private:
  void hear() {
    auto const end = Clock::now() + patience;
    std::vector<Event> heard;
    while (heard.empty()) {
      CHECK(Clock::now() < end);
      link_.wait(end, heard);
    }
    std::ranges::move(heard, std::back_inserter(events_));
  }

  MpiLink& link_;
  std::deque<Event> events_;
};

Bytes bytes(std::string_view text) {
  Bytes made;
  procpool::detail::append(made, text.data(), text.size());
  return made;
}
std::string text(Bytes const& bytes) {
  return {reinterpret_cast<char const*>(bytes.data()), bytes.size()};
}
// Recognisable, and different for each number.
Bytes pattern(std::size_t size, unsigned number) {
  Bytes made(size);
  std::minstd_rand random(number + 1);
  for (std::byte& one : made) one = static_cast<std::byte>(random() >> 8);
  return made;
}

// Sends back what comes, until the other side closes.
void echo(MpiLink& link, Ear& ear) {
  ear.all_up();
  for (;;) {
    Event event = ear.next();
    if (event.kind == Kind::down) return;
    link.send(0, std::move(event.bytes));
  }
}

// Hundreds of messages come back whole and in order, from both at once. Some are so large that the next
// ones are there sooner.
void order(MpiLink& link, Ear& ear) {
  if (link.rank() > 0) return echo(link, ear);
  ear.all_up();
  constexpr unsigned count = 500;
  auto const size_of = [](unsigned i) {
    return i % 10 == 0 ? std::size_t{600'000} : std::size_t{i} * 7919 % 9'000;
  };
  for (unsigned i = 0; i < count; ++i) {
    link.send(0, pattern(size_of(i), i));
    link.send(1, pattern(size_of(i + 1), i + count));
  }
  std::array<unsigned, 2> come{};
  while (come[0] < count || come[1] < count) {
    Event const event = ear.next();
    CHECK(event.kind == Kind::message);
    unsigned const i = come.at(event.peer)++;
    CHECK(event.bytes ==
          (event.peer == 0 ? pattern(size_of(i), i) : pattern(size_of(i + 1), i + count)));
  }
}

// The largest message and small ones keep their order, though the small ones are there sooner.
void large(MpiLink& link, Ear& ear) {
  if (link.rank() > 0) return echo(link, ear);
  ear.all_up();
  CHECK(link.largest_message() >= (std::size_t{32} << 20));
  for (unsigned round = 0; round < 2; ++round) {
    for (std::size_t peer = 0; peer < 2; ++peer) {
      link.send(peer, bytes("before"));
      link.send(peer, Bytes(link.largest_message(), static_cast<std::byte>(round + 7 * peer + 1)));
      link.send(peer, bytes("after"));
    }
  }
  std::array<unsigned, 2> come{};
  while (come[0] < 6 || come[1] < 6) {
    Event const event = ear.next();
    CHECK(event.kind == Kind::message);
    unsigned const i = come.at(event.peer)++;
    if (i % 3 == 0) CHECK(text(event.bytes) == "before");
    if (i % 3 == 2) CHECK(text(event.bytes) == "after");
    if (i % 3 != 1) continue;
    CHECK(event.bytes ==
          Bytes(link.largest_message(), static_cast<std::byte>(i / 3 + 7 * event.peer + 1)));
  }
}

// A ring ends a wait that has no other end, also one that came before it. A deadline ends one too.
void ring(MpiLink& link, Ear& ear) {
  if (link.rank() > 0) return echo(link, ear);
  ear.all_up();
  std::vector<Event> events;
  link.ring();
  link.wait(std::nullopt, events);
  CHECK(events.empty());
  std::atomic<unsigned> waits{0};
  std::thread ringer([&] {
    for (unsigned i = 0; i < 500; ++i) {
      link.ring();
      while (waits.load() <= i) std::this_thread::yield();
    }
    // Deep in its pauses.
    std::this_thread::sleep_for(50ms);
    link.ring();
  });
  for (unsigned i = 0; i < 501; ++i) {
    link.wait(std::nullopt, events);
    CHECK(events.empty());
    ++waits;
  }
  ringer.join();
  auto const deadline = Clock::now() + 30ms;
  link.wait(deadline, events);
  CHECK(events.empty());
  CHECK(Clock::now() >= deadline);
  link.wait(Clock::now() - 1s, events);
  CHECK(events.empty());
}

// Every process knows the names of the others once they are up, and a rank before that.
void names(MpiLink& link, Ear& ear) {
  std::array<char, 256> machine{};
  ::gethostname(machine.data(), machine.size() - 1);
  if (link.rank() == 0) {
    ear.all_up();
    CHECK(link.name(0) == std::string("rank 1 on ") + machine.data());
    CHECK(link.name(1) == std::string("rank 2 on ") + machine.data());
  } else {
    CHECK(link.name(0) == "rank 0");
    ear.all_up();
    CHECK(link.name(0) == std::string("rank 0 on ") + machine.data());
    ear.next(Kind::down, 0);
  }
}

// Nothing more is heard of a dropped peer that goes on sending. The other one is as it was. Nobody
// finalizes, and everybody ends.
void drop(MpiLink& link, Ear& ear) {
  if (link.rank() == 0) {
    ear.all_up();
    link.send(0, bytes("begin"));
    ear.next(Kind::message, 0);
    link.drop(0);
    ear.forget(0);
    link.send(0, bytes("to nobody"));
    link.send(1, bytes("begin"));
    for (int i = 0; i < 1'000; ++i) CHECK(text(ear.next(Kind::message, 1).bytes) == "one");
    return;
  }
  ear.all_up();
  CHECK(text(ear.next(Kind::message, 0).bytes) == "begin");
  for (int i = 0; i < 1'000; ++i) link.send(0, bytes("one"));
  ear.next(Kind::down, 0);
}

// A peer that is stopped costs the others nothing: no call waits for it. Once it goes on, all is
// there. It is told by its process number, which it sends.
void stopped(MpiLink& link, Ear& ear) {
  if (link.rank() == 1) {
    ear.all_up();
    pid_t const self = ::getpid();
    Bytes number;
    procpool::detail::append(number, &self, sizeof(self));
    link.send(0, std::move(number));
  }
  if (link.rank() > 0) {
    for (;;) {
      Event event = ear.next();
      if (event.kind == Kind::up) continue;
      if (event.kind == Kind::down) return;
      link.send(0, std::move(event.bytes));
    }
  }
  ear.all_up();
  pid_t process = 0;
  Event const number = ear.next(Kind::message, 0);
  CHECK(number.bytes.size() == sizeof(process));
  std::memcpy(&process, number.bytes.data(), sizeof(process));
  ::kill(process, SIGSTOP);
  constexpr unsigned count = 12;
  for (unsigned i = 0; i < count; ++i) link.send(0, pattern(1 << 20, i));
  for (unsigned i = 0; i < 50; ++i) {
    link.send(1, pattern(2'000, i));
    CHECK(ear.next(Kind::message, 1).bytes == pattern(2'000, i));
  }
  ::kill(process, SIGCONT);
  for (unsigned i = 0; i < count; ++i) {
    CHECK(ear.next(Kind::message, 0).bytes == pattern(1 << 20, i));
  }
}

// A peer that never looks cannot keep the client from its end.
void deaf(MpiLink& link, Ear& ear) {
  if (link.rank() == 1) {
    ear.all_up();
    // Until the client is gone: rank 2 tells.
    char ended = 0;
    MPI_Request request = MPI_REQUEST_NULL;
    MPI_Irecv(&ended, 1, MPI_BYTE, 2, 77, MPI_COMM_WORLD, &request);
    int done = 0;
    while (done == 0) {
      std::this_thread::sleep_for(1ms);
      MPI_Test(&request, &done, MPI_STATUS_IGNORE);
    }
    ::_exit(0);
  }
  ear.all_up();
  if (link.rank() == 0) {
    for (unsigned i = 0; i < 20; ++i) link.send(0, pattern(1 << 20, i));
    auto const begin = Clock::now();
    link.close(300ms);
    CHECK(Clock::now() - begin < patience);
    CHECK(!link.finalized());
    return;
  }
  ear.next(Kind::down, 0);
  link.close(patience);
  CHECK(!link.finalized());
  char const ended = 1;
  MPI_Send(&ended, 1, MPI_BYTE, 1, 77, MPI_COMM_WORLD);
}

// What cannot be makes a peer be down, and says why. What comes from a neighbour is nothing. The other
// host is heard as before.
std::string_view hostile_kind;
void hostile(MpiLink& link, Ear& ear) {
  std::string_view const kind = hostile_kind;
  auto const raw = [](int rank, int tag, std::vector<char> const& bytes) {
    MPI_Request request = MPI_REQUEST_NULL;
    MPI_Isend(bytes.data(), static_cast<int>(bytes.size()), MPI_BYTE, rank, tag, MPI_COMM_WORLD,
              &request);
    // The other side may never take it whole.
    auto const end = Clock::now() + patience;
    int done = 0;
    while (done == 0 && Clock::now() < end) MPI_Test(&request, &done, MPI_STATUS_IGNORE);
    return done != 0;
  };
  if (link.rank() == 1) {
    ear.all_up();
    ear.next(Kind::message, 0);
    if (kind == "kind") CHECK(raw(0, 1'000, {1, 2, 3}));
    if (kind == "greeting") CHECK(raw(0, MpiLink::hello, std::vector<char>(10)));
    if (kind == "decision") CHECK(raw(0, MpiLink::decision, {1}));
    if (kind == "size") {
      static std::vector<char> const endless(link.largest_message() + 1);
      CHECK(raw(0, MpiLink::message, endless));
    }
    if (kind == "neighbour") {
      CHECK(raw(2, MpiLink::message, {1}));
      CHECK(raw(2, MpiLink::bye, {}));
      CHECK(raw(2, MpiLink::decision, {1}));
      link.send(0, bytes("done"));
    }
    ear.next(Kind::down, 0);
    return;
  }
  if (link.rank() == 2) return echo(link, ear);
  ear.all_up();
  link.send(0, bytes("begin"));
  if (kind == "neighbour") {
    CHECK(text(ear.next(Kind::message, 0).bytes) == "done");
  } else {
    std::string const why = ear.next(Kind::down, 0).text;
    std::string_view const expected = kind == "size"       ? "more than 67108864 bytes"
                                      : kind == "greeting" ? "no place there (tag 1)"
                                      : kind == "decision" ? "no place there (tag 4)"
                                                           : "no place there (tag 1000)";
    if (why.find(expected) == std::string::npos) std::fprintf(stderr, "%s\n", why.c_str());
    CHECK(why.find(expected) != std::string::npos);
  }
  for (unsigned i = 0; i < 100; ++i) {
    link.send(1, pattern(100, i));
    CHECK(ear.next(Kind::message, 1).bytes == pattern(100, i));
  }
}

// A link without work takes little of the processor: that of a tenth of its time would be much.
void idle(MpiLink& link, Ear& ear) {
  if (link.rank() > 0) return echo(link, ear);
  ear.all_up();
  auto const used = [] {
    rusage usage{};
    ::getrusage(RUSAGE_THREAD, &usage);
    return std::chrono::seconds(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
           std::chrono::microseconds(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec);
  };
  auto const begin = Clock::now();
  auto const before = used();
  std::vector<Event> events;
  link.wait(begin + 1s, events);
  CHECK(events.empty());
  auto const share = std::chrono::duration<double>(used() - before) /
                     std::chrono::duration<double>(Clock::now() - begin);
  std::printf("an idle link takes %.1f %% of a core\n", 100 * share);
  CHECK(share < 0.1);
}

std::map<std::string_view, void (*)(MpiLink&, Ear&)> const trials{
    {"order", order}, {"large", large},     {"ring", ring}, {"names", names},    {"drop", drop},
    {"deaf", deaf},   {"hostile", hostile}, {"idle", idle}, {"stopped", stopped}};

}  // namespace

int main(int argc, char** argv) {
  CHECK(argc == 2);
  std::string_view name = argv[1];
  if (name.starts_with("hostile_")) {
    hostile_kind = name.substr(8);
    name = "hostile";
  }
  CHECK(trials.contains(name));
  bool whole = false;
  {
    MpiLink link;
    CHECK(link.size() == 3);
    Ear ear(link);
    trials.at(name)(link, ear);
    if (name != "deaf") link.close(patience);
    whole = link.finalized();
    bool const expected =
        name != "drop" && name != "deaf" && (name != "hostile" || hostile_kind == "neighbour");
    if (whole != expected) std::fprintf(stderr, "finalized: %d\n", whole);
    CHECK(whole == expected);
    if (link.rank() == 0) std::puts("rank 0 is content");
  }
  std::fflush(nullptr);
  if (!whole) ::_exit(EXIT_SUCCESS);
  return EXIT_SUCCESS;
}
