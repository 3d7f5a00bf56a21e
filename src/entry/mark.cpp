// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// Runs before anything else of the process does, so it uses nothing but system calls and memory
// that is there.
#include "entry/mark.hpp"

#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sys/auxv.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>
#include <string_view>

#include "os/socket.hpp"
#include "os/spawn.hpp"
#include "protocol/fork_messages.hpp"
#include "protocol/handshake.hpp"
#include "worker/parent_watchdog.hpp"

extern "C" {
// Defined beside __wrap_main, and exported: all copies of this library in a process look at one
// word. It is null in a program whose main is not wrapped; the other one serves there.
extern __attribute__((weak, visibility("default"))) char procpool_main_is_wrapped;
__attribute__((weak, visibility("default"))) char procpool_mark_of_process = 0;
}

namespace procpool::inline v0_1::entry {
namespace {

constexpr char mark_bits =
    static_cast<char>(Mark::worker) | static_cast<char>(Mark::fork_server_process);

pid_t marked_process = 0;

char& word() noexcept {
  return &procpool_main_is_wrapped != nullptr ? procpool_main_is_wrapped : procpool_mark_of_process;
}

// The value, in the environment that is left without it; null: it was not there.
char const* take_variable(char** environment) noexcept {
  char const* value = nullptr;
  std::size_t const length = std::strlen(protocol::worker_mark);
  char** kept = environment;
  for (char** entry = environment; *entry != nullptr; ++entry) {
    if (std::strncmp(*entry, protocol::worker_mark, length) == 0 && (*entry)[length] == '=') {
      value = *entry + length + 1;
    } else {
      *kept++ = *entry;
    }
  }
  *kept = nullptr;
  return value;
}

bool is_hung_up(int control) noexcept {
  pollfd one{control, 0, 0};
  return ::poll(&one, 1, 0) > 0 && (one.revents & (POLLHUP | POLLERR)) != 0;
}

// A parent in another PID namespace has the number 0 for both.
bool is_from_parent(int control) noexcept {
  auto const peer = os::packet_peer(control);
  return peer && peer->uid == ::geteuid() && peer->pid == ::getppid();
}

[[noreturn]] void end_as_stranger() noexcept {
  constexpr std::string_view why =
      "procpool: this process carries the mark of a pool's worker (the environment variable "
      "PROCPOOL_WORKER), but descriptor 3 is no control socket of a pool in its parent; unset the "
      "variable to run the program\n";
  static_cast<void>(!::write(STDERR_FILENO, why.data(), why.size()));
  ::_exit(EXIT_FAILURE);
}

// A child that static initialisation forks, and that does not execute anything.
void in_forked_child() {
  if (mark() == Mark::none) return;
  ::close(os::child_control_fd);
}

}  // namespace

Mark mark() noexcept { return static_cast<Mark>(word() & mark_bits); }

void forget_mark() noexcept {
  if (::getpid() != marked_process) ::_exit(EXIT_FAILURE);
  word() = static_cast<char>(word() & ~mark_bits);
}

bool has_more_rights() noexcept { return ::getauxval(AT_SECURE) != 0; }

}  // namespace procpool::inline v0_1::entry

void procpool_take_mark(char** environment) noexcept {
  using namespace procpool;
  if (environment == nullptr) return;
  char const* const value = entry::take_variable(environment);
  if (value == nullptr || entry::has_more_rights()) return;
  int const control = os::child_control_fd;
  if (!entry::is_from_parent(control)) {
    // The parent has died and somebody else is it now: nobody needs to be told.
    if (os::packet_peer(control) && entry::is_hung_up(control)) ::_exit(EXIT_FAILURE);
    entry::end_as_stranger();
  }
  ::fcntl(control, F_SETFD, FD_CLOEXEC);
  ::close(os::child_image_fd);
  entry::word() = static_cast<char>(
      entry::word() | static_cast<char>(std::string_view(value) == protocol::fork_server_mark
                                            ? entry::Mark::fork_server_process
                                            : entry::Mark::worker));
  entry::marked_process = ::getpid();
  ::pthread_atfork(nullptr, nullptr, entry::in_forked_child);
  worker::follow_parent(control);
}
