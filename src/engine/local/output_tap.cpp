#include "engine/local/output_tap.hpp"

#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <iostream>
#include <thread>

namespace procpool::inline v0::local {
namespace {

constexpr std::size_t token_bytes = 16;
constexpr std::size_t mark_bytes = token_bytes + sizeof(std::uint64_t);

using namespace std::chrono_literals;

bool watches_something(int epoll) noexcept {
  std::array<char, 48> path{};
  std::snprintf(path.data(), path.size(), "/proc/thread-self/fdinfo/%d", epoll);
  os::UniqueFd const info(::open(path.data(), O_RDONLY | O_CLOEXEC));
  std::array<char, 512> text{};
  ssize_t const length = ::read(info.get(), text.data(), text.size());
  return length > 0 &&
         std::string_view(text.data(), static_cast<std::size_t>(length)).find("tfd:") !=
             std::string_view::npos;
}

}  // namespace

OutputTap::OutputTap(std::size_t limit) : limit_(limit) {
  std::array<int, 2> ends{};
  if (::pipe2(ends.data(), O_CLOEXEC) != 0) {
    os::throw_errno("procpool could not make a pipe for a worker's output");
  }
  ours_ = os::above_standard(os::UniqueFd(ends[0]));
  theirs_ = os::above_standard(os::UniqueFd(ends[1]));
  // Only this end: the worker's has a description of its own, and blocks while the pipe is full.
  ::fcntl(ours_.get(), F_SETFL, O_NONBLOCK);
  token_.resize(token_bytes);
  if (::getrandom(token_.data(), token_.size(), 0) != static_cast<ssize_t>(token_.size())) {
    os::throw_errno("procpool could not get random bytes");
  }
}

bool OutputTap::read(std::uint64_t from, std::uint64_t to) {
  int available = 0;
  // What comes while this reads is for the next time: a task that writes without end must not keep us.
  if (::ioctl(ours_.get(), FIONREAD, &available) != 0) return false;
  std::array<char, 64 * 1024> buffer;  // as large as the pipe
  // Nothing: one look, to learn of the end. All that has come since, so that no mark is cut in two.
  bool const once = available == 0;
  std::size_t left = once ? buffer.size() : static_cast<std::size_t>(available);
  while (left != 0) {
    ssize_t const got = ::read(ours_.get(), buffer.data(), std::min(left, buffer.size()));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return errno == EAGAIN;
    if (got == 0) return false;
    left -= static_cast<std::size_t>(got);
    unread_.append(buffer.data(), static_cast<std::size_t>(got));
    parse(from, to);
    if (once) break;
  }
  return true;
}

void OutputTap::parse(std::uint64_t from, std::uint64_t to) {
  std::string_view rest = unread_;
  for (;;) {
    auto const at = rest.find(token_);
    if (at == std::string_view::npos) break;
    add(rest.substr(0, at));
    rest.remove_prefix(at);
    if (rest.size() < mark_bytes) break;
    std::memcpy(&current_, rest.data() + token_bytes, sizeof current_);
    wanted_ = from <= current_ && current_ < to;
    rest.remove_prefix(mark_bytes);
  }
  // Text, as far as it cannot be the begin of a mark.
  std::size_t kept =
      rest.starts_with(token_) ? rest.size() : std::min(rest.size(), token_bytes - 1);
  while (!rest.starts_with(token_) && !token_.starts_with(rest.substr(rest.size() - kept))) --kept;
  add(rest.substr(0, rest.size() - kept));
  unread_ = std::string(rest.substr(rest.size() - kept));
}

void OutputTap::add(std::string_view text) {
  if (!wanted_ || text.empty()) return;
  Text& to = texts_[current_];
  to.kept.append(text);
  // Cut rarely: only once twice as much is there.
  if (to.kept.size() < 2 * limit_) return;
  std::size_t const over = to.kept.size() - limit_;
  to.kept.erase(0, over);
  to.dropped += over;
}

std::vector<std::pair<std::uint64_t, std::string>> OutputTap::take(std::uint64_t from,
                                                                   std::uint64_t to) {
  // A mark comes in one piece. So what might have been the begin of one was text, of an element that has
  // ended.
  if (from <= current_ && current_ < to && unread_.size() < token_bytes) {
    add(unread_);
    unread_.clear();
  }
  std::vector<std::pair<std::uint64_t, std::string>> taken;
  auto const begin = texts_.lower_bound(from);
  auto const end = texts_.lower_bound(to);
  for (auto text = begin; text != end; ++text) {
    std::string& kept = text->second.kept;
    if (kept.size() > limit_) {
      std::size_t const over = kept.size() - limit_;
      kept.erase(0, over);
      text->second.dropped += over;
    }
    if (text->second.dropped != 0) {
      kept.insert(
          0, "[" + std::to_string(text->second.dropped) + " bytes before this are not kept]\n");
    }
    taken.emplace_back(text->first, std::move(kept));
  }
  texts_.erase(begin, end);
  return taken;
}

OutputMarks::OutputMarks(os::UniqueFd pipe, std::string token)
    : pipe_(std::move(pipe)), mark_(std::move(token)) {
  mark_.resize(mark_bytes);
  struct stat status{};
  if (::fstat(pipe_.get(), &status) == 0) {
    device_ = status.st_dev;
    inode_ = status.st_ino;
  }
  // Whole lines, also from several threads and children.
  std::setvbuf(stdout, nullptr, _IOLBF, BUFSIZ);
}

void OutputMarks::begin(std::uint64_t serial) noexcept {
  std::memcpy(mark_.data() + token_bytes, &serial, sizeof serial);
  // At once: it is shorter than what a pipe keeps together.
  while (::write(pipe_.get(), mark_.data(), mark_.size()) < 0 && errno == EINTR) {
  }
}

bool OutputMarks::end() noexcept {
  std::fflush(stdout);
  try {
    std::cout.flush();
  } catch (...) {  // its exceptions are switched on: the task would have met them
  }
  return renew();
}

bool OutputMarks::is_pipe(int fd) const noexcept {
  struct stat status{};
  return ::fstat(fd, &status) == 0 && status.st_dev == device_ && status.st_ino == inode_;
}

bool OutputMarks::renew() noexcept {
  std::array<char, 40> path{};
  std::snprintf(path.data(), path.size(), "/proc/thread-self/fd/%d", pipe_.get());
  os::UniqueFd fresh(::open(path.data(), O_WRONLY | O_CLOEXEC));
  if (!fresh) return false;
  if (int const moved = ::fcntl(fresh.get(), F_DUPFD_CLOEXEC, pipe_.get()); moved >= 0) {
    fresh.reset(moved);
  }
  // An epoll instance forgets what it watches when the last descriptor of that is closed, in all processes.
  os::UniqueFd const watch(::epoll_create1(EPOLL_CLOEXEC));
  epoll_event event{};
  if (::epoll_ctl(watch.get(), EPOLL_CTL_ADD, pipe_.get(), &event) != 0) return false;
  for (int const fd : {STDOUT_FILENO, STDERR_FILENO}) {
    // The task may have put something else there.
    if (is_pipe(fd)) ::dup2(fresh.get(), fd);
  }
  pipe_ = std::move(fresh);
  // What is about to send its output elsewhere, as `command >file &` does, is given as long as a new worker takes.
  for (auto pause = 100us; watches_something(watch.get()); pause *= 2) {
    if (pause > 5ms) return true;
    std::this_thread::sleep_for(pause);
  }
  return false;
}

}  // namespace procpool::inline v0::local
