// Making, sealing, filling and reading memfds. Any thread. A crash between two calls leaves at most
// memory that is freed with the descriptors of the process.
#include "os/memfd.hpp"

#include <signal.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstdlib>
#include <ctime>
#include <fstream>
#include <limits>
#include <string>
#include <string_view>
#include <thread>

#ifndef MFD_NOEXEC_SEAL
#define MFD_NOEXEC_SEAL 0x0008U  // Linux 6.3
#endif

namespace procpool::inline v0::os {
namespace {

UniqueFd make(char const* name) {
  unsigned const always = MFD_CLOEXEC | MFD_ALLOW_SEALING;
  // An old kernel is asked only once. relaxed: a hint, through which nothing is published.
  static std::atomic<bool> knows_noexec{true};
  if (knows_noexec.load(std::memory_order_relaxed)) {
    // Systems with vm.memfd_noexec=2 refuse memfds without this flag.
    int const fd = ::memfd_create(name, always | MFD_NOEXEC_SEAL);
    if (fd >= 0) return above_standard(UniqueFd(fd));
    if (errno != EINVAL) throw_errno("procpool could not make a memfd for " + std::string(name));
    knows_noexec.store(false, std::memory_order_relaxed);
  }
  int const fd = ::memfd_create(name, always);
  if (fd < 0) throw_errno("procpool could not make a memfd for " + std::string(name));
  return above_standard(UniqueFd(fd));
}

// RLIMIT_FSIZE holds for memory files too: the kernel refuses, and sends SIGXFSZ to the thread. The
// signal would end a program without a handler. An object of this class blocks it. Its destructor
// removes the signal of the refusal; a signal from another sender stays.
class NoSignalForSize {
 public:
  NoSignalForSize() noexcept {
    rlimit limit{};
    if (::getrlimit(RLIMIT_FSIZE, &limit) == 0 && limit.rlim_cur == RLIM_INFINITY) return;
    sigset_t pending;
    sigemptyset(&signal_);
    sigaddset(&signal_, SIGXFSZ);
    ::sigpending(&pending);
    if (sigismember(&pending, SIGXFSZ) == 1) return;
    active_ = ::pthread_sigmask(SIG_BLOCK, &signal_, &before_) == 0;
  }
  NoSignalForSize(NoSignalForSize const&) = delete;
  NoSignalForSize& operator=(NoSignalForSize const&) = delete;
  ~NoSignalForSize() {
    if (!active_) return;
    int const error = errno;
    timespec const at_once{};
    while (::sigtimedwait(&signal_, nullptr, &at_once) < 0 && errno == EINTR) {
    }
    ::pthread_sigmask(SIG_SETMASK, &before_, nullptr);
    errno = error;
  }

 private:
  sigset_t signal_{};
  sigset_t before_{};
  bool active_ = false;
};

constexpr std::uint64_t allocation_step = 64U << 20;

// The memory that the kernel can still give without ending a process. The maximum if that is not
// known.
std::uint64_t available_memory() {
  std::ifstream file("/proc/meminfo");
  std::uint64_t kibibytes = 0;
  bool said = false;
  for (std::string line; std::getline(file, line);) {
    for (std::string_view const name : {"MemAvailable:", "SwapFree:"}) {
      if (!line.starts_with(name)) continue;
      kibibytes += std::strtoull(line.c_str() + name.size(), nullptr, 10);
      said = said || name == "MemAvailable:";
    }
  }
  return said ? kibibytes * 1024 : std::numeric_limits<std::uint64_t>::max();
}

off_t checked_offset(std::uint64_t offset, std::size_t length, char const* action) {
  auto const limit = static_cast<std::uint64_t>(std::numeric_limits<off_t>::max());
  if (offset > limit || length > limit - offset) {
    throw_error(EFBIG, "procpool could not " + std::string(action) + " " + std::to_string(length) +
                           " bytes at offset " + std::to_string(offset) + " of shared memory");
  }
  return static_cast<off_t>(offset);
}

}  // namespace

Memfd Memfd::create(char const* name, std::uint64_t size) {
  auto const fail = [&](int error) {
    throw_error(error, "procpool could not get " + std::to_string(size) +
                           " bytes of shared memory for " + std::string(name));
  };
  if (size > static_cast<std::uint64_t>(std::numeric_limits<off_t>::max())) fail(EFBIG);
  Memfd made(make(name));
  NoSignalForSize const quiet;
  // In steps: an interrupted fallocate frees all that it had allocated. Under a steady stream of
  // signals a large one would never end.
  for (std::uint64_t done = 0; done < size;) {
    // A kernel that overcommits never refuses, but ends some process to make room. Memory that the
    // machine lacks is therefore not asked for. Small pieces are not worth the look.
    if (size > allocation_step && size - done > available_memory()) fail(ENOMEM);
    std::uint64_t const now = std::min(allocation_step, size - done);
    if (::fallocate(made.fd(), 0, static_cast<off_t>(done), static_cast<off_t>(now)) == 0) {
      done += now;
    } else if (errno != EINTR) {
      fail(errno);
    }
  }
  return made;
}

Memfd Memfd::create_growing(char const* name) { return Memfd(make(name)); }

std::uint64_t Memfd::size() const {
  struct stat status{};
  if (::fstat(fd(), &status) != 0) throw_errno("procpool could not ask for a memory file's size");
  return static_cast<std::uint64_t>(status.st_size);
}

void Memfd::seal(int seals) {
  // EBUSY: the kernel holds a page for a moment, to swap it, to merge it or to look at it.
  for (int tries = 1; ::fcntl(fd(), F_ADD_SEALS, seals) != 0; ++tries) {
    constexpr int max_tries = 10;
    if (errno != EBUSY || tries == max_tries) {
      throw_errno("procpool could not seal shared memory (seals " + std::to_string(seals) + ")");
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(tries));
  }
}

int Memfd::seals() const noexcept { return ::fcntl(fd(), F_GET_SEALS); }

void Memfd::write_at(std::span<std::byte const> bytes, std::uint64_t offset) {
  off_t at = checked_offset(offset, bytes.size(), "write");
  NoSignalForSize const quiet;
  while (!bytes.empty()) {
    ssize_t const n = ::pwrite(fd(), bytes.data(), bytes.size(), at);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) {
      if (n == 0) errno = ENOSPC;
      throw_errno("procpool could not write " + std::to_string(bytes.size()) +
                  " bytes into shared memory");
    }
    bytes = bytes.subspan(static_cast<std::size_t>(n));
    at += n;
  }
}

void Memfd::read_at(std::span<std::byte> bytes, std::uint64_t offset) const {
  off_t at = checked_offset(offset, bytes.size(), "read");
  while (!bytes.empty()) {
    ssize_t const n = ::pread(fd(), bytes.data(), bytes.size(), at);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) {
      if (n == 0) errno = ENODATA;
      throw_errno("procpool could not read " + std::to_string(bytes.size()) +
                  " more bytes from shared memory");
    }
    bytes = bytes.subspan(static_cast<std::size_t>(n));
    at += n;
  }
}

Memfd sealed_copy(char const* name, std::span<std::byte const> bytes) {
  Memfd memory = Memfd::create_growing(name);
  memory.write_at(bytes, 0);
  memory.seal(F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL);
  return memory;
}

}  // namespace procpool::inline v0::os
