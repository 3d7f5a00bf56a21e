// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// A host without a usable /dev/shm, in a mount namespace of its own. The argument: "full" (4 KiB,
// and all taken), "read_only", "absent". Nothing of a pool has a name, so that it works all the
// same. Status 77: this machine does not allow the mount.

#include <fcntl.h>
#include <sched.h>
#include <sys/mount.h>

#include <filesystem>
#include <string_view>

#include "common.hpp"

namespace {

constexpr char const* place = "/dev/shm";

bool spoil(std::string_view how) {
  if (::unshare(CLONE_NEWNS) != 0) return false;
  // Nobody else sees what is mounted from here on.
  if (::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0) return false;
  if (how == "absent") {
    // A /dev with the null device alone.
    int const null = ::open("/dev/null", O_PATH | O_CLOEXEC);
    if (::mount("tmpfs", "/dev", "tmpfs", 0, nullptr) != 0) return false;
    int const file = ::open("/dev/null", O_CREAT | O_CLOEXEC, 0600);
    std::string const source = "/proc/self/fd/" + std::to_string(null);
    if (::mount(source.c_str(), "/dev/null", nullptr, MS_BIND, nullptr) != 0) return false;
    ::close(file);
    ::close(null);
    return !std::filesystem::exists(place);
  }
  unsigned long const flags = how == "read_only" ? MS_RDONLY : 0;
  if (::mount("tmpfs", place, "tmpfs", flags, "size=4096") != 0) return false;
  if (how == "full") {
    int const file = ::open("/dev/shm/filler", O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
    std::string const much(8192, 'f');
    while (::write(file, much.data(), much.size()) > 0) {
    }
    ::close(file);
  }
  return true;
}

}  // namespace

int main(int argc, char** argv) {
  if (!spoil(argc > 1 ? argv[1] : "full")) return 77;
  programs::check_pool();
  {
    procpool::ProcessPool pool{2};
    std::vector<std::string> const texts(6, std::string(2'000'000, 't'));
    auto const echo = [](std::string text) { return text; };
    programs::check(pool.map(echo, texts) == texts, "large messages");
    auto const shared = pool.share(std::string(1'000'000, 's'));
    auto const size_of = [](std::string const& text) { return text.size(); };
    programs::check(pool.call(size_of, shared) == 1'000'000, "a shared value");
  }
  // The pool has put nothing there either.
  std::error_code error;
  for (auto const& entry : std::filesystem::directory_iterator(place, error)) {
    programs::check(entry.path().filename() == "filler", "nobody made " + entry.path().string());
  }
}
