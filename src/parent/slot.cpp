#include "parent/slot.hpp"

#include <fcntl.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <exception>
#include <iterator>
#include <new>
#include <stdexcept>
#include <string>
#include <system_error>
#include <utility>

#include <procpool/errors.hpp>

#include "engine/patience.hpp"
#include "os/socket.hpp"

namespace procpool::inline v0::parent {

using channel::BadFrame;
using channel::ParentEnd;
using detail::Block;

namespace {

constexpr std::size_t max_descriptor_bytes = 64;  // of a packet that brings a descriptor

constexpr std::uint64_t nobodys_serial = ~std::uint64_t{0};

// The results that it had counted in its open record.
Block results_left(ParentEnd::Remains const& remains, Chunk const& chunk) {
  Block block;
  try {
    block.payload = detail::Payload::copy(remains.payload);
  } catch (std::exception const& error) {  // our own lack of memory: these end, nothing else
    block.kind = Block::Kind::failed;
    block.failure = detail::patiently([&] {
      return std::make_exception_ptr(
          SetupError(element_text(chunk.task->id(), chunk.first, remains.done) + ": the outcome, " +
                     std::to_string(remains.payload.size()) +
                     " bytes, arrived but could not be taken: " + error.what()));
    });
  }
  return block;
}

}  // namespace

// ---- giving

bool Slot::send_payload(PayloadRef const& payload_ref) {
  if (!channel_->fits(payload_ref.inside().size())) return false;
  if (payload_ref.file < 0) return true;
  return os::send_packet(control_.get(), std::as_bytes(std::span("large")),
                         std::span(&payload_ref.file, 1), false) == os::SendResult::sent;
}

bool Slot::put_share(std::shared_ptr<detail::Share> const& share, std::uint64_t inline_limit) {
  if (shares_.contains(share->id())) return true;
  PayloadRef payload_ref{{share->bytes()}};
  if (payload_ref.bytes.size() > inline_limit) {
    payload_ref.where = channel::Where::file;
    payload_ref.file = share->sealed().fd();
  }
  // Should there be no memory to note it by, it went out all the same, and may go out again.
  if (!send_payload(payload_ref)) return false;
  channel_->put_share(share->id(), share->parts().size(), payload_ref);
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
    channel_->put_evict(ids);
    for (std::uint64_t const id : ids) shares_.erase(id);
  }
  if (ids.size() < most) ended_shares_ = ended;
}

bool Slot::put_function(detail::Task const& task, std::uint64_t inline_limit, std::size_t& slot) {
  FunctionTable::Place const place = functions_.place(task);
  slot = place.slot;
  if (place.registered) return true;
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
  detail::Bytes const registration = protocol::encode_registration(task.function());
  os::Memfd file;
  PayloadRef payload_ref{{registration}};
  if (registration.size() > inline_limit) {
    payload_ref.where = channel::Where::file;
    file = os::sealed_copy(detail::message_name, registration);
    payload_ref.file = file.fd();
  }
  if (!send_payload(payload_ref)) return false;
  channel_->put_registration(slot, payload_ref);
  sent = true;
  return true;
}

Slot::News Slot::put_memory_notices(std::uint64_t inline_limit) {
  PeerBuffers::News news = peer_buffers_->take_notices(inline_limit / sizeof(std::uint64_t));
  if (!news.any()) return News::none;
  if (!channel_->fits(std::span(news.ids).size_bytes())) {
    peer_buffers_->not_told(std::move(news));
    return News::no_room;
  }
  channel_->put_memory(news.words, news.ids);
  return News::told;
}

bool Slot::put_all(Chunk& chunk, PayloadRef payload_ref,
                   std::shared_ptr<detail::MessageBlock> block, std::uint64_t inline_limit) {
  put_memory_notices(inline_limit);
  put_forgotten(inline_limit);
  for (auto const* const shares : {&chunk.task->function().shares, &chunk.input->shares()}) {
    for (auto const& share : *shares) {
      if (!put_share(share, inline_limit)) return false;
    }
  }
  std::size_t function = 0;
  if (!put_function(*chunk.task, inline_limit, function)) return false;
  if (block != nullptr) {
    payload_ref.where = channel::Where::block;
    bool const known = peer_buffers_->has(block->id());
    payload_ref.block = {block->id(), detail::MessageBlock::ahead, known ? 0u : 1u};
    if (!known) payload_ref.file = block->fd();
  }
  // All memory is got before the descriptor is under way: without its record it would be the next one's.
  ledger_.reserve();
  if (payload_ref.file >= 0) peer_buffers_->sent(block->id());
  bool sent_payload = false;
  struct Undo {
    PeerBuffers& peer_buffers;
    std::uint64_t const block;
    bool const& sent_payload;
    ~Undo() {
      if (block != 0 && !sent_payload) peer_buffers.not_sent(block);
    }
  } const undo{*peer_buffers_, payload_ref.file >= 0 ? block->id() : 0, sent_payload};
  sent_payload = send_payload(payload_ref);
  if (!sent_payload) return false;
  std::uint64_t const serial =
      channel_->put_chunk({function, chunk.task->id(), chunk.first, chunk.count,
                           chunk.task->random(), chunk.task->internal(),
                           // Whom a deadline ends must be certain.
                           chunk.task->timeout().has_value()},
                          payload_ref);
  ledger_.add(serial, std::move(chunk), std::move(block));
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
  std::shared_ptr<PeerBuffers> worker;
  Chunk const& first = chunks.front();
  if (first.bytes().size() > inline_limit) {
    std::lock_guard const lock(mutex_);
    if (!channel_ || !bad_.empty()) return given;
    worker = peer_buffers_;
  }
  std::shared_ptr<detail::MessageBlock> block;
  try {
    // Memory for large messages is made before the lock: it takes as long as the message is large.
    if (worker != nullptr) {
      block = first.whole_input() ? first.input->in_memory_of(*buffer_pool_, worker)
                                  : copy_for(*buffer_pool_, worker, first.bytes());
    }
    for (Chunk const& chunk : chunks) {
      for (auto const* const shares : {&chunk.task->function().shares, &chunk.input->shares()}) {
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
  if (worker != nullptr && worker != peer_buffers_) return given;  // another is here by now
  given.how = Put::full;
  if (channel_->acknowledging() || kill_reason_) return given;
  try {
    while (given.sent != chunks.size()) {
      Chunk& chunk = chunks[given.sent];
      if (!put_all(chunk, {{chunk.bytes()}}, std::move(block), inline_limit)) break;
      ++given.sent;
      // Cancelled while it was in this thread's hand: who cancelled did not find it anywhere.
      if (Chunk const& sent = ledger_.back().chunk; sent.unwanted()) {
        chunk = sent;
        given.unwanted = true;
      }
    }
    if (given.sent == chunks.size()) given.how = Put::sent;
    // Where nothing lies ahead that could be taken, waiting for that would be for ever.
    room_ = given.how != Put::full || channel_->emptied() ? Room::enough : Room::missing;
  } catch (BadFrame const& bad) {
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
  } catch (BadFrame const& bad) {
    detail::patiently([&] { bad_ = bad.what(); });
    return false;
  }
}

// ---- taking

Slot::Item Slot::resolve_front(std::uint64_t count, Block block) {
  answered_ = true;
  // The worker has written it before it published the outcome.
  if (output_) detail::if_possible([this] { read_capture(); });
  Ledger::Resolved resolved = ledger_.resolve(count);
  block.first = resolved.element;
  block.count = count;
  block.worker = index_;
  block.pid = pid_;
  Item item{std::move(resolved.task), std::move(block), 0, resolved.ended_chunk ? 1u : 0u};
  if (output_) {
    std::uint64_t const index = resolved.element - resolved.serial;
    detail::if_possible(
        [&] { item.output = output_->take(resolved.serial, resolved.serial + count); });
    for (auto& [serial, text] : item.output) serial += index;  // of the task
  }
  return item;
}

os::Memfd Slot::receive_file() {
  os::Packet packet;
  try {
    // What cannot be a memory file is not touched: to ask it, or to close it, may take as long as it likes.
    auto const received = os::receive_packet(control_.get(), packet, false, max_descriptor_bytes,
                                             os::Takes::memory_files);
    if (packet.foreign) {
      throw BadFrame("a large message came with a descriptor that is no memory file");
    }
    if (received != os::ReceiveResult::received || packet.fds.size() != 1) {
      throw BadFrame("a large message came without its descriptor");
    }
  } catch (std::system_error const& error) {
    // Gone with its descriptor is only that one message. What is still there would be taken for the next one's.
    if (error.code().value() == EPROTO) throw;
    throw BadFrame(std::string("the descriptor of a large message could not be received: ") +
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
    detail::Payload payload = peer_buffers_->receive(memory, ref.id, ref.offset, size);
    buffer_pool_->expect_trim();
    // The worker may still write to it. Decoders of values are made for that, others are not.
    if (arrival.header.kind == channel::OutboxKind::values) return payload;
    return detail::Payload(detail::Bytes(payload.bytes().begin(), payload.bytes().end()));
  }
  // What the worker could still change or cut off would be read under its hands.
  int const needed = F_SEAL_WRITE | F_SEAL_SHRINK;
  int const seals = memory.seals();
  if (seals < 0 || (seals & needed) != needed) {
    throw BadFrame("a large message came in memory that is not sealed");
  }
  if (memory.size() < size) throw BadFrame("a large message is shorter than its frame says");
  auto const mapping = std::make_shared<os::Mapping>(memory, os::Access::private_read, 0, size);
  return detail::Payload(mapping, mapping->bytes());
}

Slot::Item Slot::accept(ParentEnd::Arrival const& arrival) {
  channel::OutboxHeader const& header = arrival.header;
  ledger_.check(header);
  bool const thrown = header.kind == channel::OutboxKind::thrown;
  Chunk const& owed = ledger_.front().chunk;
  Block block;
  block.kind = thrown ? Block::Kind::thrown : Block::Kind::values;
  try {
    block.payload = receive(arrival);
  } catch (BadFrame const&) {
    throw;
  } catch (std::exception const& error) {  // our own lack: of memory, descriptors, address space
    block.kind = Block::Kind::failed;
    block.failure = detail::patiently([&] {
      return std::make_exception_ptr(SetupError(
          element_text(owed.task->id(), owed.first, header.count) + ": the outcome, " +
          std::to_string(header.size) + " bytes, arrived but could not be taken: " + error.what()));
    });
  }
  std::optional<Chunk> element;
  if (thrown) {
    element = owed;
    element->count = 1;
  }
  Item item = resolve_front(header.count, std::move(block));
  item.element = std::move(element);
  // A hint for the scheduler; a lie makes this worker's own portions odd, within their bounds.
  item.nanoseconds = std::min<std::uint64_t>(header.nanoseconds, std::uint64_t{1} << 50);
  return item;
}

void Slot::Collected::add(Item item) {
  if (apart.empty()) {
    try {
      items.push_back(std::move(item));  // moved only when there is room
      return;
    } catch (std::bad_alloc const&) {
    }
  }
  detail::patiently([&] { apart.push_back(std::move(item)); });
}

void Slot::drain(Collected& collected) {
  if (!bad_.empty()) {
    collected.bad = bad_;
    return;
  }
  try {
    collected.revocations = revocations_;
    // Before the records: see ParentEnd::acknowledged.
    collected.revocation_done = channel_->acknowledged();
    collected.roomy = room_ == Room::awaited && channel_->emptied();
    if (collected.roomy) room_ = Room::enough;
    bool any = false;
    while (auto const arrival = channel_->next()) {
      collected.add(accept(*arrival));
      any = true;
    }
    if (any) channel_->taken();
    if (collected.revocation_done) collected.returned = ledger_.revoke_all();
  } catch (BadFrame const& bad) {
    detail::patiently([&] { collected.bad = bad_ = bad.what(); });
  } catch (std::bad_alloc const&) {
    // Whatever else needs memory here is patient: it was to be said what is wrong.
    collected.bad = bad_ = "a bad frame";
  }
}

bool Slot::read_capture() { return output_->read(ledger_.first_serial(), ledger_.end_serial()); }

bool Slot::read_output() {
  std::lock_guard const lock(mutex_);
  return output_ && read_capture();
}

Slot::Collected Slot::collect() {
  Collected collected;
  std::lock_guard const lock(mutex_);
  if (channel_) drain(collected);
  return collected;
}

// ---- the dispatcher's sleep

void Slot::park(std::uint32_t number) {
  std::lock_guard const lock(mutex_);
  parked_ = number;
  if (channel_ && spinners_ == 0) channel_->park(number);
}

bool Slot::begin_short_poll(std::uint32_t number) {
  std::lock_guard const lock(mutex_);
  parked_ = number | channel::short_poll;
  return channel_ && spinners_ == 0 && channel_->begin_short_poll(number);
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
  return has_input();
}

bool Slot::has_input() const {
  return channel_ && (channel_->news(room_ == Room::awaited) || !bad_.empty());
}

bool Slot::news() {
  std::lock_guard const lock(mutex_);
  return has_input();
}

bool Slot::has_input_hint() {
  std::unique_lock const lock(mutex_, std::try_to_lock);
  return lock && has_input();
}

void Slot::ask_to_leave() {
  std::lock_guard const lock(mutex_);
  if (channel_) channel_->ask_to_leave();
}

std::vector<std::uint64_t> Slot::task_ids() const {
  std::vector<std::uint64_t> ids;
  std::lock_guard const lock(mutex_);
  for (Ledger::Entry const& sent : ledger_) ids.push_back(sent.chunk.task->id());
  return ids;
}

// The slot's part that is in control of what its worker has: taking back what has not begun, and ending
// what runs.

Slot::Revoked Slot::revoke(std::uint64_t elements) {
  Revoked taken;
  std::lock_guard const lock(mutex_);
  if (!channel_ || !bad_.empty()) return taken;
  auto const from = ledger_.serial_of_last(elements);
  return from ? revoke_from(*from) : taken;
}

Slot::Revoked Slot::revoke_from(std::uint64_t from) {
  Revoked taken;
  if (ledger_.empty()) return taken;
  // What surely runs is not asked for: so that it stays sure, see ParentEnd::running.
  auto const running = running_of_channel();
  if (running && running->sure) from = std::max(from, running->serial + 1);
  if (from >= ledger_.end_serial()) return taken;
  try {
    std::uint64_t const cut = channel_->revoke(from);
    taken.asked = true;
    taken.number = ++revocations_;
    std::size_t const before = ledger_.size();
    taken.chunks = ledger_.revoke_from(cut);
    for (Chunk const& chunk : taken.chunks) taken.elements += chunk.count;
    taken.ended_chunks = before - ledger_.size();
  } catch (BadFrame const& bad) {
    detail::patiently([&] { bad_ = bad.what(); });
  }
  return taken;
}

std::optional<Slot::TimePoint> Slot::trim_memory(TimePoint now) {
  constexpr std::chrono::milliseconds soon{100};
  std::lock_guard const lock(mutex_);
  if (!channel_ || !bad_.empty() || kill_reason_) return std::nullopt;
  auto const next = peer_buffers_->trim(now);
  // Nothing may be put while the worker has not acknowledged a take-back.
  if (channel_->acknowledging()) return now + soon;
  try {
    switch (put_memory_notices(channel::inline_limit(channel_->ring_bytes()))) {
      case News::none: return next;
      case News::no_room: return now + soon;
      case News::told: channel_->publish(); return next ? std::min(*next, now + soon) : now + soon;
    }
    return next;
  } catch (BadFrame const& bad) {
    detail::patiently([&] { bad_ = bad.what(); });  // collect() tells it to the engine
    return std::nullopt;
  }
}

// ---- ending what runs

std::optional<ParentEnd::Running> Slot::running_of_channel() const {
  return ledger_.empty() ? std::nullopt : channel_->running(ledger_.first_serial());
}

std::optional<Slot::Running> Slot::running() {
  // Between its claim and its look a worker is for some nanoseconds; one that stays there is stopped,
  // or has begun.
  constexpr std::chrono::milliseconds undecided{20};
  std::lock_guard const lock(mutex_);
  if (!channel_ || !bad_.empty() || kill_reason_) return std::nullopt;
  // What has lasted until here, has lasted; what is seen from here on began before the second look at the clock.
  TimePoint const now = clock_();
  auto const running = running_of_channel();
  // With news there may be its outcome among them: collected first.
  if (channel_->news(false)) {
    stall_since_ = TimePoint();
    return std::nullopt;
  }
  for (Ledger::Entry const& sent : ledger_) {
    if (!running) break;
    std::uint64_t const ahead = running->serial - sent.serial;
    if (running->serial < sent.serial || ahead >= sent.chunk.count) continue;
    stall_since_ = TimePoint();
    if (watched_since_ == TimePoint() || watched_ != running->serial) {
      watched_ = running->serial;
      watched_since_ = clock_();
    }
    if (!running->sure && now - watched_since_ < undecided) return std::nullopt;
    return Running{sent.chunk.task, sent.chunk.first + ahead, running->serial, watched_since_};
  }
  note_stall(now);
  return std::nullopt;
}

// What was scribbled over its marks may run on for ever, and never be seen to. From the outside that is a
// worker which does not begin what it was given. One that is honest, and stopped, or starved by the machine, is
// replaced at no cost: what it has not begun goes elsewhere.
void Slot::note_stall(TimePoint now) {
  constexpr std::chrono::seconds patience{1};
  if (ledger_.empty() || !ledger_.front().chunk.task->timeout()) {
    stall_since_ = TimePoint();
    return;
  }
  std::uint64_t const front = ledger_.first_serial();
  if (stall_since_ == TimePoint() || stall_serial_ != front) {
    stall_serial_ = front;
    stall_since_ = clock_();
  }
  if (now - stall_since_ < patience) return;
  try {
    // First it can begin nothing more, then it is looked at again. What it would begin all the same comes
    // back with its acknowledgement, if it lives to give that.
    bool const could_begin = channel_->may_begin(front);
    if (channel_->revoke(front) != front && could_begin) return;
  } catch (BadFrame const& bad) {
    detail::patiently([&] { bad_ = bad.what(); });  // collect() tells it to the engine
    return;
  }
  stalled_ = true;
  kill_reason_ = KillReason{nobodys_serial, nullptr, false};
  marked_for_kill_.store(true, std::memory_order_release);
}

bool Slot::ask_to_stop(std::uint64_t serial) {
  std::lock_guard const lock(mutex_);
  if (!channel_ || !bad_.empty() || kill_reason_ || !channel_->listens(serial)) return false;
  channel_->ask_to_stop(serial);
  return true;
}

bool Slot::retiring() const {
  std::lock_guard const lock(mutex_);
  return channel_ && channel_->retiring();
}

bool Slot::has_left() const {
  std::lock_guard const lock(mutex_);
  return channel_ && bad_.empty() && !kill_reason_ && channel_->left() && ledger_.empty() &&
         !channel_->news(false);
}

Slot::Duty Slot::duty() const {
  std::lock_guard const lock(mutex_);
  if (!channel_) return {};
  return {!ledger_.empty() && !has_input(), running_of_channel().has_value(), channel_->progress(),
          detail::CrashReport::begun(channel_->crash_area()), channel_->exit_hint()};
}

void Slot::nudge() {
  std::lock_guard const lock(mutex_);
  if (channel_) channel_->nudge();
}

bool Slot::holds(detail::Task const& task) const {
  std::lock_guard const lock(mutex_);
  return !kill_reason_ && ledger_.holds(task);
}

Slot::KillResult Slot::mark_for_kill(KillReason kill_reason) {
  KillResult kill_result;
  std::lock_guard const lock(mutex_);
  if (!channel_ || !bad_.empty() || kill_reason_) return kill_result;
  auto const still = [&] {
    auto const running = running_of_channel();
    return running && running->serial == kill_reason.serial && !channel_->news(false);
  };
  if (!still()) return kill_result;
  // First it can begin nothing more, then it is looked at again: who is ended is nobody else. Also where
  // another take-back is under way, which may have left it more than this one.
  kill_result.taken = revoke_from(kill_reason.serial + 1);
  if (!still()) return kill_result;
  kill_reason_ = std::move(kill_reason);
  marked_for_kill_.store(true, std::memory_order_release);
  kill_result.marked_for_kill = true;
  return kill_result;
}

// The slot's part that is the dispatcher's: the birth of its worker, and what it left when it died.

void Slot::open(std::unique_ptr<ParentEnd> channel, os::UniqueFd control, pid_t pid,
                std::unique_ptr<OutputCapture> output) {
  std::lock_guard const lock(mutex_);
  channel_ = std::move(channel);
  inline_limit_.store(channel::inline_limit(channel_->ring_bytes()), std::memory_order_relaxed);
  // There is a process, and nobody else who knows of it.
  peer_buffers_ = detail::patiently([] { return std::make_shared<PeerBuffers>(); });
  control_ = std::move(control);
  pid_ = pid;
  functions_ = FunctionTable();
  shares_.clear();
  room_ = Room::enough;
  ledger_.reset();
  answered_ = false;
  watched_since_ = TimePoint();
  stall_since_ = TimePoint();
  stalled_ = false;
  kill_reason_.reset();
  marked_for_kill_.store(false, std::memory_order_release);
  bad_.clear();
  output_ = std::move(output);
}

Slot::Death Slot::reap() {
  Death death;
  std::lock_guard const lock(mutex_);
  if (!channel_) return death;
  drain(death.collected);
  death.collected.revocation_done = false;
  death.collected.revocations = revocations_;
  death.bad = std::move(death.collected.bad);
  detail::if_possible([&] { death.crash = detail::CrashReport::read(channel_->crash_area()); });
  if (!ledger_.empty()) {
    Ledger::Entry const& front = ledger_.front();
    ParentEnd::Remains const remains = channel_->remains(front.serial, front.chunk.count);
    death.stage = static_cast<detail::Stage>(remains.stage);
    death.exit_hint = remains.exit_hint;
    if (death.bad.empty()) detail::patiently([&] { death.bad = ledger_.doubt(remains); });
    if (death.bad.empty() && remains.done != 0) {
      Block block = results_left(remains, front.chunk);
      death.collected.add(resolve_front(remains.done, std::move(block)));
    }
    if (death.bad.empty() && !remains.believable) {
      detail::patiently(
          [&] { death.bad = "its marks of what it had begun and done cannot be true"; });
    }
    // A cancelled call's elements that are claimed together are seen to run a moment late.
    if (kill_reason_ && !ledger_.empty() &&
        (kill_reason_->serial == ledger_.first_serial() ||
         (kill_reason_->cancelled && ledger_.front().chunk.task->marked_for_end()))) {
      death.kill_reason = std::move(kill_reason_);
    }
    std::uint64_t const first = ledger_.first_serial();
    if (output_) detail::if_possible([this] { read_capture(); });
    auto const belief = !death.bad.empty() ? Ledger::Belief::liar
                        : stalled_         ? Ledger::Belief::stalled
                                           : Ledger::Belief::honest;
    Ledger::Attribution attribution =
        ledger_.attribute(remains, belief, death.kill_reason.has_value());
    death.attributed = std::move(attribution.chunks);
    death.poison = attribution.poison;
    if (output_ && !death.attributed.empty()) {
      detail::if_possible([&] {
        for (auto& [serial, text] : output_->take(first, first + 1)) death.output = std::move(text);
      });
    }
    detail::move_behind(death.collected.returned, ledger_.revoke_all());
  }
  death.useful = answered_ || !death.attributed.empty();
  channel_.reset();
  peer_buffers_.reset();
  death.control = std::move(control_);
  output_.reset();
  return death;
}

}  // namespace procpool::inline v0::parent
