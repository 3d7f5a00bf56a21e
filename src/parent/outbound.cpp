// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#include "parent/outbound.hpp"

#include <cerrno>
#include <chrono>
#include <span>
#include <system_error>
#include <utility>
#include <vector>

#include <procpool/detail/handle/share.hpp>

#include "os/memfd.hpp"
#include "os/socket.hpp"
#include "protocol/function_registration.hpp"

namespace procpool::inline v0_1::parent {

namespace {

// Undoes a note about the worker, unless the frame that makes the note true was put.
template <class Undo>
class Provisional {
 public:
  explicit Provisional(Undo undo) : undo_(std::move(undo)) {}
  Provisional(Provisional const&) = delete;
  Provisional& operator=(Provisional const&) = delete;
  ~Provisional() {
    if (!true_) undo_();
  }
  void confirm() noexcept { true_ = true; }

 private:
  Undo undo_;
  bool true_ = false;
};

}  // namespace

void Outbound::seal_large_values(Chunk const& chunk, std::uint64_t inline_limit) {
  for (auto const* const list : {&chunk.task->function().resources, &chunk.input->resources()}) {
    for (auto const& resource : *list) {
      if (resource->kind() != detail::Resource::Kind::value) continue;
      auto& share = static_cast<detail::Share&>(*resource);
      if (share.bytes().size() > inline_limit) share.sealed();
    }
  }
}

// The system counts the descriptors of all processes of the user that are on their way. Others may be
// in the way for a while.
bool Outbound::send_packet(std::span<std::byte const> bytes, std::span<int const> descriptors) {
  constexpr std::chrono::seconds patience{2};
  try {
    auto const result = os::send_packet(control_, bytes, descriptors, false);
    crowded_since_.reset();
    return result == os::SendResult::sent;
  } catch (std::system_error const& error) {
    if (error.code().value() != ETOOMANYREFS) throw;
    TimePoint const now = std::chrono::steady_clock::now();
    if (!crowded_since_) crowded_since_ = now;
    if (now - *crowded_since_ >= patience) throw;
    return false;
  }
}

bool Outbound::send_payload(PayloadRef const& payload_ref) {
  if (!channel_.fits(payload_ref.inside().size())) return false;
  if (payload_ref.file < 0) return true;
  return send_packet(channel::packet_of_payload, std::span(&payload_ref.file, 1));
}

Outbound::Notices Outbound::put_notices() {
  PeerBuffers::News news = peer_buffers_.take_notices(inline_limit_ / sizeof(std::uint64_t));
  if (!news.any()) return Notices::none;
  if (!channel_.fits(std::span(news.ids).size_bytes())) {
    peer_buffers_.not_told(std::move(news));
    return Notices::no_room;
  }
  channel_.put_memory(news.words, news.ids);
  return Notices::put;
}

Outbound::Notices Outbound::put_evictions() {
  if (given_.empty()) return Notices::none;
  std::uint64_t const ended = detail::Resource::ended();
  if (ended == ended_) return Notices::none;
  std::size_t const max_ids = inline_limit_ / sizeof(std::uint64_t);
  std::vector<std::uint64_t> ids;
  for (auto const& [id, resource] : given_) {
    if (resource.expired() && ids.size() < max_ids) ids.push_back(id);
  }
  if (!ids.empty()) {
    // Without room, and beyond what one frame takes: later.
    if (!channel_.fits(std::span(ids).size_bytes())) return Notices::no_room;
    channel_.put_evict(ids);
    for (std::uint64_t const id : ids) given_.erase(id);
  }
  if (ids.size() < max_ids) ended_ = ended;
  return ids.empty() ? Notices::none : Notices::put;
}

std::shared_ptr<detail::Resource> Outbound::given(std::uint64_t id) const {
  auto const found = given_.find(id);
  return found == given_.end() ? nullptr : found->second.lock();
}

bool Outbound::put_resources(detail::Resource::List const& resources) {
  for (auto const& resource : resources) {
    if (given_.contains(resource->id())) continue;  // never of what is carried
    bool const put = resource->kind() == detail::Resource::Kind::value
                         ? put_value(static_cast<detail::Share&>(*resource))
                         : put_descriptors(*resource);
    if (!put) return false;
    // If there is no memory to note that it was sent, it may be sent again.
    if (!resource->is_carried()) given_.emplace(resource->id(), resource);
  }
  return true;
}

bool Outbound::put_value(detail::Share& share) {
  PayloadRef payload_ref{{share.bytes()}};
  if (payload_ref.bytes.size() > inline_limit_) {
    payload_ref.where = channel::Where::file;
    payload_ref.file = share.sealed().fd();
  }
  if (!send_payload(payload_ref)) return false;
  channel_.put_resource(
      {share.id(), static_cast<std::uint32_t>(share.kind()), share.parts().size(), 0}, payload_ref);
  return true;
}

bool Outbound::put_descriptors(detail::Resource const& resource) {
  std::uint64_t const id = resource.id();
  std::vector<int> const descriptors = resource.descriptors();
  if (!channel_.fits(0) || !send_packet(std::as_bytes(std::span(&id, 1)), descriptors)) {
    return false;
  }
  channel_.put_resource({id, static_cast<std::uint32_t>(resource.kind()), 0, descriptors.size()},
                        {});
  return true;
}

std::optional<std::size_t> Outbound::put_function(detail::Task const& task) {
  FunctionTable::Place const place = functions_.place(task);
  if (place.registered) return place.slot;
  Provisional registered([&] { functions_.forget(place.slot); });
  detail::Bytes const registration =
      protocol::encode_registration(task.function(), task.label().text);
  os::Memfd file;
  PayloadRef payload_ref{{registration}};
  if (registration.size() > inline_limit_) {
    payload_ref.where = channel::Where::file;
    file = os::sealed_copy(detail::message_name, registration);
    payload_ref.file = file.fd();
  }
  if (!send_payload(payload_ref)) return std::nullopt;
  channel_.put_registration(place.slot, payload_ref);
  registered.confirm();
  return place.slot;
}

std::optional<std::uint64_t> Outbound::put_chunk(Chunk const& chunk, std::size_t function,
                                                 PayloadRef const& payload_ref) {
  if (!send_payload(payload_ref)) return std::nullopt;
  detail::Task const& task = *chunk.task;
  // The element that a timeout ends must be certain.
  bool const apart = task.timeout().has_value();
  return channel_.put_chunk(
      {function, task.id(), chunk.first, chunk.count, task.random(), task.internal(), apart},
      payload_ref);
}

std::optional<std::uint64_t> Outbound::put(Chunk const& chunk, detail::MessageBlock const* block) {
  put_notices();
  put_evictions();
  if (!put_resources(chunk.task->function().resources)) return std::nullopt;
  if (!put_resources(chunk.input->resources())) return std::nullopt;
  auto const function = put_function(*chunk.task);
  if (!function) return std::nullopt;
  PayloadRef payload_ref{{chunk.bytes()}};
  if (block == nullptr) return put_chunk(chunk, *function, payload_ref);

  bool const known = peer_buffers_.has(block->id());
  payload_ref.where = channel::Where::block;
  payload_ref.block = {block->id(), detail::MessageBlock::ahead, known ? 0u : 1u};
  if (known) return put_chunk(chunk, *function, payload_ref);
  payload_ref.file = block->fd();
  // Noted before the descriptor is under way, because the note needs memory. A descriptor without its
  // frame would be taken for that of the next one.
  peer_buffers_.sent(block->id());
  Provisional sent([&] { peer_buffers_.not_sent(block->id()); });
  auto const serial = put_chunk(chunk, *function, payload_ref);
  if (serial) sent.confirm();
  return serial;
}

}  // namespace procpool::inline v0_1::parent
