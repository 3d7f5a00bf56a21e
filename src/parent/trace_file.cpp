// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#include "parent/trace_file.hpp"

#include <fcntl.h>
#include <pthread.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <cstdio>
#include <filesystem>
#include <map>
#include <stdexcept>
#include <system_error>
#include <utility>

#include "engine/fork_detection.hpp"
#include "engine/patience.hpp"
#include "os/blocked_signals.hpp"
#include "os/text.hpp"

namespace procpool::inline v0_1::parent {

using detail::Lock;

namespace {

constexpr std::chrono::milliseconds write_interval{100};
constexpr std::size_t write_at =
    TraceFile::room / 4;  // bytes that wait are written before it is over
constexpr std::size_t max_names = 50'000;

std::string named_for_process(std::string path) {
  constexpr std::string_view place = "%p";
  std::string const pid = std::to_string(::getpid());
  for (std::size_t at = 0; (at = path.find(place, at)) != std::string::npos; at += pid.size()) {
    path.replace(at, place.size(), pid);
  }
  return path;
}

// trace.json -> trace.4711.json
std::string with_pid(std::string const& path) {
  std::filesystem::path const whole(path);
  auto const name = whole.stem().string() + "." + std::to_string(::getpid());
  return (whole.parent_path() / (name + whole.extension().string())).string();
}

// No file: another process writes to it. One that is new, or was left by another process, is empty then.
os::UniqueFd opened(std::string const& path, bool is_ours) {
  constexpr mode_t mode = 0666;
  // A pipe without a reader does not make it wait.
  os::UniqueFd file(
      ::open(path.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC | O_NOCTTY | O_NONBLOCK, mode));
  struct stat status{};
  if (!file || ::fstat(file.get(), &status) != 0)
    os::throw_errno("it cannot be opened for writing");
  if (!S_ISREG(status.st_mode)) throw std::runtime_error("it is no regular file");
  file = os::above_standard(std::move(file));
  if (::flock(file.get(), LOCK_EX | LOCK_NB) != 0) {
    if (errno == EWOULDBLOCK) return {};
    os::throw_errno("it cannot be locked");
  }
  while (!is_ours && ::ftruncate(file.get(), 0) != 0) {
    if (errno != EINTR) os::throw_errno("it cannot be emptied");
  }
  return file;
}

}  // namespace

// What the process knows of a file, also when no pool has it. The registry guards it.
struct TraceFile::Known {
  std::unique_ptr<TraceFile> file{};
  std::size_t users = 0;
  std::string path{};              // where it was opened last; empty: nowhere yet
  std::atomic<unsigned> pools{0};  // that had it
  detail::Mutex mutex{};           // a leaf
  // Of rows, as they are written, each with the last number that it got.
  std::map<std::string, std::uint64_t> names PROCPOOL_GUARDED_BY(mutex){};
};

class TraceFile::Registry {
 public:
  // Never freed: threads may use it until the program ends. A forked child makes its own.
  static Registry& here() {
    static std::atomic<Registry*> known{nullptr};
    Registry* found = known.load(std::memory_order_acquire);
    while (found == nullptr || forked_since(found->forks_)) {
      auto made = std::make_unique<Registry>();
      // Release: a thread that finds the object sees its contents. Acquire on failure: another
      // thread was faster.
      if (known.compare_exchange_strong(found, made.get(), std::memory_order_acq_rel,
                                        std::memory_order_acquire)) {
        found = made.release();
      }
    }
    return *found;
  }

  std::shared_ptr<TraceFile> open(std::string const& path) {
    Lock const lock(mutex_);
    Known& known = files_[path];
    if (!known.file) {
      known.file.reset(new TraceFile(open_anew(path, known.path), known));
      known.path = known.file->path();
    }
    ++known.users;
    auto const close = [this, &known](TraceFile*) noexcept {
      Lock const closing(mutex_);
      // Under the mutex: its lock on the file would keep out a pool that opens the file meanwhile.
      if (--known.users == 0) known.file.reset();
    };
    return {known.file.get(), close};  // calls close() if it finds no memory
  }

 private:
  static Opened open_anew(std::string const& path, std::string const& before) {
    Opened now;
    now.path = before.empty() ? path : before;
    now.fd = opened(now.path, !before.empty());
    if (!now.fd) {
      now.path = with_pid(path);
      now.fd = opened(now.path, false);
      if (!now.fd) throw std::runtime_error("another process writes to it");
    }
    off_t const end = ::lseek(now.fd.get(), 0, SEEK_END);
    if (end < 0) os::throw_errno("its end cannot be found");
    now.size = static_cast<std::uint64_t>(end);
    return now;
  }

  unsigned const forks_ = fork_count();
  detail::Mutex mutex_;
  std::map<std::string, Known> files_ PROCPOOL_GUARDED_BY(mutex_);  // by path
};

std::shared_ptr<TraceFile> TraceFile::open(std::string const& path) {
  return Registry::here().open(named_for_process(path));
}

TraceFile::TraceFile(Opened opened, Known& known)
    : fd_(std::move(opened.fd)),
      path_(std::move(opened.path)),
      known_(known),
      written_(opened.size),
      end_(opened.size) {
  waiting_.reserve(room);
  writing_.reserve(room);
  os::BlockedSignals const blocked;
  thread_ = std::thread([this] { run(); });
  pthread_setname_np(thread_.native_handle(), "pool trace");
}

TraceFile::~TraceFile() {
  {
    Lock const lock(mutex_);
    ends_ = true;
    work_.notify_all();
  }
  thread_.join();
  // A child of the program may have the same open file.
  ::flock(fd_.get(), LOCK_UN);
}

unsigned TraceFile::next_pool() noexcept {
  return known_.pools.fetch_add(1, std::memory_order_relaxed);  // only a number
}

std::string TraceFile::name_for(std::string_view wanted) {
  std::string own = os::one_line(wanted);
  Lock const lock(known_.mutex);
  // They stay for good, and a trace has no end.
  if (known_.names.size() >= max_names) return own;
  auto const [known, is_new] = known_.names.emplace(own, 1);
  std::string name = own;
  // A name with a number may be another one's own.
  while (!is_new &&
         !known_.names.emplace(name = own + "#" + std::to_string(++known->second), 1).second) {
  }
  return name;
}

bool TraceFile::append(std::string_view event) noexcept {
  std::size_t const size = event.size() + 2;
  std::size_t const left = page - end_ % page;
  std::size_t const padding = size <= left ? 0 : left;
  if (waiting_.size() + padding + size > waiting_.capacity()) return false;
  if (padding != 0) {
    waiting_.append(padding - 1, ' ');
    waiting_ += '\n';
  }
  waiting_ += end_ == 0 ? '[' : ',';
  waiting_ += event;
  waiting_ += '\n';
  end_ += padding + size;
  return true;
}

void TraceFile::tell_lost() noexcept {
  if (lost_ == 0) return;
  std::array<char, 200> text{};
  auto const now = std::chrono::steady_clock::now().time_since_epoch();
  int const size = std::snprintf(
      text.data(), text.size(),
      R"({"ph":"i","s":"p","pid":%d,"tid":0,"ts":%lld,"name":"events lost","cat":"trace","args":{"events":%llu}})",
      static_cast<int>(::getpid()),
      static_cast<long long>(std::chrono::duration_cast<std::chrono::microseconds>(now).count()),
      static_cast<unsigned long long>(lost_));
  if (append({text.data(), static_cast<std::size_t>(size)})) lost_ = 0;
}

void TraceFile::add(std::string_view event) noexcept {
  if (event.size() > max_line) return;
  Lock const lock(mutex_);
  if (error_ != 0) return;
  if (lost_ != 0) tell_lost();
  bool const first = waiting_.empty();
  std::size_t const before = waiting_.size();
  if (lost_ != 0 || !append(event)) {
    ++lost_;
    return;
  }
  if (first || (before < write_at && waiting_.size() >= write_at)) work_.notify_one();
}

void TraceFile::flush() noexcept {
  Lock lock(mutex_);
  std::uint64_t const mine = ++asked_;
  work_.notify_all();
  while (answered_ < mine) written_all_.wait(lock);
}

std::optional<std::string> TraceFile::failure() const {
  Lock const lock(mutex_);
  if (error_ == 0) return std::nullopt;
  return std::system_category().message(error_);
}

void TraceFile::run() noexcept {
  Lock lock(mutex_);
  for (;;) {
    while (waiting_.empty() && asked_ == answered_ && !ends_) work_.wait(lock);
    auto const end = std::chrono::steady_clock::now() + write_interval;
    while (waiting_.size() < write_at && asked_ == answered_ && !ends_) {
      if (!work_.wait_until(lock, end)) break;
    }
    std::uint64_t const asked = asked_;
    writing_.swap(waiting_);
    tell_lost();  // there is room again
    lock.unlock();
    int const error = write(writing_);
    writing_.clear();
    lock.lock();
    if (error != 0) {
      error_ = error;
      waiting_.clear();
    }
    answered_ = asked;
    written_all_.notify_all();
    if (ends_ && waiting_.empty()) return;
  }
}

int TraceFile::write(std::string_view text) noexcept {
  while (!text.empty()) {
    ssize_t const done = ::write(fd_.get(), text.data(), text.size());
    if (done < 0 && errno == EINTR) continue;
    if (done <= 0) {
      int const error = done < 0 ? errno : ENOSPC;
      // Whole lines, for a reader. A file that cannot be cut has a line that is not whole.
      std::uint64_t const whole = written_ - written_ % page;
      static_cast<void>(!::ftruncate(fd_.get(), static_cast<off_t>(whole)));
      return error;
    }
    written_ += static_cast<std::uint64_t>(done);
    text.remove_prefix(static_cast<std::size_t>(done));
  }
  return 0;
}

}  // namespace procpool::inline v0_1::parent
