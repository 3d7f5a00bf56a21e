// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#include "entry/worker_program.hpp"

#include <fcntl.h>
#include <string.h>

#include <cerrno>
#include <cstdlib>
#include <utility>
#include <vector>

#include <procpool/errors.hpp>

#include "entry/entry_hook.hpp"
#include "identity/module.hpp"
#include "os/spawn.hpp"

// From CMake: the folder of the helper, as seen from that of the library, and where it was to be
// installed.
#ifndef PROCPOOL_LIBEXEC_FROM_LIB
#define PROCPOOL_LIBEXEC_FROM_LIB "../libexec/procpool"
#endif
#ifndef PROCPOOL_LIBEXEC
#define PROCPOOL_LIBEXEC "/usr/local/libexec/procpool"
#endif

namespace procpool::inline v0_1::entry {
namespace {

constexpr char const* helper_name = "/procpool-worker";
constexpr char const* helper_variable = "PROCPOOL_WORKER_PROGRAM";

os::UniqueFd open_program(std::string const& path) {
  os::UniqueFd file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  return file ? os::above_standard(std::move(file)) : os::UniqueFd();
}

// The module that this code is in. Empty: it is a part of the program itself, which nothing can
// open.
std::string own_module() {
  auto const path = identity::locate(reinterpret_cast<void const*>(&open_program)).path;
  return path == identity::loaded_modules().front().path ? std::string() : path;
}

WorkerProgram named(std::string const& path, std::string const& module, char const* by) {
  if (module.empty()) {
    throw SetupError(std::string(by) +
                     " names a program for workers, which could not open this one: procpool is "
                     "linked into the program itself. Link the CMake target procpool::procpool "
                     "(pkg-config: procpool)");
  }
  WorkerProgram program{open_program(path), module};
  if (!program.image) {
    throw SetupError(std::string(by) + " names the program \"" + path +
                     "\" for workers, which cannot be opened: " + ::strerror(errno));
  }
  return program;
}

}  // namespace

WorkerProgram open_worker_program(std::string const& given) {
  check_may_use_pools();
  if (!given.empty()) return named(given, own_module(), "PoolOptions::start.worker_program");
  // A worker of a helper is one too.
  if (helper_module() != nullptr) return {os::open_own_image(), helper_module()};
  if (has_entry_hook()) return {os::open_own_image()};
  std::string const module = own_module();
  if (char const* const path = std::getenv(helper_variable); path != nullptr && *path != '\0') {
    return named(path, module,
                 (std::string("the environment variable ") + helper_variable).c_str());
  }
  if (!module.empty()) {
    std::string const folder = module.substr(0, module.rfind('/'));
    for (std::string const& place :
         {folder, folder + "/" PROCPOOL_LIBEXEC_FROM_LIB, std::string(PROCPOOL_LIBEXEC)}) {
      WorkerProgram program{open_program(place + helper_name), module};
      if (program.image) return program;
    }
  }
  throw SetupError(
      "this program has no worker entry, so no worker can be started from it: link the CMake "
      "target procpool::procpool (pkg-config: procpool), or call procpool::init(argc, argv) "
      "first thing in main" +
      (module.empty() ? std::string()
                      : ". If main is not yours, as in a library for an interpreter, the program "
                        "procpool-worker is needed beside " +
                            module));
}

}  // namespace procpool::inline v0_1::entry
