// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#include "parent/output_capture.hpp"

#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/random.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "protocol/output_tag.hpp"

namespace procpool::inline v0_1::parent {

using protocol::output_tag_bytes;
using protocol::output_token_bytes;

OutputCapture::OutputCapture(std::size_t limit) : limit_(limit) {
  std::array<int, 2> ends{};
  if (::pipe2(ends.data(), O_CLOEXEC) != 0) {
    os::throw_errno("procpool could not make a pipe for a worker's output");
  }
  ours_ = os::above_standard(os::UniqueFd(ends[0]));
  theirs_ = os::above_standard(os::UniqueFd(ends[1]));
  // Only this end. The worker's end has a description of its own, and blocks while the pipe is
  // full.
  ::fcntl(ours_.get(), F_SETFL, O_NONBLOCK);
  token_.resize(output_token_bytes);
  if (::getrandom(token_.data(), token_.size(), 0) != static_cast<ssize_t>(token_.size())) {
    os::throw_errno("procpool could not get random bytes");
  }
}

bool OutputCapture::read(std::uint64_t from, std::uint64_t to) {
  int available = 0;
  // Text that arrives meanwhile is for the next call: a task that writes without end must not keep
  // this thread.
  if (::ioctl(ours_.get(), FIONREAD, &available) != 0) return false;
  std::array<char, 64 * 1024> buffer;  // as large as the pipe
  // If nothing is there, one read tells the end. Otherwise all of it is read, so that no tag is cut
  // in two.
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

void OutputCapture::parse(std::uint64_t from, std::uint64_t to) {
  std::string_view rest = unread_;
  for (;;) {
    auto const at = rest.find(token_);
    if (at == std::string_view::npos) break;
    add(rest.substr(0, at));
    rest.remove_prefix(at);
    if (rest.size() < output_tag_bytes) break;
    std::memcpy(&current_, rest.data() + output_token_bytes, sizeof current_);
    wanted_ = from <= current_ && current_ < to;
    rest.remove_prefix(output_tag_bytes);
  }
  // Text, as far as it cannot be the begin of a tag.
  std::size_t kept =
      rest.starts_with(token_) ? rest.size() : std::min(rest.size(), output_token_bytes - 1);
  while (!rest.starts_with(token_) && !token_.starts_with(rest.substr(rest.size() - kept))) --kept;
  add(rest.substr(0, rest.size() - kept));
  unread_ = std::string(rest.substr(rest.size() - kept));
}

void OutputCapture::add(std::string_view text) {
  if (!wanted_ || text.empty()) return;
  Text& to = texts_[current_];
  to.kept.append(text);
  // Cut rarely: only when twice as much is there.
  if (to.kept.size() < 2 * limit_) return;
  std::size_t const over = to.kept.size() - limit_;
  to.kept.erase(0, over);
  to.dropped += over;
}

std::vector<std::pair<std::uint64_t, std::string>> OutputCapture::take(std::uint64_t from,
                                                                       std::uint64_t to) {
  // A tag comes in one piece. A possible begin of one was therefore text, of an element that has
  // ended.
  if (from <= current_ && current_ < to && unread_.size() < output_token_bytes) {
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

}  // namespace procpool::inline v0_1::parent
