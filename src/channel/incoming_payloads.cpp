// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#include "channel/incoming_payloads.hpp"

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <system_error>
#include <thread>

#include "os/socket.hpp"

namespace procpool::inline v0_1::channel::inline PROCPOOL_SYNC_BUILD {

bool IncomingPayloads::load(InboxHeader const& header, std::byte const* frame) {
  if (!unreadable_.empty()) unreadable_.clear();
  if (header.kind == InboxKind::resource && header.apart != 0) {
    descriptors_ = receive_descriptors(std::as_bytes(std::span(&header.task, 1)), header.apart);
    if (descriptors_.empty() && unreadable_.empty()) return false;
  }
  if (header.where == Where::ring) {
    bytes_ = {frame + sizeof header, header.size};
    return true;
  }
  bytes_ = {};
  return header.where == Where::block ? load_block(header, frame) : load_file(header);
}

bool IncomingPayloads::load_file(InboxHeader const& header) {
  os::UniqueFd file = receive_descriptor();
  if (!file) return !unreadable_.empty();
  // A task may fork, and its child has the handles of shared values too.
  auto const visibility = header.kind == InboxKind::resource ? os::Visibility::children_and_dumps
                                                             : os::Visibility::this_process_only;
  try {
    file_ = os::Mapping(os::Memfd(std::move(file)), os::Access::private_read, 0, header.size,
                        visibility);
    bytes_ = file_.bytes();
  } catch (std::system_error const& error) {
    unreadable_ = error.what();
  }
  return true;
}

bool IncomingPayloads::load_block(InboxHeader const& header, std::byte const* frame) {
  BlockRef ref{};
  std::memcpy(&ref, frame + sizeof header, sizeof ref);
  std::size_t const end = ref.offset + header.size;
  if (ref.announced != 0) {
    os::Memfd file(receive_descriptor());
    if (!file && unreadable_.empty()) return false;
    blocks_.insert_or_assign(ref.id, Viewed{std::move(file), {}});
  }
  Viewed& block = blocks_.at(ref.id);
  // The descriptor does not come again: each payload that lies there is unreadable.
  if (!block.file && block.view.size() == 0) {
    if (unreadable_.empty()) unreadable_ = "there was no descriptor left for them";
    return true;
  }
  try {
    if (block.file && !os::addresses_are_limited()) {
      block.view = os::Mapping(block.file, os::Access::read_only);
      os::enter_pages(block.view.bytes().first(end), os::Access::read_only);
      block.file = os::Memfd();
    }
    if (block.file) file_ = os::Mapping(block.file, os::Access::read_only, 0, end);
  } catch (std::system_error const& error) {
    unreadable_ = error.what();
    return true;
  }
  auto const& view = block.file ? file_ : block.view;
  bytes_ = std::span<std::byte const>(view.bytes()).subspan(ref.offset, header.size);
  return true;
}

os::UniqueFd IncomingPayloads::receive_descriptor() {
  auto descriptors = receive_descriptors(packet_of_payload, 1);
  return descriptors.empty() ? os::UniqueFd() : std::move(descriptors.front());
}

std::vector<os::UniqueFd> IncomingPayloads::receive_descriptors(std::span<std::byte const> bytes,
                                                                std::size_t count) {
  // As long as the kernel has no memory to hand it over, it stays in the socket.
  constexpr int max_tries = 50;
  for (int tries = 1;; ++tries) {
    try {
      os::Packet packet;
      // Without waiting: it was sent before its frame. If it is not there, or is that of a later frame,
      // the task took it.
      if (os::receive_packet(control_.get(), packet, false) != os::ReceiveResult::received ||
          packet.fds.size() != count || !std::ranges::equal(packet.bytes, bytes)) {
        return {};
      }
      PROCPOOL_SYNC_POINT(received);
      return std::move(packet.fds);
    } catch (std::system_error const& error) {
      // No descriptor number was free: this descriptor is gone, and no other.
      if (error.code().value() == EPROTO || error.code().value() == EMFILE) {
        unreadable_ = error.what();
        lost_ = true;
        return {};
      }
      if (tries == max_tries) return {};
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
}

void IncomingPayloads::drop() noexcept {
  bytes_ = {};
  descriptors_.clear();
  if (file_.size() != 0) file_ = os::Mapping();
}

std::size_t IncomingPayloads::footprint() const noexcept {
  std::size_t sum = 0;
  for (auto const& [id, block] : blocks_) sum += block.view.size();
  return sum;
}

}  // namespace procpool::inline v0_1::channel::inline PROCPOOL_SYNC_BUILD
