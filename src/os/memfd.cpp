// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// Making, sealing, filling and reading memfds. Any thread. A crash between two calls leaves at most
// memory that is freed with the descriptors of the process.
#include "os/memfd.hpp"

#include <signal.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/vfs.h>
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

namespace procpool::inline v0_1::os {
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

constexpr long tmpfs = 0x01021994;  // the kind of memory files without huge pages

// With the error of the call.
[[noreturn]] void throw_seal(int seals) {
  throw_errno("procpool could not seal shared memory (seals " + std::to_string(seals) + ")");
}

struct stat status_of(int fd) {
  struct stat status{};
  if (::fstat(fd, &status) != 0) throw_errno("procpool could not ask about a memory file");
  return status;
}

off_t checked_offset(std::uint64_t offset, std::uint64_t length, char const* action) {
  auto const limit = static_cast<std::uint64_t>(std::numeric_limits<off_t>::max());
  if (offset > limit || length > limit - offset) {
    throw_error(EFBIG, "procpool could not " + std::string(action) + " " + std::to_string(length) +
                           " bytes at offset " + std::to_string(offset) + " of shared memory");
  }
  return static_cast<off_t>(offset);
}

// Gets memory for a range of the file. Returns 0, or an error number.
//
// In steps: an interrupted fallocate frees all that it had allocated. Under a steady stream of
// signals a large one would never end.
int fill(int fd, std::uint64_t offset, std::uint64_t size) {
  NoSignalForSize const quiet;
  for (std::uint64_t done = 0; done < size;) {
    // A kernel that overcommits never refuses, but ends some process to make room. Memory that the
    // machine lacks is therefore not asked for. Small pieces are not worth the look.
    if (size > allocation_step && size - done > available_memory()) return ENOMEM;
    std::uint64_t const now = std::min(allocation_step, size - done);
    if (::fallocate(fd, 0, static_cast<off_t>(offset + done), static_cast<off_t>(now)) == 0) {
      done += now;
    } else if (errno != EINTR) {
      return errno;
    }
  }
  return 0;
}

}  // namespace

Memfd Memfd::create(char const* name, std::uint64_t size) {
  auto const fail = [&](int error) {
    throw_error(error, "procpool could not get " + std::to_string(size) +
                           " bytes of shared memory for " + std::string(name));
  };
  if (size > static_cast<std::uint64_t>(std::numeric_limits<off_t>::max())) fail(EFBIG);
  Memfd made(make(name));
  if (int const error = fill(made.fd(), 0, size); error != 0) fail(error);
  return made;
}

Memfd Memfd::create_sparse(char const* name, std::uint64_t size) {
  off_t const end = checked_offset(size, 0, "make");
  Memfd made(make(name));
  NoSignalForSize const quiet;
  int result = -1;
  do result = ::ftruncate(made.fd(), end);
  while (result != 0 && errno == EINTR);
  if (result != 0) {
    throw_errno("procpool could not make a memory file of " + std::to_string(size) + " bytes for " +
                std::string(name));
  }
  return made;
}

void Memfd::allocate(std::uint64_t offset, std::uint64_t size) {
  checked_offset(offset, size, "allocate");
  if (int const error = fill(fd(), offset, size); error != 0) {
    throw_error(error,
                "procpool could not get " + std::to_string(size) + " more bytes of shared memory");
  }
}

void Memfd::discard(std::uint64_t offset, std::uint64_t size) noexcept {
  int const kept = errno;
  ::fallocate(fd(), FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, static_cast<off_t>(offset),
              static_cast<off_t>(size));
  errno = kept;
}

std::optional<Memfd::Range> Memfd::next_data(std::uint64_t offset) const {
  off_t const begin = ::lseek(fd(), static_cast<off_t>(offset), SEEK_DATA);
  if (begin < 0 && errno == ENXIO) return std::nullopt;
  off_t const end = begin < 0 ? -1 : ::lseek(fd(), begin, SEEK_HOLE);
  if (end < 0) throw_errno("procpool could not look for the data in a memory file");
  return Range{static_cast<std::uint64_t>(begin), static_cast<std::uint64_t>(end)};
}

Memfd Memfd::create_growing(char const* name) { return Memfd(make(name)); }

std::uint64_t Memfd::size() const { return static_cast<std::uint64_t>(status_of(fd()).st_size); }

FileIdentity Memfd::identity() const {
  struct stat const status = status_of(fd());
  return {status.st_dev, status.st_ino};
}

void Memfd::seal(int seals) {
  // EBUSY: the kernel holds a page for a moment, to swap it, to merge it or to look at it.
  for (int tries = 1; !try_seal(seals); ++tries) {
    constexpr int max_tries = 10;
    if (tries == max_tries) throw_seal(seals);
    std::this_thread::sleep_for(std::chrono::milliseconds(tries));
  }
}

bool Memfd::try_seal(int seals) {
  if (::fcntl(fd(), F_ADD_SEALS, seals) == 0) return true;
  if (errno != EBUSY) throw_seal(seals);
  return false;
}

bool Memfd::is_memory_with(int seals) const {
  int const found = this->seals();
  if (found < 0 || (found & seals) != seals) return false;
  struct statfs kind{};
  if (::fstatfs(fd(), &kind) != 0) throw_errno("procpool could not ask about a memory file");
  return kind.f_type == tmpfs;
}

Memfd Memfd::reopen_read_only() const {
  std::string const path = "/proc/thread-self/fd/" + std::to_string(fd());
  UniqueFd opened(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!opened) throw_errno("procpool could not open a memory file for reading" + proc_hint());
  return Memfd(above_standard(std::move(opened)));
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

}  // namespace procpool::inline v0_1::os
