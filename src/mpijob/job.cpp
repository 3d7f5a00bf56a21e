// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#include "mpijob/job.hpp"

#include <mpi.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#include <cstdio>
#include <exception>
#include <optional>
#include <utility>

#include <procpool/detail/engine/mutex.hpp>
#include <procpool/errors.hpp>

#include "cluster/host.hpp"
#include "entry/entry_hook.hpp"
#include "mpijob/job_link.hpp"
#include "mpijob/launch.hpp"
#include "mpijob/mpi_link.hpp"

namespace procpool::inline v0_1::mpijob {
namespace {

// So long a process waits for the others at its end.
constexpr std::chrono::seconds patience{10};

struct State {
  detail::Mutex mutex;
  std::shared_ptr<cluster::Client> client PROCPOOL_GUARDED_BY(mutex);
  std::size_t others PROCPOOL_GUARDED_BY(mutex) = 0;
  pid_t process PROCPOOL_GUARDED_BY(mutex) = 0;  // 0: main has not begun, or this is no client
};

// Lives for ever: pools of static lifetime end late.
State& state() {
  static State& one = *new State;
  return one;
}

int status_of_exit = 0;

// MPI_Finalize waits for the others, also for one that died in the meantime.
void end_in_time(int status) {
  status_of_exit = status;
  struct sigaction action{};
  action.sa_handler = [](int) { ::_exit(status_of_exit); };
  ::sigaction(SIGALRM, &action, nullptr);
  ::alarm(static_cast<unsigned>(2 * patience.count()));
}

[[noreturn]] void end_without_mpi(int status) {
  std::fflush(nullptr);
  ::_exit(status);
}

[[noreturn]] void refuse(std::exception const& why) {
  std::fprintf(stderr, "procpool: %s\n", why.what());
  end_without_mpi(EXIT_FAILURE);
}

// Behind the destructors of all that the program has.
void leave(int status, void*) {
  State& job = state();
  std::shared_ptr<cluster::Client> client;
  {
    detail::Lock const lock(job.mutex);
    // A child that was forked has no part in it.
    if (job.process != ::getpid()) return;
    client = std::exchange(job.client, nullptr);
  }
  int begun = 0;
  MPI_Initialized(&begun);
  if (begun != 0) end_in_time(status);
  client.reset();
  if (begun == 0) return;
  int finalized = 0;
  MPI_Finalized(&finalized);
  ::alarm(0);
  if (finalized == 0) end_without_mpi(status);
}

[[noreturn]] void be_host(Launch const& launch) {
  bool finalized = false;
  try {
    MpiLink link;
    if (auto const why = mismatch(launch, link.size())) throw SetupError(*why);
    cluster::run_host(link);
    end_in_time(EXIT_SUCCESS);
    link.close(patience);
    finalized = link.finalized();
  } catch (std::exception const& why) {
    refuse(why);
  }
  if (!finalized) end_without_mpi(EXIT_SUCCESS);
  ::alarm(0);
  std::exit(EXIT_SUCCESS);
}

std::shared_ptr<cluster::Client> make_client(std::optional<Launch> const& launch,
                                             std::size_t& others) {
  return cluster::make_client([&] {
    auto link = std::make_unique<JobLink>(launch);
    others = link->others();
    return link;
  });
}

// From procpool::init.
void take_part() {
  auto const launch = launch_of(environ);
  if (launch && launch->rank > 0) be_host(*launch);
  State& job = state();
  detail::Lock const lock(job.mutex);
  job.process = ::getpid();
  if (!launch) return;
  try {
    job.client = make_client(launch, job.others);
  } catch (std::exception const& why) {
    refuse(why);
  }
}

// 101: ahead of the constructors of the program, so that leave() comes behind its destructors.
__attribute__((constructor(101))) void enter() {
  ::on_exit(leave, nullptr);
  entry::on_start(take_part);
}

}  // namespace

Cluster join() {
  State& job = state();
  detail::Lock const lock(job.mutex);
  if (job.process != ::getpid()) {
    throw SetupError("procpool::mpi() may be used in the client only, after main has begun: not in "
                     "a worker, in a "
                     "process that was forked, or in a static initialiser");
  }
  // A program by itself has a client once it asks for one.
  if (!job.client) job.client = make_client(std::nullopt, job.others);
  return {job.client, job.others};
}

}  // namespace procpool::inline v0_1::mpijob
