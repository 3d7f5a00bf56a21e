// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// Opens a plug-in, has a worker run a function of it, and then does so with another build of it
// under the same path: that worker has the old one, cannot open the new one beside it, and is
// replaced. Nothing fails.

#include <dlfcn.h>
#include <stdlib.h>
#include <unistd.h>

#include <cstdio>
#include <filesystem>
#include <procpool.hpp>
#include <string>
#include <utility>

namespace {

namespace fs = std::filesystem;

using Build = std::pair<int, pid_t>;

Build open_and_run(fs::path const& file, procpool::ProcessPool& pool) {
  void* const plugin = ::dlopen(file.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (plugin == nullptr) {
    std::fprintf(stderr, "%s\n", ::dlerror());
    std::exit(4);
  }
  auto const there =
      reinterpret_cast<void (*)(procpool::ProcessPool&, Build&)>(::dlsym(plugin, "build_there"));
  Build build;
  there(pool, build);
  ::dlclose(plugin);
  return build;
}

bool still_loaded(fs::path const& file) {
  void* const plugin = ::dlopen(file.c_str(), RTLD_NOW | RTLD_NOLOAD);
  if (plugin != nullptr) ::dlclose(plugin);
  return plugin != nullptr;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 3) return 2;
  std::string folder = (fs::temp_directory_path() / "procpool-plugin-XXXXXX").string();
  if (::mkdtemp(folder.data()) == nullptr) return 3;
  fs::path const file = fs::path(folder) / "plugin.so";
  int result = 0;
  for (auto const start : {procpool::Start::spawn, procpool::Start::forkserver}) {
    procpool::PoolOptions options;
    options.workers = 1;
    options.start.method = start;
    procpool::ProcessPool pool{options};
    fs::copy_file(argv[1], file, fs::copy_options::overwrite_existing);
    Build const first = open_and_run(file, pool);
    if (still_loaded(file)) {
      std::puts("the loader keeps the old build: nothing to be shown");
      break;
    }
    fs::remove(file);  // a new file: the old one may be mapped
    fs::copy_file(argv[2], file);
    Build const second = open_and_run(file, pool);
    Build const third = open_and_run(file, pool);
    std::printf("%d in %d, %d in %d, %d in %d\n", first.first, first.second, second.first,
                second.second, third.first, third.second);
    if (first.first != 1 || second.first != 2 || third != second || second.second == first.second ||
        pool.stats().worker_deaths != 0) {
      result = 1;
    }
    fs::remove(file);
  }
  fs::remove_all(folder);
  return result;
}
