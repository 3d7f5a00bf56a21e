#include "parent/outbound.hpp"

#include <span>
#include <utility>
#include <vector>

#include "os/memfd.hpp"
#include "os/socket.hpp"
#include "protocol/function_registration.hpp"

namespace procpool::inline v0::parent {

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

void Outbound::seal_large_shares(Chunk const& chunk, std::uint64_t inline_limit) {
  for (auto const* const shares : {&chunk.task->function().shares, &chunk.input->shares()}) {
    for (auto const& share : *shares) {
      if (share->bytes().size() > inline_limit) share->sealed();
    }
  }
}

bool Outbound::send_payload(PayloadRef const& payload_ref) {
  if (!channel_.fits(payload_ref.inside().size())) return false;
  if (payload_ref.file < 0) return true;
  return os::send_packet(control_, std::as_bytes(std::span("large")),
                         std::span(&payload_ref.file, 1), false) == os::SendResult::sent;
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

void Outbound::put_evictions() {
  if (shares_.empty()) return;
  std::uint64_t const ended = detail::Share::ended();
  if (ended == ended_shares_) return;
  std::size_t const max_ids = inline_limit_ / sizeof(std::uint64_t);
  std::vector<std::uint64_t> ids;
  for (auto const& [id, share] : shares_) {
    if (share.expired() && ids.size() < max_ids) ids.push_back(id);
  }
  if (!ids.empty()) {
    // Without room, and beyond what one frame takes: with a later chunk.
    if (!channel_.fits(std::span(ids).size_bytes())) return;
    channel_.put_evict(ids);
    for (std::uint64_t const id : ids) shares_.erase(id);
  }
  if (ids.size() < max_ids) ended_shares_ = ended;
}

bool Outbound::put_shares(detail::Share::List const& shares) {
  for (auto const& share : shares) {
    if (shares_.contains(share->id())) continue;
    PayloadRef payload_ref{{share->bytes()}};
    if (payload_ref.bytes.size() > inline_limit_) {
      payload_ref.where = channel::Where::file;
      payload_ref.file = share->sealed().fd();
    }
    if (!send_payload(payload_ref)) return false;
    channel_.put_share(share->id(), share->parts().size(), payload_ref);
    // If there is no memory to note that it was sent, it may be sent again.
    shares_.emplace(share->id(), share);
  }
  return true;
}

std::optional<std::size_t> Outbound::put_function(detail::Task const& task) {
  FunctionTable::Place const place = functions_.place(task);
  if (place.registered) return place.slot;
  Provisional registered([&] { functions_.forget(place.slot); });
  detail::Bytes const registration = protocol::encode_registration(task.function());
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
  if (!put_shares(chunk.task->function().shares)) return std::nullopt;
  if (!put_shares(chunk.input->shares())) return std::nullopt;
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

}  // namespace procpool::inline v0::parent
