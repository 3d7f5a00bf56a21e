#pragma once

// The worker end's part that is about payloads which do not lie in the rings: where they are found, and
// where those of results are put. As the rest of it for the worker's loop alone; a death in the middle
// leaves files without names.

#include <fcntl.h>

#include <cerrno>
#include <chrono>
#include <cstring>
#include <system_error>
#include <thread>
#include <utility>

#include "channel/worker_end.hpp"
#include "os/socket.hpp"

namespace procpool::inline v0::channel {

// ---- arguments

template <class SyncPoints>
bool BasicWorkerEnd<SyncPoints>::load_payload() {
  unreadable_.clear();
  if (header_.where == Where::ring) {
    payload_ = {at(head_) + sizeof header_, header_.size};
    return true;
  }
  if (header_.where == Where::block) return load_block();
  payload_ = {};
  os::UniqueFd file = receive_descriptor();
  if (!file) return !unreadable_.empty();
  // A task may fork, and its child has the handle too.
  auto const visibility = header_.kind == InboxKind::share ? os::Visibility::children_and_dumps
                                                           : os::Visibility::this_process_only;
  try {
    large_ = os::Mapping(os::Memfd(std::move(file)), os::Access::private_read, 0, header_.size,
                         visibility);
    payload_ = large_.bytes();
  } catch (std::system_error const& error) {
    unreadable_ = error.what();
  }
  return true;
}

template <class SyncPoints>
bool BasicWorkerEnd<SyncPoints>::load_block() {
  BlockRef ref{};
  std::memcpy(&ref, at(head_) + sizeof header_, sizeof ref);
  std::size_t const end = ref.offset + header_.size;
  payload_ = {};
  if (ref.announced != 0) {
    os::Memfd file(receive_descriptor());
    if (!file && unreadable_.empty()) return false;
    blocks_.insert_or_assign(ref.id, Viewed{std::move(file), {}});
  }
  Viewed& block = blocks_.at(ref.id);
  // It is not sent again: whoever asks for what lies there is told so.
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
    if (block.file) large_ = os::Mapping(block.file, os::Access::read_only, 0, end);
  } catch (std::system_error const& error) {
    unreadable_ = error.what();
    return true;
  }
  auto const& view = block.file ? large_ : block.view;
  payload_ = std::span<std::byte const>(view.bytes()).subspan(ref.offset, header_.size);
  return true;
}

template <class SyncPoints>
os::UniqueFd BasicWorkerEnd<SyncPoints>::receive_descriptor() {
  // As long as the kernel has no memory to give it to us, it is still there.
  constexpr int max_tries = 50;
  for (int tries = 1;; ++tries) {
    try {
      os::Packet packet;
      // Without waiting: it was sent before its record, so if it is not there the task took it.
      if (os::receive_packet(control_.get(), packet, false) != os::ReceiveResult::received ||
          packet.fds.size() != 1) {
        return {};
      }
      SyncPoints::at(SyncPoint::received);
      return std::move(packet.fds.front());
    } catch (std::system_error const& error) {
      // There was no number left for it: it is gone, and nothing but it.
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

template <class SyncPoints>
void BasicWorkerEnd<SyncPoints>::hear_of_memory() {
  if (header_.serial != 0) results_.let_go();
  std::uint64_t gone = header_.count;
  for (auto ids = payload_; !ids.empty(); ids = ids.subspan(sizeof(std::uint64_t))) {
    std::uint64_t id = 0;
    std::memcpy(&id, ids.data(), sizeof id);
    if (gone != 0) {
      blocks_.erase(id);
      --gone;
    } else {
      results_.give_back(id);
    }
  }
}

template <class SyncPoints>
std::size_t BasicWorkerEnd<SyncPoints>::kept_bytes() const noexcept {
  std::size_t sum = results_.footprint();
  for (auto const& [id, block] : blocks_) sum += block.view.size();
  return sum;
}

// ---- results

template <class SyncPoints>
typename BasicWorkerEnd<SyncPoints>::OutgoingPayload BasicWorkerEnd<SyncPoints>::seal_payload(
    std::span<std::byte const> payload, std::uint64_t ahead) {
  std::uint64_t const length = payload.size();
  OutgoingPayload outgoing;
  try {
    // It may have been written there in the first place.
    outgoing.block = detail::message_block_of(payload);
    if (outgoing.block == nullptr && (outgoing.block = results_.take(length)) != nullptr) {
      std::memcpy(outgoing.block->data(), payload.data(), length);
    }
  } catch (std::system_error const&) {  // no memory to keep; perhaps there is some for this once
  }
  if (outgoing.block != nullptr) {
    std::memcpy(outgoing.block->data() - ahead, &length, ahead);
    outgoing.ref = {outgoing.block->id(),
                    static_cast<std::uint32_t>(detail::MessageBlock::ahead - ahead), 1};
    return outgoing;
  }
  outgoing.file = os::Memfd::create_growing(detail::message_name);
  outgoing.file.write_at(std::as_bytes(std::span(&length, 1)).first(ahead), 0);
  outgoing.file.write_at(payload, ahead);
  // What is sealed cannot change while the parent decodes it in place.
  outgoing.file.seal(F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL);
  return outgoing;
}

}  // namespace procpool::inline v0::channel
