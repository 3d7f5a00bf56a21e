// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// posix_spawn, without anything that a worker must not inherit. Threads and crashes: see the
// header. glibc's posix_spawn uses CLONE_VFORK with all signals blocked. So its cost does not grow
// with the parent's memory, and no signal handler of the program ever runs in the child.
#include "os/spawn.hpp"

#include <fcntl.h>
#include <spawn.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <climits>
#include <csignal>
#include <exception>
#include <string_view>
#include <system_error>

#include "os/process.hpp"

namespace procpool::inline v0_1::os {
namespace {

void check(int error, char const* what) {
  if (error != 0) throw_error(error, what);
}

class FileActions {
 public:
  FileActions() { check(::posix_spawn_file_actions_init(&actions_), wanted); }
  FileActions(FileActions const&) = delete;
  FileActions& operator=(FileActions const&) = delete;
  ~FileActions() { ::posix_spawn_file_actions_destroy(&actions_); }

  void copy(int from, int to) {
    check(::posix_spawn_file_actions_adddup2(&actions_, from, to), wanted);
  }
  void close_from(int first) {
    check(::posix_spawn_file_actions_addclosefrom_np(&actions_, first), wanted);
  }
  posix_spawn_file_actions_t const* get() const { return &actions_; }

 private:
  static constexpr char const* wanted = "procpool could not prepare a worker's descriptors";
  posix_spawn_file_actions_t actions_;
};

class Attributes {
 public:
  explicit Attributes(int blocked) {
    check(::posix_spawnattr_init(&attributes_), wanted);
    sigset_t all;
    sigset_t mask;
    sigfillset(&all);
    sigemptyset(&mask);
    if (blocked != 0) sigaddset(&mask, blocked);
    // These cannot fail for these arguments.
    ::posix_spawnattr_setsigdefault(&attributes_, &all);
    ::posix_spawnattr_setsigmask(&attributes_, &mask);
    ::posix_spawnattr_setpgroup(&attributes_, 0);
    ::posix_spawnattr_setflags(
        &attributes_, POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETPGROUP);
  }
  Attributes(Attributes const&) = delete;
  Attributes& operator=(Attributes const&) = delete;
  ~Attributes() { ::posix_spawnattr_destroy(&attributes_); }
  posix_spawnattr_t const* get() const { return &attributes_; }

 private:
  static constexpr char const* wanted = "procpool could not prepare a worker's attributes";
  posix_spawnattr_t attributes_;
};

// The path of the program's image, or its path before it was deleted.
std::string name_of_file(int fd) {
  std::array<char, PATH_MAX> name{};
  std::string const link = "/proc/thread-self/fd/" + std::to_string(fd);
  ssize_t const length = ::readlink(link.c_str(), name.data(), name.size());
  return length > 0 ? std::string(name.data(), static_cast<std::size_t>(length)) : link;
}

// posix_spawn returns an error number and does not say which of its steps failed. All steps but the
// execution were checked before.
[[noreturn]] void throw_unspawned(int error, SpawnRequest const& request) {
  std::string why;
  if (error == EAGAIN) {
    why = " (a limit on processes: RLIMIT_NPROC, or pids.max of a control group)";
  } else if (error == EACCES || error == EPERM) {
    why = " (may the file be executed, and is its file system not mounted noexec?)";
  } else if (error == ENOENT) {
    why = proc_hint();
    if (why.empty()) why = " (is the loader that the program names, its ELF interpreter, there?)";
  }
  throw_error(error, "procpool could not start a worker process: posix_spawn of " +
                         name_of_file(request.image) + " (" + request.arguments.front() +
                         ") failed" + why);
}

std::string_view name_of(std::string_view variable) {
  return variable.substr(0, variable.find('='));
}

// posix_spawn asks for char* but does not write through it.
std::vector<char*> pointers(std::vector<std::string> const& variables,
                            std::vector<std::string> const& additions) {
  std::vector<char*> all;
  all.reserve(additions.size() + variables.size() + 1);
  for (std::string const& addition : additions) all.push_back(const_cast<char*>(addition.c_str()));
  for (std::string const& variable : variables) {
    bool replaced = false;
    for (std::string const& addition : additions) {
      replaced = replaced || name_of(addition) == name_of(variable);
    }
    if (!replaced) all.push_back(const_cast<char*>(variable.c_str()));
  }
  all.push_back(nullptr);
  return all;
}

// The steps that fill the low numbers would overwrite a source that has one of them.
int safe_number(int fd, UniqueFd& keeper) {
  if (fd >= lowest_descriptor) return fd;
  keeper = duplicate(fd);
  return keeper.get();
}

void inherit_output(FileActions& actions, int null, int fd) {
  if (::fcntl(fd, F_GETFD) < 0) {
    actions.copy(null, fd);
  } else {
    actions.copy(fd, fd);  // clears close-on-exec, which the program may have set
  }
}

// An execution that changes the rights of the process makes a bad worker. It ignores its mark, or
// it has rights that the program has dropped.
void check_rights(int image) {
  if (::geteuid() != ::getuid() || ::getegid() != ::getgid()) {
    throw_error(
        EPERM, "procpool cannot start a worker while the program acts for another user or group "
               "than its own (user " +
                   std::to_string(::geteuid()) + " for " + std::to_string(::getuid()) + ", group " +
                   std::to_string(::getegid()) + " for " + std::to_string(::getgid()) +
                   "): start the pool's workers before or after that, or give the rights up for "
                   "good (setresuid, setresgid)");
  }
  struct stat file{};
  struct statvfs place{};
  if (::fstat(image, &file) != 0 || ::fstatvfs(image, &place) != 0) {
    throw_errno("procpool could not look at the program's own image");
  }
  if ((place.f_flag & ST_NOSUID) != 0 || ::prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1) return;
  constexpr mode_t group_bits = S_ISGID | S_IXGRP;
  bool const gains =
      ((file.st_mode & S_ISUID) != 0 && file.st_uid != ::geteuid()) ||
      ((file.st_mode & group_bits) == group_bits && file.st_gid != ::getegid()) ||
      (::geteuid() != 0 && ::fgetxattr(image, "security.capability", nullptr, 0) > 0);
  if (!gains) return;
  throw_error(EPERM, "procpool cannot start a worker: an execution of the program would have more "
                     "rights than the program itself has now (its file is set-uid or set-gid, or "
                     "has capabilities)");
}

}  // namespace

std::vector<std::string> copy_environment() {
  std::vector<std::string> copy;
  for (char** own = environ; own != nullptr && *own != nullptr; ++own) copy.emplace_back(*own);
  return copy;
}

Child spawn(SpawnRequest const& request) {
  if (request.arguments.empty()) {
    throw_error(EINVAL, "procpool cannot start a worker without a program name");
  }
  check_rights(request.image);
  UniqueFd image_keeper;
  UniqueFd control_keeper;
  FileActions actions;
  // Opened by the parent: an error of the child would not say which step failed.
  UniqueFd const null = open_null_device();
  actions.copy(null.get(), STDIN_FILENO);
  std::array<UniqueFd, 3> keepers;
  for (int const fd : {STDOUT_FILENO, STDERR_FILENO}) {
    int const given = fd == STDERR_FILENO && request.error >= 0 ? request.error : request.output;
    if (given >= 0) {
      actions.copy(safe_number(given, keepers[static_cast<std::size_t>(fd)]), fd);
    } else if (request.drops_output) {
      actions.copy(null.get(), fd);
    } else {
      inherit_output(actions, null.get(), fd);
    }
  }
  actions.copy(safe_number(request.control, control_keeper), child_control_fd);
  actions.copy(safe_number(request.image, image_keeper), child_image_fd);
  actions.close_from(child_image_fd + 1);
  Attributes const attributes(request.blocked);

  std::vector<char*> arguments;
  arguments.reserve(request.arguments.size() + 1);
  for (std::string const& argument : request.arguments) {
    arguments.push_back(const_cast<char*>(argument.c_str()));
  }
  arguments.push_back(nullptr);
  std::vector<std::string> const own =
      request.environment.empty() ? copy_environment() : request.environment;
  std::vector<char*> const variables = pointers(own, request.environment_additions);

  std::string const path = "/proc/self/fd/" + std::to_string(child_image_fd);
  Child child;
  int const error = ::posix_spawn(&child.pid, path.c_str(), actions.get(), attributes.get(),
                                  arguments.data(), variables.data());
  if (error != 0) throw_unspawned(error, request);
  try {
    child.pidfd = open_pidfd(child.pid);
  } catch (std::exception const& thrown) {
    auto const* const e = dynamic_cast<std::system_error const*>(&thrown);
    if (e != nullptr && e->code().value() == ESRCH) {
      throw_error(ESRCH, "procpool started a worker that died at once, and the program (which "
                         "ignores SIGCHLD or waits for any child) took its exit status");
    }
    // For example, there are no descriptors left. The child is not reaped yet, so its number is
    // still its own.
    ::kill(child.pid, SIGKILL);
    while (::waitpid(child.pid, nullptr, 0) < 0 && errno == EINTR) {
    }
    throw;
  }
  return child;
}

UniqueFd open_null_device() {
  int const fd = ::open("/dev/null", O_RDWR | O_CLOEXEC);
  if (fd < 0) {
    throw_errno("procpool could not open /dev/null, which a worker needs");
  }
  return above_standard(UniqueFd(fd));
}

UniqueFd open_own_image() {
  int const fd = ::open("/proc/thread-self/exe", O_RDONLY | O_CLOEXEC);
  if (fd < 0) {
    throw_errno("procpool could not open the program's own image as /proc/thread-self/exe, from "
                "which workers are started" +
                proc_hint());
  }
  return above_standard(UniqueFd(fd));
}

}  // namespace procpool::inline v0_1::os
