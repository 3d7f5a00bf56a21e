// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// A program that somebody has given more rights than its caller has, one that attacks a copy of it
// by way of the workers' entry, and one that gives its own rights up. The arguments are:
//
//   main                      says as whom it runs, and tries a pool and one that runs its tasks in the program
//   attack PROGRAM FILE how   becomes nobody, and uses a pool whose "workers" are executions of PROGRAM, which has
//                             other rights: what they are asked for is to say as whom they run and to make FILE
//   drops how                 becomes nobody for good while it has a pool; says who each new worker is
//   drops_for_a_while         acts for nobody for a while, and uses a pool meanwhile and afterwards
//
// `how`: forkserver, or nothing. Status 77: this machine does not let it become somebody else.

#include <dlfcn.h>
#include <fcntl.h>
#include <grp.h>
#include <spawn.h>
#include <sys/prctl.h>

#include "common.hpp"

namespace {

constexpr unsigned nobody = 65534;

int whose() { return static_cast<int>(::geteuid()); }
bool make(std::string const& path) {
  int const fd = ::open(path.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
  if (fd < 0) return false;
  ::close(fd);
  return true;
}

// In the attacker: what its pool executes for a worker.
std::string executed;

// Said by whatever has the rights before its main: a process that the entry turns away says not
// even this.
bool const initialised = [] {
  if (std::getenv("TELL_INITIALISED") != nullptr) std::puts("initialised");
  return true;
}();

void become_nobody() {
  if (::setgroups(0, nullptr) != 0 || ::setgid(nobody) != 0 || ::setuid(nobody) != 0) std::exit(77);
  ::prctl(PR_SET_DUMPABLE, 1);  // as after a login: /proc/self is its own again
}

// Ends with the text of what was thrown, or with what came.
template <class Call>
void tell(char const* what, Call&& call) {
  try {
    std::printf("%s: %d\n", what, static_cast<int>(call()));
  } catch (std::exception const& error) {
    std::printf("%s: %s\n", what, error.what());
  }
  std::fflush(stdout);
}

int run_main() {
  std::printf("main as %d, mark %s\n", whose(), std::getenv("PROCPOOL_WORKER") ? "left" : "gone");
  procpool::ProcessPool pool{1};
  tell("pool", [&] { return pool.call<programs::square>(3); });
  procpool::ProcessPool within{{.start = {.method = procpool::Start::in_process}}};
  tell("in process", [&] { return within.call<programs::square>(3); });
  return 0;
}

int attack(std::string const& program, std::string const& file, procpool::Start start) {
  become_nobody();
  executed = program;
  procpool::ProcessPool pool{{.workers = 1, .start = {.method = start}}};
  tell("whose", [&] { return pool.call<whose>(); });
  tell("made", [&] { return pool.call<make>(file); });
  return 0;
}

int drop(procpool::Start start) {
  procpool::ProcessPool pool{
      {.workers = 1, .start = {.method = start}, .lifetime = {.max_tasks = 1}}};
  tell("before", [&] { return pool.call<whose>(); });
  become_nobody();
  // A worker may have been made ahead.
  tell("meanwhile", [&] { return pool.call<whose>(); });
  for (int i = 0; i < 3; ++i) tell("after", [&] { return pool.call<whose>(); });
  return 0;
}

int drop_for_a_while() {
  if (::seteuid(nobody) != 0) return 77;
  {
    procpool::ProcessPool pool{1};
    tell("meanwhile", [&] { return pool.call<whose>(); });
  }
  if (::seteuid(0) != 0) return 77;
  procpool::ProcessPool pool{1};
  tell("after", [&] { return pool.call<whose>(); });
  return 0;
}

}  // namespace

// In the place of the library's: the attacker is the same program, but for what it executes.
extern "C" __attribute__((visibility("default"))) int posix_spawn(
    pid_t* pid, char const* path, posix_spawn_file_actions_t const* actions,
    posix_spawnattr_t const* attributes, char* const* arguments, char* const* environment) {
  static auto const real =
      reinterpret_cast<decltype(&posix_spawn)>(::dlsym(RTLD_NEXT, "posix_spawn"));
  return real(pid, executed.empty() ? path : executed.c_str(), actions, attributes, arguments,
              environment);
}

int main(int argc, char** argv) {
  std::string const what = argc > 1 ? argv[1] : "main";
  procpool::Start const start = programs::start_of(argc, argv);
  if (what == "attack" && argc > 3) return attack(argv[2], argv[3], start);
  if (what == "drops") return drop(start);
  if (what == "drops_for_a_while") return drop_for_a_while();
  return run_main();
}
