#include "engine/local/slot.hpp"

#include <fcntl.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <iterator>
#include <new>
#include <stdexcept>
#include <string>
#include <system_error>
#include <utility>

#include <procpool/errors.hpp>

#include "engine/patience.hpp"
#include "os/socket.hpp"

namespace procpool::inline v0::local {

using channel::BadRecord;
using channel::ParentEnd;
using detail::Block;

namespace {

constexpr std::size_t most_descriptor_bytes = 64;  // of a packet that brings a descriptor

}  // namespace

// ---- giving

bool Slot::ship(Cargo const& cargo) {
  if (!channel_->fits(cargo.inside().size())) return false;
  if (cargo.file < 0) return true;
  return os::send_packet(control_.get(), std::as_bytes(std::span("large")),
                         std::span(&cargo.file, 1), false) == os::SendResult::sent;
}

bool Slot::put_share(std::shared_ptr<detail::Share> const& share, std::uint64_t inline_limit) {
  if (shares_.contains(share->id())) return true;
  Cargo cargo{{share->bytes()}};
  if (cargo.bytes.size() > inline_limit) {
    cargo.where = channel::Where::file;
    cargo.file = share->sealed().fd();
  }
  // Should there be no memory to note it by, it went out all the same, and may go out again.
  if (!ship(cargo)) return false;
  channel_->put_share(share->id(), share->parts().size(), cargo);
  shares_.emplace(share->id(), share);
  return true;
}

void Slot::put_forgotten(std::uint64_t inline_limit) {
  std::uint64_t const ended = detail::Share::ended();
  if (shares_.empty() || ended == ended_shares_) return;
  std::size_t const most = inline_limit / sizeof(std::uint64_t);
  std::vector<std::uint64_t> ids;
  for (auto const& [id, share] : shares_) {
    if (share.expired() && ids.size() < most) ids.push_back(id);
  }
  if (!ids.empty()) {
    // No room, or more than one record takes: with a later chunk.
    if (!channel_->fits(std::span(ids).size_bytes())) return;
    channel_->put_forget(ids);
    for (std::uint64_t const id : ids) shares_.erase(id);
  }
  if (ids.size() < most) ended_shares_ = ended;
}

bool Slot::put_function(detail::Task const& task, std::uint64_t inline_limit, std::size_t& slot) {
  FunctionTable::Place const place = functions_.place(task);
  slot = place.slot;
  if (place.declared) return true;
  bool sent = false;
  // What cannot be sent must not count as declared.
  struct Undo {
    FunctionTable& table;
    std::size_t slot;
    bool const& sent;
    ~Undo() {
      if (!sent) table.forget(slot);
    }
  } const undo{functions_, place.slot, sent};
  detail::Bytes const declaration = encode_declaration(task.function());
  os::Memfd file;
  Cargo cargo{{declaration}};
  if (declaration.size() > inline_limit) {
    cargo.where = channel::Where::file;
    file = os::sealed_copy(detail::message_name, declaration);
    cargo.file = file.fd();
  }
  if (!ship(cargo)) return false;
  channel_->put_declaration(slot, cargo);
  sent = true;
  return true;
}

Slot::News Slot::put_memory_news(std::uint64_t inline_limit) {
  Holdings::News news = holdings_->take_news(inline_limit / sizeof(std::uint64_t));
  if (!news.any()) return News::none;
  if (!channel_->fits(std::span(news.ids).size_bytes())) {
    holdings_->not_told(std::move(news));
    return News::no_room;
  }
  channel_->put_memory(news.words, news.ids);
  return News::told;
}

bool Slot::put_all(Chunk& chunk, Cargo cargo, std::shared_ptr<detail::MessageBlock> block,
                   std::uint64_t inline_limit) {
  put_memory_news(inline_limit);
  put_forgotten(inline_limit);
  for (auto const* const shares : {&chunk.task->function().shares, &chunk.batch->shares()}) {
    for (auto const& share : *shares) {
      if (!put_share(share, inline_limit)) return false;
    }
  }
  std::size_t function = 0;
  if (!put_function(*chunk.task, inline_limit, function)) return false;
  if (block != nullptr) {
    cargo.where = channel::Where::block;
    bool const known = holdings_->has(block->id());
    cargo.block = {block->id(), detail::MessageBlock::ahead, known ? 0u : 1u};
    if (!known) cargo.file = block->fd();
  }
  // All memory is got before the descriptor is under way: without its record it would be the next one's.
  constexpr std::size_t least = 16;
  if (sent_.full()) sent_.set_capacity(std::max(least, 2 * sent_.capacity()));
  if (cargo.file >= 0) holdings_->sent(block->id());
  bool shipped = false;
  struct Undo {
    Holdings& holdings;
    std::uint64_t const block;
    bool const& shipped;
    ~Undo() {
      if (block != 0 && !shipped) holdings.not_sent(block);
    }
  } const undo{*holdings_, cargo.file >= 0 ? block->id() : 0, shipped};
  shipped = ship(cargo);
  if (!shipped) return false;
  std::uint64_t const serial =
      channel_->put_chunk({function, chunk.task->id(), chunk.first, chunk.count,
                           chunk.task->random(), chunk.task->internal(),
                           // Whom a deadline ends must be certain.
                           chunk.task->timeout().has_value()},
                          cargo);
  sent_.push_back({serial, std::move(chunk), std::move(block)});
  return true;
}

Slot::Put Slot::put(Chunk& chunk, std::chrono::microseconds spin) {
  Given const given = put(std::span(&chunk, 1), spin);
  if (given.failure) std::rethrow_exception(given.failure);
  return given.unwanted ? Put::unwanted : given.how;
}

Slot::Given Slot::put(std::span<Chunk> chunks, std::chrono::microseconds spin) {
  Given given{0, false, Put::gone, nullptr};
  // Relaxed: every channel of a pool has rings of the same size. 0: there was no worker here yet.
  std::uint64_t const inline_limit = inline_limit_.load(std::memory_order_relaxed);
  if (inline_limit == 0) return given;
  std::shared_ptr<Holdings> worker;
  Chunk const& first = chunks.front();
  if (first.bytes().size() > inline_limit) {
    std::lock_guard const lock(mutex_);
    if (!channel_ || !bad_.empty()) return given;
    worker = holdings_;
  }
  std::shared_ptr<detail::MessageBlock> block;
  try {
    // Memory for large messages is made before the lock: it takes as long as the message is large.
    if (worker != nullptr) {
      block = first.whole_batch() ? first.batch->in_memory_of(*arena_, worker)
                                  : copy_for(*arena_, worker, first.bytes());
    }
    for (Chunk const& chunk : chunks) {
      for (auto const* const shares : {&chunk.task->function().shares, &chunk.batch->shares()}) {
        for (auto const& share : *shares) {
          if (share->bytes().size() > inline_limit) share->sealed();
        }
      }
    }
  } catch (...) {
    given.failure = std::current_exception();
    return given;
  }

  std::lock_guard const lock(mutex_);
  if (!channel_ || !bad_.empty()) return given;
  if (worker != nullptr && worker != holdings_) return given;  // another is here by now
  given.how = Put::full;
  if (channel_->acknowledging() || sentence_) return given;
  try {
    while (given.sent != chunks.size()) {
      Chunk& chunk = chunks[given.sent];
      if (!put_all(chunk, {{chunk.bytes()}}, std::move(block), inline_limit)) break;
      ++given.sent;
      // Cancelled while it was in this thread's hand: who cancelled did not find it anywhere.
      if (Chunk const& sent = sent_.back().chunk; sent.unwanted()) {
        chunk = sent;
        given.unwanted = true;
      }
    }
    if (given.sent == chunks.size()) given.how = Put::sent;
    // Where nothing lies ahead that could be taken, waiting for that would be for ever.
    room_ = given.how != Put::full || channel_->emptied() ? Room::enough : Room::missing;
  } catch (BadRecord const& bad) {
    detail::patiently([&] { bad_ = bad.what(); });  // collect() tells it to the engine
    given.how = Put::gone;
    return given;
  } catch (...) {
    given.failure = std::current_exception();
  }
  channel_->let_spin(spin);
  channel_->publish();
  return given;
}

bool Slot::await_room() {
  std::lock_guard const lock(mutex_);
  if (!channel_ || !bad_.empty() || room_ != Room::missing) return false;
  try {
    bool const there = channel_->emptied();
    room_ = there ? Room::enough : Room::awaited;
    return there;
  } catch (BadRecord const& bad) {
    detail::patiently([&] { bad_ = bad.what(); });
    return false;
  }
}

// ---- taking

Slot::Item Slot::resolve_front(std::uint64_t count, Block block) {
  answered_ = true;
  Sent& front = sent_.front();
  block.first = front.chunk.first;
  block.count = count;
  block.worker = index_;
  block.pid = pid_;
  bool const last = count == front.chunk.count;
  Item item{last ? std::move(front.chunk.task) : front.chunk.task, std::move(block), 0, 0};
  if (output_) {
    // Written before the outcome was published.
    detail::if_possible([this] { read_tap(); });
    std::uint64_t const index = front.chunk.first - front.serial;
    detail::if_possible([&] { item.output = output_->take(front.serial, front.serial + count); });
    for (auto& [serial, text] : item.output) serial += index;  // of the task
  }
  front.serial += count;
  front.chunk.first += count;
  front.chunk.count -= count;
  front.chunk.losses = 0;
  if (last) {
    sent_.pop_front();
    item.ended_chunks = 1;
  }
  return item;
}

os::Memfd Slot::receive_file() {
  os::Packet packet;
  try {
    // What cannot be a memory file is not touched: to ask it, or to close it, may take as long as it likes.
    auto const received = os::receive_packet(control_.get(), packet, false, most_descriptor_bytes,
                                             os::Takes::memory_files);
    if (packet.foreign) {
      throw BadRecord("a large message came with a descriptor that is no memory file");
    }
    if (received != os::ReceiveResult::received || packet.fds.size() != 1) {
      throw BadRecord("a large message came without its descriptor");
    }
  } catch (std::system_error const& error) {
    // Gone with its descriptor is only that one message. What is still there would be taken for the next one's.
    if (error.code().value() == EPROTO) throw;
    throw BadRecord(std::string("the descriptor of a large message could not be received: ") +
                    error.what());
  }
  return os::Memfd(std::move(packet.fds.front()));
}

detail::Payload Slot::receive(ParentEnd::Arrival const& arrival) {
  std::uint64_t const size = arrival.header.size;
  if (arrival.header.where == channel::Where::ring) {
    return detail::Payload::copy(arrival.payload);
  }
  os::Memfd const memory = receive_file();
  if (arrival.header.where == channel::Where::block) {
    channel::BlockRef ref{};
    std::memcpy(&ref, arrival.payload.data(), sizeof ref);
    detail::Payload payload = holdings_->receive(memory, ref.id, ref.offset, size);
    arena_->expect_trim();
    // The worker may still write to it. Decoders of values are made for that, others are not.
    if (arrival.header.kind == channel::OutboxKind::values) return payload;
    return detail::Payload(detail::Bytes(payload.bytes().begin(), payload.bytes().end()));
  }
  // What the worker could still change or cut off would be read under its hands.
  int const needed = F_SEAL_WRITE | F_SEAL_SHRINK;
  int const seals = memory.seals();
  if (seals < 0 || (seals & needed) != needed) {
    throw BadRecord("a large message came in memory that is not sealed");
  }
  if (memory.size() < size) throw BadRecord("a large message is shorter than its record says");
  auto const mapping = std::make_shared<os::Mapping>(memory, os::Access::private_read, 0, size);
  return detail::Payload(mapping, mapping->bytes());
}

Slot::Item Slot::accept(ParentEnd::Arrival const& arrival) {
  channel::OutboxHeader const& header = arrival.header;
  if (sent_.empty()) throw BadRecord("an outcome came where none is owed");
  Sent const& front = sent_.front();
  if (header.serial != front.serial || header.count == 0 || header.count > front.chunk.count) {
    throw BadRecord("an outcome came for elements " + std::to_string(header.serial) + " + " +
                    std::to_string(header.count) + " where " + std::to_string(front.serial) +
                    " + " + std::to_string(front.chunk.count) + " are owed");
  }
  bool const thrown = header.kind == channel::OutboxKind::thrown;
  if ((thrown || header.where != channel::Where::ring) && header.count != 1) {
    throw BadRecord("a record for one element came for " + std::to_string(header.count));
  }
  detail::Function const& function = front.chunk.task->function();
  bool const fixed = function.returns_nothing || function.result_size != 0;
  if (!thrown && fixed && header.size != header.count * function.result_size) {
    throw BadRecord("results of " + std::to_string(header.size) + " bytes came where " +
                    std::to_string(header.count) + " of " + std::to_string(function.result_size) +
                    " are owed");
  }
  Block block;
  block.kind = thrown ? Block::Kind::thrown : Block::Kind::values;
  try {
    block.payload = receive(arrival);
  } catch (BadRecord const&) {
    throw;
  } catch (std::exception const& error) {  // our own lack: of memory, descriptors, address space
    block.kind = Block::Kind::failed;
    block.failure = detail::patiently([&] {
      return std::make_exception_ptr(
          SetupError(element_text(front.chunk.task->id(), front.chunk.first, header.count) +
                     ": the outcome, " + std::to_string(header.size) +
                     " bytes, arrived but could not be taken: " + error.what()));
    });
  }
  std::optional<Chunk> element;
  if (thrown) {
    element = front.chunk;
    element->count = 1;
  }
  Item item = resolve_front(header.count, std::move(block));
  item.element = std::move(element);
  // A hint for the scheduler; a lie makes this worker's own portions odd, within their bounds.
  item.nanoseconds = std::min<std::uint64_t>(header.nanoseconds, std::uint64_t{1} << 50);
  return item;
}

void Slot::Harvest::add(Item item) {
  if (apart.empty()) {
    try {
      items.push_back(std::move(item));  // moved only when there is room
      return;
    } catch (std::bad_alloc const&) {
    }
  }
  detail::patiently([&] { apart.push_back(std::move(item)); });
}

void Slot::drain(Harvest& harvest) {
  if (!bad_.empty()) {
    harvest.bad = bad_;
    return;
  }
  try {
    harvest.take_backs = take_backs_;
    // Before the records: see ParentEnd::acknowledged.
    harvest.settled = channel_->acknowledged();
    harvest.roomy = room_ == Room::awaited && channel_->emptied();
    if (harvest.roomy) room_ = Room::enough;
    bool any = false;
    while (auto const arrival = channel_->next()) {
      harvest.add(accept(*arrival));
      any = true;
    }
    if (any) channel_->taken();
    if (harvest.settled) harvest.returned = return_rest();
  } catch (BadRecord const& bad) {
    detail::patiently([&] { harvest.bad = bad_ = bad.what(); });
  } catch (std::bad_alloc const&) {
    // Whatever else needs memory here is patient: it was to be said what is wrong.
    harvest.bad = bad_ = "a bad record";
  }
}

bool Slot::read_tap() {
  std::uint64_t const from = sent_.empty() ? 0 : sent_.front().serial;
  std::uint64_t const to = sent_.empty() ? 0 : sent_.back().serial + sent_.back().chunk.count;
  return output_->read(from, to);
}

bool Slot::read_output() {
  std::lock_guard const lock(mutex_);
  return output_ && read_tap();
}

Chunks Slot::return_rest() {
  Chunks rest;
  for (Sent& sent : sent_) detail::patiently([&] { rest.push_back(std::move(sent.chunk)); });
  sent_.clear();
  return rest;
}

Slot::Harvest Slot::collect() {
  Harvest harvest;
  std::lock_guard const lock(mutex_);
  if (channel_) drain(harvest);
  return harvest;
}

// ---- the dispatcher's sleep

void Slot::park(std::uint32_t number) {
  std::lock_guard const lock(mutex_);
  parked_ = number;
  if (channel_ && spinners_ == 0) channel_->park(number);
}

bool Slot::park_for_nap(std::uint32_t number) {
  std::lock_guard const lock(mutex_);
  parked_ = number | channel::nap;
  return channel_ && spinners_ == 0 && channel_->park_for_nap(number);
}

void Slot::unpark() {
  std::lock_guard const lock(mutex_);
  parked_ = 0;
  if (channel_) channel_->unpark();
}

bool Slot::begin_spin() {
  std::lock_guard const lock(mutex_);
  if (spinners_++ == 0 && channel_) channel_->unpark();
  return channel_ && channel_->sleeps();
}

bool Slot::end_spin() {
  std::lock_guard const lock(mutex_);
  if (--spinners_ != 0 || parked_ == 0 || !channel_) return false;
  // Parked, then a last look, as the dispatcher does: what was published in between has rung nobody. The
  // number may be one that the worker has rung for; then the dispatcher is awake, or will be.
  channel_->park(parked_);
  return has_news();
}

bool Slot::has_news() const {
  return channel_ && (channel_->news(room_ == Room::awaited) || !bad_.empty());
}

bool Slot::news() {
  std::lock_guard const lock(mutex_);
  return has_news();
}

bool Slot::news_at_a_glance() {
  std::unique_lock const lock(mutex_, std::try_to_lock);
  return lock && has_news();
}

void Slot::ask_to_leave() {
  std::lock_guard const lock(mutex_);
  if (channel_) channel_->ask_to_leave();
}

std::vector<std::uint64_t> Slot::task_ids() const {
  std::vector<std::uint64_t> ids;
  std::lock_guard const lock(mutex_);
  for (Sent const& sent : sent_) ids.push_back(sent.chunk.task->id());
  return ids;
}

}  // namespace procpool::inline v0::local
