// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#include "top/live_view_reader.hpp"

#include <fcntl.h>
#include <linux/magic.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <span>
#include <string>
#include <system_error>
#include <utility>

#include "top/process_table.hpp"

namespace procpool::inline v0_1::top {
namespace {

using namespace std::chrono_literals;

protocol::LiveViewHeader header_of(os::Memfd const& file) {
  protocol::LiveViewHeader header;
  file.read_at(std::as_writable_bytes(std::span(&header, 1)), 0);
  return header;
}

// The number comes from the process. A process that means harm could name a file that this user may write.
bool is_pipe(int fd) noexcept {
  struct statfs system{};
  return ::fstatfs(fd, &system) == 0 && system.f_type == PIPEFS_MAGIC;
}

bool is_live_view(std::filesystem::path const& descriptor) {
  std::error_code closed;
  std::string const target = std::filesystem::read_symlink(descriptor, closed);
  return !closed && target == std::string("/memfd:") + protocol::live_view_name + " (deleted)";
}

}  // namespace

LiveViewReader::LiveViewReader(os::Memfd file, os::UniqueFd requests, bool known)
    : file_(std::move(file)),
      requests_(std::move(requests)),
      known_(known),
      id_(file_.identity().inode) {}

std::vector<LiveViewReader> LiveViewReader::of(pid_t pid) {
  std::filesystem::path const folder = "/proc/" + std::to_string(pid) + "/fd";
  std::vector<int> descriptors;
  for (auto const& entry : std::filesystem::directory_iterator(folder)) {
    if (is_live_view(entry.path())) descriptors.push_back(std::stoi(entry.path().filename()));
  }
  std::ranges::sort(descriptors);
  std::vector<LiveViewReader> readers;
  for (int const descriptor : descriptors) {
    os::Memfd file(os::UniqueFd(
        ::open((folder / std::to_string(descriptor)).c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC)));
    if (!file) continue;  // closed meanwhile
    try {
      auto const header = header_of(file);
      if (header.magic != protocol::live_view_magic) continue;
      if (header.version != protocol::live_view_version) {
        readers.push_back(LiveViewReader(std::move(file), {}, false));
        continue;
      }
      // A child that was forked has copies of the descriptors of its parent's pools.
      if (header.pid != own_number_of(pid)) continue;
      os::UniqueFd requests(::open((folder / std::to_string(header.request)).c_str(),
                                   O_WRONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC));
      if (!requests || !is_pipe(requests.get())) continue;
      readers.push_back(LiveViewReader(std::move(file), std::move(requests), true));
    } catch (std::system_error const&) {  // it is shorter than a header
      continue;
    }
  }
  return readers;
}

std::optional<protocol::LiveView> LiveViewReader::read() const {
  auto const before = header_of(file_);
  if (before.number % 2 != 0 || before.size > protocol::max_live_view) return std::nullopt;
  std::vector<std::byte> bytes(before.size);
  file_.read_at(bytes, protocol::live_view_offset);
  auto const after = header_of(file_);
  if (after.number != before.number || after.size != before.size) return std::nullopt;
  return protocol::decode_live_view(bytes);
}

std::optional<protocol::LiveView> LiveViewReader::look(std::chrono::milliseconds patience,
                                                       Wait const& wait) {
  try {
    std::uint64_t const before = header_of(file_).number;
    std::byte const request{};
    // A full pipe asks too.
    if (::write(requests_.get(), &request, 1) < 0 && errno != EAGAIN) return std::nullopt;
    auto const end = std::chrono::steady_clock::now() + patience;
    while (std::chrono::steady_clock::now() < end) {
      // Not an older view, which may be about to be written over.
      if (header_of(file_).number > before + 1) {
        if (auto view = read()) return view;
      }
      if (!wait(1ms)) return std::nullopt;
    }
  } catch (std::system_error const&) {  // the file was cut off
  }
  return std::nullopt;
}

}  // namespace procpool::inline v0_1::top
