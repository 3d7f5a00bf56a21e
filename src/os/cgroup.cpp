// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#include "os/cgroup.hpp"

#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <filesystem>
#include <string_view>
#include <system_error>

#include "os/fd.hpp"

namespace procpool::inline v0_1::os {
namespace {

bool write_text(std::string const& path, std::string const& text) noexcept {
  UniqueFd const file(::open(path.c_str(), O_WRONLY | O_CLOEXEC));
  return file && ::write(file.get(), text.data(), text.size()) == static_cast<ssize_t>(text.size());
}

}  // namespace

Cgroup::Cgroup(std::string const& folder, std::string const& name) : path_(folder + "/" + name) {
  if (::mkdir(path_.c_str(), 0755) != 0) {
    int const error = errno;
    std::string const path = std::exchange(path_, {});
    throw_error(error, "procpool could not make the control group " + path);
  }
  // Kernels before 5.14 cannot end a group at once.
  if (::access(kill_path().c_str(), W_OK) != 0) {
    std::string const path = kill_path();
    remove();
    throw_error(ENOTSUP, "procpool needs " + path + ": is " + folder +
                             " a folder of cgroup version 2, on Linux 5.14 or newer?");
  }
}

Cgroup::~Cgroup() {
  if (!path_.empty()) remove();
}

void Cgroup::add(pid_t pid) {
  if (!write_text(path_ + "/cgroup.procs", std::to_string(pid))) {
    throw_errno("procpool could not put a worker into the control group " + path_);
  }
}

UniqueFd Cgroup::open_kill() const {
  int const fd = ::open(kill_path().c_str(), O_WRONLY | O_CLOEXEC);
  if (fd < 0) throw_errno("procpool could not open " + kill_path());
  return above_standard(UniqueFd(fd));
}

void Cgroup::kill() noexcept { write_text(kill_path(), "1"); }

bool Cgroup::remove() noexcept {
  if (::rmdir(path_.c_str()) != 0 && errno == EBUSY) return false;
  path_.clear();
  return true;
}

void sweep_cgroups(std::string const& folder) noexcept {
  std::error_code error;
  for (auto entry = std::filesystem::directory_iterator(folder, error);
       !error && entry != std::filesystem::directory_iterator(); entry.increment(error)) {
    std::string const name = entry->path().filename();
    std::string_view rest = name;
    if (!rest.starts_with(cgroup_prefix)) continue;
    rest.remove_prefix(std::string_view(cgroup_prefix).size());
    int pid = 0;
    auto const [end, bad] = std::from_chars(rest.data(), rest.data() + rest.size(), pid);
    if (bad != std::errc() || pid <= 0) continue;
    if (::kill(pid, 0) != 0 && errno == ESRCH) ::rmdir(entry->path().c_str());
  }
}

}  // namespace procpool::inline v0_1::os
