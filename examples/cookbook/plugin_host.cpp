// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// A host of plug-ins that opens none of them itself. Each plug-in has a worker: what it breaks is
// that worker, and the host says which library the crash was in.

#include <dlfcn.h>

#include <filesystem>
#include <iostream>
#include <procpool.hpp>
#include <stdexcept>
#include <string>

#include "plugins/plugin.hpp"

namespace {

namespace fs = std::filesystem;

// In a worker. The library stays open, so it keeps its state from call to call.
std::string run(fs::path const& plugin, std::string text) {
  void* const library = ::dlopen(plugin.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) throw std::runtime_error("it is no library that can be opened");
  auto* const function = reinterpret_cast<Transform*>(::dlsym(library, "transform"));
  if (function == nullptr) throw std::runtime_error("it has no function transform");
  function(text.data(), text.size());
  return text;
}

// The library in which a worker crashed, among those that are plug-ins.
std::string place(procpool::WorkerDied const& died, fs::path const& folder) {
  for (procpool::StackFrame const& frame : died.stack()) {
    fs::path const module = frame.module;
    if (module.parent_path() == folder) return module.filename().string();
  }
  return "the host's own code";
}

}  // namespace

// plugin_host FOLDER: runs plug-ins of that folder.
int main(int argc, char** argv) {
  if (argc != 2) return 2;
  fs::path const folder = fs::canonical(argv[1]);
  procpool::ProcessPool pool{
      {.workers = 2, .name = "plug-ins", .defaults = {.timeout = std::chrono::seconds(20)}}};

  for (char const* name : {"upper.so", "leet.so", "upper.so", "leet.so", "missing.so"}) {
    for (char const* text : {"toast", "a quick fox"}) {
      // All calls of a plug-in go to one worker. Its name stands in `ps` and in the log.
      auto const outcome = pool.with({.key = name, .label = name})
                               .outcomes()
                               .call<run>(folder / name, std::string(text));
      std::cout << name << ": ";
      if (outcome) {
        std::cout << *outcome << '\n';
      } else if (auto const* died = outcome.error().as<procpool::WorkerDied>()) {
        std::cout << "crashed in " << place(*died, folder) << '\n';
      } else {
        std::cout << outcome.error().what() << '\n';
      }
    }
  }
}
