// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// A program whose file goes away while it runs. First argument: "delete" or "replace" (the file,
// which must be a copy of this program, is overwritten by another); second: "before" or "after" the
// pool has started its first worker.

#include <filesystem>
#include <string_view>

#include "common.hpp"

namespace {

void lose(std::filesystem::path const& own, std::string_view how) {
  if (how == "delete") {
    std::filesystem::remove(own);
    return;
  }
  std::filesystem::path other = own;
  other += ".other";
  std::filesystem::copy_file("/bin/true", other);
  std::filesystem::rename(other, own);
}

}  // namespace

int main(int argc, char** argv) {
  programs::check(argc == 3, "two arguments");
  std::filesystem::path const own = std::filesystem::read_symlink("/proc/self/exe");
  programs::check(own.string().find("copy") != std::string::npos, "this is a copy");
  if (std::string_view(argv[2]) == "before") lose(own, argv[1]);
  procpool::ProcessPool pool{2};
  programs::check(pool.call<programs::square>(3) == 9, "the first call");
  if (std::string_view(argv[2]) == "after") lose(own, argv[1]);
  for (int i = 0; i < 5; ++i) {
    // A new worker each time.
    programs::error_text<procpool::WorkerDied>([&] { pool.call<programs::die_at_seven>(7); });
    programs::check(pool.call<programs::square>(i) == i * i, "a call");
  }
  programs::check_pool();
}
