// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// pool_trial TRIAL, as a job of three processes, or by itself: a pool over the job. Rank 0 alone runs main.

#include <signal.h>
#include <sys/types.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <fstream>
#include <functional>
#include <iterator>
#include <map>
#include <numeric>
#include <set>
#include <sstream>
#include <stdexcept>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include <procpool.hpp>
#include <procpool/mpi.hpp>

#include "support/gate.hpp"
#include "support/until.hpp"

namespace {

using namespace std::chrono_literals;
using Outcomes = std::vector<procpool::Outcome<int>>;

void check(bool condition, std::string const& what) {
  if (!condition) throw std::runtime_error("not so: " + what);
}

std::size_t length(std::string const& word) { return word.size(); }
int crash(int) { return ::raise(SIGSEGV); }
int twice(int x) { return 2 * x; }
// The process that started the worker: the agent of its host.
pid_t agent(int) { return ::getppid(); }
int after_gate(int x, std::string const& gate) {
  support::wait_at(gate);
  return x;
}

std::vector<int> numbers(int count) {
  std::vector<int> all(static_cast<std::size_t>(count));
  std::iota(all.begin(), all.end(), 0);
  return all;
}

procpool::PoolOptions over(procpool::MpiOptions options) {
  options.workers_per_host = 2;
  return {.name = "trial", .log = [](std::string_view) {}, .engine = procpool::mpi(options)};
}

std::set<std::string> hosts_of(procpool::ProcessPool const& pool) {
  std::set<std::string> hosts;
  for (auto const& place : pool.worker_stats()) hosts.insert(place.host);
  return hosts;
}

// Of so many machines, as the launcher says.
void words(std::size_t processes) {
  procpool::ProcessPool pool{over({})};
  check(pool.size() == 2 * processes, "two workers for each process");
  check(hosts_of(pool).size() == processes, "a host for each process");
  std::vector<std::string> all;
  for (int i = 0; i < 3000; ++i) all.emplace_back(static_cast<std::size_t>(i % 40), 'x');
  auto const lengths = pool.map<length>(all);
  for (std::size_t i = 0; i < all.size(); ++i) check(lengths[i] == i % 40, "lengths in order");
  std::string const large(std::size_t{20} << 20, 'x');
  check(pool.call<length>(large) == large.size(), "large arguments arrive");
  int next = 0;
  for (int const x : pool.imap<twice>(numbers(500))) check(x == 2 * next++, "streams in order");
  std::set<pid_t> agents;
  for (auto const& one : pool.on_each_worker<agent>(0)) agents.insert(one);
  check(agents.size() == processes, "each process has workers");
}

// A hundred on each host, and the job goes on.
void crashes(std::size_t processes) {
  procpool::ProcessPool pool{over({})};
  std::map<std::string, int> of_host;
  auto const enough = [&] {
    if (of_host.size() < processes) return false;
    for (auto const& [host, count] : of_host) {
      if (count < 100) return false;
    }
    return true;
  };
  while (!enough()) {
    Outcomes const outcomes = pool.outcomes().map<crash>(numbers(60));
    for (std::size_t i = 0; i < outcomes.size(); ++i) {
      check(!outcomes[i].has_value(), "none has a value");
      auto const* const died = outcomes[i].error().as<procpool::WorkerDied>();
      check(died != nullptr, outcomes[i].error().what());
      check(died->signal() == SIGSEGV && died->element() == i, "each error names its element");
      check(!died->host().empty() && !died->stack().empty(), "and its host and stack");
      ++of_host[died->host()];
    }
  }
  for (auto const& [host, count] : of_host) std::printf("%s: %d crashes\n", host.c_str(), count);
  check(pool.map<twice>(numbers(100))[99] == 198, "the pool works");
}

// A client that has no pool lets its hosts go.
void idle_client(std::size_t) {}

void client_without_work(std::size_t processes) {
  procpool::ProcessPool pool{over({.client_works = false})};
  check(pool.size() == 2 * (processes == 1 ? 1 : processes - 1), "the client has no workers");
  check(pool.map<twice>(numbers(100))[50] == 100, "others have");
}

// Of all threads of a process so far.
double cpu_seconds(pid_t process) {
  std::ifstream file("/proc/" + std::to_string(process) + "/stat");
  std::string text;
  std::getline(file, text);
  std::istringstream words(text.substr(text.rfind(')') + 2));
  std::vector<std::string> fields{std::istream_iterator<std::string>(words), {}};
  check(fields.size() > 12, "the fields of " + text);
  return (std::stod(fields[11]) + std::stod(fields[12])) /
         static_cast<double>(::sysconf(_SC_CLK_TCK));
}

// What agents take that have nothing to do. The goal is 3 %; a machine with other work measures more.
void idle_agents(std::size_t) {
  procpool::ProcessPool pool{over({})};
  std::set<pid_t> agents;
  for (auto const& one : pool.on_each_worker<agent>(0)) agents.insert(one);
  std::map<pid_t, double> before;
  std::this_thread::sleep_for(1s);
  auto const begin = std::chrono::steady_clock::now();
  for (pid_t const one : agents) before[one] = cpu_seconds(one);
  std::this_thread::sleep_for(5s);
  std::chrono::duration<double> const took = std::chrono::steady_clock::now() - begin;
  for (pid_t const one : agents) {
    double const percent = 100 * (cpu_seconds(one) - before[one]) / took.count();
    std::printf("an idle %s takes %.1f %% of a core\n", one == ::getpid() ? "client" : "agent",
                percent);
    check(percent < 10, "an idle process takes little");
  }
}

// All workers are busy. Then a host is made to be lost, which costs what its workers had begun. `back`: once
// that is known.
void lose_a_host(
    std::size_t processes, std::function<void(std::set<pid_t> const& agents)> const& lose,
    std::function<void()> const& back = [] {}) {
  check(processes == 3, "a job of three");
  procpool::ProcessPool pool{over({.beat = 200ms})};
  std::set<pid_t> agents;
  for (auto const& one : pool.on_each_worker<agent>(0)) agents.insert(one);
  agents.erase(::getpid());
  support::Gate const gate;
  std::vector<std::pair<int, std::string>> inputs;
  for (int i = 0; i < 60; ++i) inputs.emplace_back(i, gate.path());
  auto waiting = pool.outcomes().starmap_async<after_gate>(inputs);
  auto const busy = [&] {
    std::size_t running = 0;
    for (auto const& place : pool.worker_stats()) running += place.running ? 1 : 0;
    return running == 6;
  };
  check(support::until(busy), "all workers are busy");
  lose(agents);
  check(support::until([&] { return pool.size() == 4; }), "its host is lost");
  back();
  gate.open();
  Outcomes const outcomes = waiting.get();
  std::size_t lost = 0;
  for (std::size_t i = 0; i < outcomes.size(); ++i) {
    if (outcomes[i].has_value()) {
      check(*outcomes[i] == static_cast<int>(i), "values are right");
    } else {
      check(outcomes[i].error().kind() == procpool::FailureKind::host_lost,
            outcomes[i].error().what());
      ++lost;
    }
  }
  check(lost == 2, "each of its workers had begun one");
  check(pool.map<twice>(numbers(100))[99] == 198, "the pool works");
}

void agent_killed(std::size_t processes) {
  lose_a_host(processes, [](std::set<pid_t> const& agents) { ::kill(*agents.begin(), SIGKILL); });
}

// It stays stopped, and somebody else has to end it.
void agent_stopped(std::size_t processes) {
  lose_a_host(processes, [](std::set<pid_t> const& agents) { ::kill(*agents.begin(), SIGSTOP); });
}

// Of the network of a host; see the script namespaces. A host that comes back is not heard any more.
void cable_cut(std::size_t processes) {
  auto const order = [](char const* name) {
    char const* const command = std::getenv(name);
    check(command != nullptr && std::system(command) == 0, name);
  };
  lose_a_host(
      processes, [&](std::set<pid_t> const&) { order("PROCPOOL_TEST_CUT"); },
      [&] { order("PROCPOOL_TEST_MEND"); });
}

// Does not return: the launcher ends the hosts, and workers follow their agents.
void client_killed(std::size_t) {
  procpool::ProcessPool pool{over({})};
  support::Gate const gate;
  std::vector<std::pair<int, std::string>> inputs;
  for (int i = 0; i < 60; ++i) inputs.emplace_back(i, gate.path());
  auto waiting = pool.starmap_async<after_gate>(inputs);
  pool.start().get();
  std::puts("rank 0 is content");
  std::fflush(stdout);
  ::raise(SIGKILL);
}

}  // namespace

int main(int argc, char** argv) try {
  std::map<std::string_view, void (*)(std::size_t)> const trials{
      {"words", words},
      {"crashes", crashes},
      {"idle_client", idle_client},
      {"client_without_work", client_without_work},
      {"agent_killed", agent_killed},
      {"agent_stopped", agent_stopped},
      {"idle_agents", idle_agents},
      {"cable_cut", cable_cut},
      {"client_killed", client_killed}};
  check(argc == 3, "usage: pool_trial TRIAL PROCESSES");
  trials.at(argv[1])(std::stoul(argv[2]));
  std::puts("rank 0 is content");
  return EXIT_SUCCESS;
} catch (std::exception const& error) {
  std::fprintf(stderr, "pool_trial: %s\n", error.what());
  return EXIT_FAILURE;
}
