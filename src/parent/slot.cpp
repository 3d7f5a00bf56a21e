// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#include "parent/slot.hpp"

#include <fcntl.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <exception>
#include <new>
#include <stdexcept>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>

#include <procpool/errors.hpp>

#include "engine/patience.hpp"
#include "os/discard.hpp"
#include "os/socket.hpp"

namespace procpool::inline v0_1::parent {

using channel::BadFrame;
using channel::ParentEnd;
using detail::Lock;
using detail::OutcomeBlock;

namespace {

constexpr std::size_t max_log_lines = 1024;  // that wait for the dispatcher
// More than the ring of the log holds at a time.
constexpr std::size_t max_log_reads = channel::log_bytes / sizeof(channel::LogHeader) + 1;
constexpr std::size_t max_descriptor_bytes = 64;  // of a packet that brings a descriptor

constexpr std::uint64_t nobodys_serial = ~std::uint64_t{0};

// The block of an outcome that has arrived and could not be taken, for lack of memory, descriptors or
// address space in this process: these elements end, and nothing else.
void fail(OutcomeBlock& block, Chunk const& chunk, std::uint64_t count, std::uint64_t bytes,
          std::exception const& error) {
  block.kind = OutcomeBlock::Kind::failed;
  block.begun = true;
  block.failure = detail::patiently([&] {
    return std::make_exception_ptr(SetupError(
        element_text(*chunk.task, chunk.first, count) + ": the outcome, " + std::to_string(bytes) +
        " bytes, arrived but could not be taken: " + error.what()));
  });
}

bool names_resources(std::span<Chunk const> chunks) noexcept {
  return std::ranges::any_of(chunks, [](Chunk const& chunk) {
    return !chunk.task->function().resources.empty() || !chunk.input->resources().empty();
  });
}

std::string copied(std::string_view text) {
  return detail::patiently([text] { return std::string(text); });
}

// Takes the results that a dead worker had counted in its open frame.
void take_results_left(ParentEnd::Remains const& remains, Chunk const& chunk, OutcomeBlock& block) {
  try {
    block.payload = detail::Payload::copy(remains.payload);
  } catch (std::exception const& error) {
    fail(block, chunk, remains.done, remains.payload.size(), error);
  }
}

}  // namespace

Load Slot::current_load() {
  bool const writable = channel_ && bad_.empty() && !kill_reason_ && !full_;
  return ledger_.load(channel_ && channel_->acknowledging(), writable);
}

Load Slot::load() {
  Lock const lock(mutex_);
  return current_load();
}

void Slot::distrust(BadFrame const& bad) { bad_ = copied(bad.what()); }

// ---- sending

void Slot::put_each(std::span<Chunk> chunks, std::shared_ptr<detail::MessageBlock> block,
                    std::chrono::microseconds spin, PutReport& report) {
  report.result = Put::full;
  if (channel_->acknowledging() || kill_reason_) return;
  try {
    for (Chunk& chunk : chunks) {
      // Before the chunk is put: behind it nothing may fail for lack of memory.
      ledger_.reserve();
      std::uint64_t const before = channel_->tail();
      std::optional<std::uint64_t> serial;
      if (!must_wait(chunk)) serial = outbound_->put(chunk, block.get());
      full_ = !serial;
      if (full_) {
        report.advanced = channel_->tail() != before;
        break;
      }
      ledger_.add(*serial, std::move(chunk), std::move(block));
      ++report.sent;
      // Cancelled while this thread had it: the thread that cancelled did not find it anywhere.
      if (Chunk const& sent = ledger_.back().chunk; sent.unwanted()) {
        chunk = sent;
        report.unwanted = true;
      }
    }
    if (!full_) report.result = Put::sent;
  } catch (BadFrame const& bad) {
    distrust(bad);  // collect() tells it to the engine
    report.result = Put::gone;
    return;
  } catch (...) {
    report.failure = std::current_exception();
  }
  channel_->let_spin(spin);
  channel_->publish();
}

// What is carried stays in the control socket until the worker comes to its frame. If another worker
// got the element meanwhile, and died with it, nobody would hear of the end before. So an element that
// carries something is given to a worker that begins it at once.
bool Slot::must_wait(Chunk const& chunk) const {
  return !ledger_.empty() && detail::any_is_carried(chunk.input->resources());
}

Slot::PutReport Slot::put(std::span<Chunk> chunks, std::chrono::microseconds spin,
                          std::optional<std::uint64_t> returned) {
  PutReport report;
  // Relaxed: every channel of a pool has rings of the same size.
  std::uint64_t const inline_limit = inline_limit_.load(std::memory_order_relaxed);
  bool here = inline_limit != 0;
  Chunk const& first = chunks.front();
  bool const large = here && first.bytes().size() > inline_limit;
  std::shared_ptr<PeerBuffers> worker;
  if (large) {
    Lock const lock(mutex_);
    here = channel_ && bad_.empty();
    worker = peer_buffers_;
  }
  std::shared_ptr<detail::MessageBlock> block;
  try {
    if (names_resources(chunks)) buffer_pool_->trimmer().watch_resources();
    // Memory for large messages is made before the lock: it takes as long as the message is large.
    if (large && here) {
      block = first.whole_input() ? first.input->in_memory_of(*buffer_pool_, worker)
                                  : copy_for(*buffer_pool_, worker, first.bytes());
    }
    if (here) {
      for (Chunk const& chunk : chunks) Outbound::seal_large_values(chunk, inline_limit);
    }
  } catch (...) {
    report.failure = std::current_exception();
  }

  Lock const lock(mutex_);
  for (Chunk const& chunk : chunks) ledger_.offer(chunk);
  // Another worker may be here by now, which must not see memory that was made for the first one.
  here = here && channel_ && bad_.empty() && (!large || worker == peer_buffers_);
  bool const out_of_order = here && returned && *returned != ledger_.returned();
  if (out_of_order) report.result = Put::full;
  if (here && !report.failure && !out_of_order) put_each(chunks, std::move(block), spin, report);
  if (report.sent != chunks.size()) {
    std::size_t const ended = report.failure ? 1 : 0;
    for (Chunk const& chunk : chunks.subspan(report.sent + ended)) ledger_.return_unsent(chunk);
  }
  return report;
}

Slot::Put Slot::put(Chunk& chunk, std::chrono::microseconds spin) {
  PutReport const report = put(std::span(&chunk, 1), spin);
  if (report.failure) std::rethrow_exception(report.failure);
  return report.unwanted ? Put::unwanted : report.result;
}

// ---- collecting

void Slot::resolve_front(std::uint64_t count, Item& item) {
  answered_ = true;
  // The worker has written it before it published the outcome.
  if (output_) read_capture_if_possible();
  Ledger::Resolved resolved = ledger_.resolve(count);
  item.task = std::move(resolved.task);
  item.input = std::move(resolved.input);
  item.queued = resolved.queued;
  item.block.first = resolved.element;
  item.block.count = count;
  item.block.worker = index_;
  item.block.pid = pid_;
  if (!output_) return;
  OutputCapture& output = *output_;
  detail::if_possible([&] { item.output = output.take(resolved.serial, resolved.serial + count); });
  std::uint64_t const index = resolved.element - resolved.serial;
  for (auto& [serial, text] : item.output) serial += index;  // of the task
}

std::vector<os::UniqueFd> Slot::receive_descriptors(std::uint64_t number, std::size_t count,
                                                    os::Takes takes) {
  os::Packet packet;
  // Sockets may have packets in them whose descriptors block the thread that closes them.
  os::DiscardsRest const rest(packet.fds);
  try {
    // A descriptor of another kind is not touched: to ask it, or to close it, may take as long as it
    // likes.
    auto const received =
        os::receive_packet(control_.get(), packet, false, max_descriptor_bytes, takes);
    if (packet.foreign) throw BadFrame("a message came with a descriptor of another kind");
    if (received != os::ReceiveResult::received || packet.fds.size() != count) {
      throw BadFrame("a message came without its descriptor");
    }
  } catch (std::system_error const& error) {
    // Gone with its descriptor is only this one message. A descriptor that is still there would be taken
    // for that of the next one.
    if (error.code().value() == EPROTO || error.code().value() == EMFILE) throw;
    throw BadFrame(std::string("the descriptor of a message could not be received: ") +
                   error.what());
  }
  if (!std::ranges::equal(packet.bytes, std::as_bytes(std::span(&number, 1)))) {
    throw BadFrame("a message came with the descriptor of another one");
  }
  return std::exchange(packet.fds, {});
}

// A resource that the next outcome names.
void Slot::accept_resource(ParentEnd::Arrival const& arrival) {
  using Kind = detail::Resource::Kind;
  channel::ResourceRecord record{};
  if (arrival.header.where != channel::Where::ring || arrival.payload.size() != sizeof record) {
    throw BadFrame("a frame of a resource has no record of it");
  }
  if (ledger_.empty()) throw BadFrame("a resource came without an outcome that is owed");
  if (named_.size() == channel::max_named) throw BadFrame("an outcome names too many resources");
  std::memcpy(&record, arrival.payload.data(), sizeof record);
  if (record.descriptors > detail::Resource::max_descriptors) {
    throw BadFrame("a resource with " + std::to_string(record.descriptors) + " descriptors");
  }
  if (record.descriptors == 0) {
    // Nothing: nobody has it any more, as the decoding of the outcome will tell.
    if (auto given = outbound_->given(record.id)) named_.push_back(std::move(given));
    return;
  }
  try {
    named_.push_back(detail::Resource::adopt(
        record.id, static_cast<Kind>(record.kind),
        receive_descriptors(record.id, record.descriptors, os::Takes::memory_files_and_sockets),
        detail::Resource::Sender::worker));
  } catch (BadFrame const&) {
    throw;
  } catch (detail::BadResource const& bad) {
    throw BadFrame(bad.what());
  } catch (std::exception const& error) {  // this process lacks something
    missed_ = copied(error.what());
  }
}

detail::Payload Slot::receive(ParentEnd::Arrival const& arrival) {
  std::uint64_t const size = arrival.header.size;
  if (arrival.header.where == channel::Where::ring) {
    return detail::Payload::copy(arrival.payload);
  }
  os::Memfd const memory(
      std::move(receive_descriptors(arrival.header.serial, 1, os::Takes::memory_files).front()));
  if (arrival.header.where == channel::Where::block) {
    channel::BlockRef ref{};
    std::memcpy(&ref, arrival.payload.data(), sizeof ref);
    detail::Payload payload = peer_buffers_->receive(memory, ref.id, ref.offset, size);
    buffer_pool_->trimmer().expect();
    // The worker may still write to it. Decoders of values are made for that, others are not.
    if (arrival.header.kind == channel::OutboxKind::values) return payload;
    return detail::Payload(detail::Bytes(payload.bytes().begin(), payload.bytes().end()));
  }
  // Bytes that the worker could still change or cut off would be read while it does so.
  int const needed = F_SEAL_WRITE | F_SEAL_SHRINK;
  int const seals = memory.seals();
  if (seals < 0 || (seals & needed) != needed) {
    throw BadFrame("a large message came in memory that is not sealed");
  }
  if (memory.size() < size) throw BadFrame("a large message is shorter than its frame says");
  auto const mapping = std::make_shared<os::Mapping>(memory, os::Access::private_read, 0, size);
  return detail::Payload(mapping, mapping->bytes());
}

void Slot::accept_checkpoint(OutcomeBlock& block, std::uint64_t size, Report& report) {
  detail::Payload const whole = std::move(block.payload);
  std::uint64_t const own = whole.size() - size;
  Checkpoint next{whole.part(own, size), block.resources};
  if (checkpoint_ && checkpoint_->resources) report.replaced.push_back(*checkpoint_);
  // From here on nothing fails: the outcome and its state are taken together.
  block.payload = whole.part(0, own);
  checkpoint_ = std::move(next);
}

void Slot::keep_checkpoints(bool keep) {
  std::optional<Checkpoint> dropped;  // without the mutex
  Lock const lock(mutex_);
  keeps_checkpoints_ = keep;
  if (!keep) dropped.swap(checkpoint_);
}

std::optional<Slot::Checkpoint> Slot::checkpoint() const {
  Lock const lock(mutex_);
  return checkpoint_;
}

void Slot::accept(ParentEnd::Arrival const& arrival, Report& report) {
  channel::OutboxHeader const& header = arrival.header;
  if (header.kind == channel::OutboxKind::resource) return accept_resource(arrival);
  ledger_.check(header);
  if (header.state != 0 && !keeps_checkpoints_) throw BadFrame("a state came from no actor");
  bool const thrown = header.kind == channel::OutboxKind::thrown;
  Chunk const& owed = ledger_.front().chunk;
  Item item;
  item.block.kind = thrown ? OutcomeBlock::Kind::thrown : OutcomeBlock::Kind::values;
  try {
    item.block.payload = receive(arrival);
    if (!missed_.empty()) throw std::runtime_error(std::exchange(missed_, {}));
    if (!named_.empty()) item.block.resources = detail::as_shared(std::exchange(named_, {}));
    if (header.state != 0) accept_checkpoint(item.block, header.state, report);
  } catch (BadFrame const&) {
    throw;
  } catch (std::exception const& error) {
    fail(item.block, owed, header.count, header.size, error);
    named_.clear();
  }
  if (thrown) {
    item.element = owed;
    item.element->count = 1;
  }
  // A hint for the scheduler; a lie makes this worker's own chunks odd, within their bounds.
  item.block.nanoseconds = std::min<std::uint64_t>(header.nanoseconds, std::uint64_t{1} << 50);
  resolve_front(header.count, item);
  report.add(std::move(item));
}

void Slot::Report::add(Item&& item) {
  if (more_items.empty()) {
    try {
      items.push_back(std::move(item));  // moved only when there is room
      return;
    } catch (std::bad_alloc const&) {
    }
  }
  detail::patiently([&] { more_items.push_back(std::move(item)); });
}

void Slot::read_log() {
  for (std::size_t reads = 0; reads < max_log_reads; ++reads) {
    auto read = detail::patiently([&]() PROCPOOL_REQUIRES(mutex_) { return channel_->next_log(); });
    if (!read) break;
    if (log_.size() == max_log_lines) {
      log_lost_ += read->lost + 1;
      continue;
    }
    detail::patiently([&]() PROCPOOL_REQUIRES(mutex_) { log_.emplace_back(); });
    LogLine& line = log_.back();
    line.lost = read->lost + std::exchange(log_lost_, 0);
    line.level = read->level;
    line.text = std::move(read->text);
    line.pid = pid_;
    for (Ledger::Entry const& sent : ledger_) {
      std::uint64_t const ahead = read->claim - 1 - sent.serial;
      if (read->claim <= sent.serial || ahead >= sent.chunk.count) continue;
      line.task = sent.chunk.task;
      line.element = sent.chunk.first + ahead;
      break;
    }
  }
  has_log_.store(!log_.empty(), std::memory_order_release);
}

Slot::Log Slot::take_log() {
  Log log;
  Lock const lock(mutex_);
  if (channel_ && bad_.empty()) {
    try {
      read_log();
      log.more = channel_->has_log();
    } catch (BadFrame const& bad) {
      distrust(bad);  // collect() tells it to the engine
    }
  }
  log.lines = std::exchange(log_, {});
  has_log_.store(false, std::memory_order_release);
  return log;
}

bool Slot::drain(Report& report) {
  bool changed = false;
  if (bad_.empty()) {
    try {
      // Before the frames: their elements are in the ledger.
      if (channel_->has_log()) read_log();
      // Before the frames: see ParentEnd::acknowledged.
      bool const acknowledged = channel_->acknowledged();
      bool any = false;
      changed = acknowledged;
      while (auto const arrival = channel_->next()) {
        accept(*arrival, report);
        any = changed = true;
      }
      if (any) channel_->taken();
      if (acknowledged) report.returned = ledger_.revoke_all();
      if (changed) full_ = false;
    } catch (BadFrame const& bad) {
      distrust(bad);
      changed = true;
    } catch (std::bad_alloc const&) {
      // All other steps here wait for memory: only the text of a BadFrame found none.
      bad_ = "a bad frame";
      changed = true;
    }
  }
  if (!bad_.empty()) report.bad = copied(bad_);
  return changed;
}

Slot::Report Slot::collect() {
  Report report;
  Lock const lock(mutex_);
  if (channel_ && drain(report)) report.load = current_load();
  return report;
}

bool Slot::try_collect(Report& report) {
  if (!mutex_.try_lock()) return false;
  Lock const lock(mutex_, Lock::Adopt{});
  if (!has_input()) return false;
  if (drain(report)) report.load = current_load();
  return true;
}

bool Slot::read_capture() { return output_->read(ledger_.first_serial(), ledger_.end_serial()); }

void Slot::read_capture_if_possible() {
  try {
    read_capture();
  } catch (std::exception const&) {  // the output of some elements is lost, and nothing else
  }
}

bool Slot::read_output() {
  Lock const lock(mutex_);
  return output_ && read_capture();
}

// ---- the dispatcher's sleep

void Slot::park(std::uint32_t number) {
  Lock const lock(mutex_);
  parked_ = number;
  if (channel_ && spinners_ == 0) channel_->park(number);
}

bool Slot::begin_short_poll(std::uint32_t number) {
  Lock const lock(mutex_);
  parked_ = number | channel::short_poll;
  return channel_ && spinners_ == 0 && channel_->begin_short_poll(number);
}

void Slot::unpark() {
  Lock const lock(mutex_);
  parked_ = 0;
  if (channel_) channel_->unpark();
}

bool Slot::begin_spin() {
  Lock const lock(mutex_);
  if (spinners_++ == 0 && channel_) channel_->unpark();
  return channel_ && channel_->sleeps();
}

bool Slot::end_spin() {
  Lock const lock(mutex_);
  if (--spinners_ != 0 || parked_ == 0 || !channel_) return false;
  // Parked, then a last look, as the dispatcher does: what was published in between has notified nobody.
  // The number may be one that the worker has notified for; then the dispatcher is awake, or will be.
  channel_->park(parked_);
  return has_input();
}

bool Slot::has_input() const { return channel_ && (channel_->news() || !bad_.empty()); }

bool Slot::news() {
  Lock const lock(mutex_);
  return has_input();
}

void Slot::ask_to_leave() {
  Lock const lock(mutex_);
  if (channel_) channel_->ask_to_leave();
}

std::vector<std::string> Slot::task_names() const {
  std::vector<std::string> names;
  Lock const lock(mutex_);
  for (Ledger::Entry const& sent : ledger_) {
    if (!sent.chunk.task->internal()) names.push_back(sent.chunk.task->name());
  }
  return names;
}

// ---- revocation

Slot::Report Slot::revoke(std::uint64_t elements) {
  Report report;
  Lock const lock(mutex_);
  if (!channel_ || !bad_.empty()) return report;
  if (auto const from = ledger_.serial_of_last(elements)) revoke_from(*from, report);
  return report;
}

void Slot::revoke_from(std::uint64_t from, Report& report) {
  // An element that surely runs is left out, so that it stays sure: see ParentEnd::running.
  auto const running = running_of_channel();
  if (running && running->sure) from = std::max(from, running->serial + 1);
  // An element of the pool's own is for this worker alone, which waits for it. Nothing follows it that has
  // not been revoked.
  from = std::max(from, ledger_.end_of_internal());
  if (from >= ledger_.end_serial()) return;
  try {
    report.returned = ledger_.revoke_from(channel_->revoke(from));
  } catch (BadFrame const& bad) {
    distrust(bad);
  }
  report.load = current_load();
}

std::optional<Slot::TimePoint> Slot::trim(TimePoint now) {
  constexpr std::chrono::milliseconds soon{100};
  Lock const lock(mutex_);
  if (!channel_ || !bad_.empty() || kill_reason_) return std::nullopt;
  auto const next = peer_buffers_->trim(now);
  // Nothing may be put while the worker has not acknowledged a revocation.
  if (channel_->acknowledging()) return now + soon;
  try {
    auto const notices = outbound_->put_notices();
    auto const evictions = outbound_->put_evictions();
    if (notices == Outbound::Notices::put || evictions == Outbound::Notices::put) {
      channel_->publish();
    } else if (notices == Outbound::Notices::none && evictions == Outbound::Notices::none) {
      return next;
    }
    return earlier(next, now + soon);
  } catch (BadFrame const& bad) {
    distrust(bad);  // collect() tells it to the engine
    return std::nullopt;
  }
}

// ---- ending what runs

std::optional<ParentEnd::Running> Slot::running_of_channel() const {
  return ledger_.empty() ? std::nullopt : channel_->running(ledger_.first_serial());
}

Slot::TimePoint Slot::since(std::optional<Sighting>& sighting, std::uint64_t serial) const {
  if (!sighting || sighting->serial != serial) sighting = Sighting{serial, clock_()};
  return sighting->since;
}

std::optional<Slot::Running> Slot::running() {
  // Between its claim and its look a worker is for some nanoseconds; one that stays there is stopped,
  // or has begun.
  constexpr std::chrono::milliseconds undecided{20};
  Lock const lock(mutex_);
  if (!channel_ || !bad_.empty() || kill_reason_) return std::nullopt;
  // Whatever lasted until here, has lasted. An element seen from here on began before the second look
  // at the clock.
  TimePoint const now = clock_();
  auto const running = running_of_channel();
  // With news there may be its outcome among them: collected first.
  if (channel_->news()) {
    idles_.reset();
    return std::nullopt;
  }
  for (Ledger::Entry const& sent : ledger_) {
    if (!running) break;
    std::uint64_t const ahead = running->serial - sent.serial;
    if (running->serial < sent.serial || ahead >= sent.chunk.count) continue;
    idles_.reset();
    TimePoint const since = this->since(runs_, running->serial);
    if (!running->sure && now - since < undecided) return std::nullopt;
    return Running{sent.chunk.task, sent.chunk.first + ahead, running->serial, since};
  }
  note_stall(now);
  return std::nullopt;
}

std::optional<Slot::Doing> Slot::doing() const {
  Lock const lock(mutex_);
  if (!channel_ || !bad_.empty()) return std::nullopt;
  auto const running = running_of_channel();
  if (!running) return std::nullopt;
  for (Ledger::Entry const& sent : ledger_) {
    std::uint64_t const ahead = running->serial - sent.serial;
    if (running->serial < sent.serial || ahead >= sent.chunk.count) continue;
    auto const told = channel_->told_progress();
    bool const of_this = told && told->serial == running->serial;
    return Doing{sent.chunk.task, sent.chunk.first + ahead, of_this ? told->done : 0,
                 of_this ? told->total : 0};
  }
  return std::nullopt;
}

// An element that scribbled over the marks of its worker may run on for ever, and never be seen to.
// From the outside, that is a worker which does not begin what it was given. An honest one, which is
// stopped or starved by the machine, is replaced at no cost: what it has not begun goes elsewhere.
void Slot::note_stall(TimePoint now) {
  constexpr std::chrono::seconds patience{1};
  if (ledger_.empty() || !ledger_.front().chunk.task->timeout()) {
    idles_.reset();
    return;
  }
  std::uint64_t const front = ledger_.first_serial();
  if (now - since(idles_, front) < patience) return;
  try {
    // First it can begin nothing more, then it is looked at again. What it would begin all the same
    // comes back with its acknowledgement, if it lives to give that.
    bool const could_begin = channel_->may_begin(front);
    if (channel_->revoke(front) != front && could_begin) return;
  } catch (BadFrame const& bad) {
    distrust(bad);  // collect() tells it to the engine
    return;
  }
  stalled_ = true;
  kill_reason_ = KillReason{nobodys_serial, nullptr, false};
  marked_for_kill_.store(true, std::memory_order_release);
}

bool Slot::ask_to_stop(std::uint64_t serial) {
  Lock const lock(mutex_);
  if (!channel_ || !bad_.empty() || kill_reason_ || !channel_->listens(serial)) return false;
  channel_->ask_to_stop(serial);
  return true;
}

bool Slot::ask_first_to_stop() {
  Lock const lock(mutex_);
  if (!channel_ || !bad_.empty() || ledger_.empty()) return false;
  channel_->ask_to_stop(ledger_.first_serial());
  return true;
}

bool Slot::retiring() const {
  Lock const lock(mutex_);
  return channel_ && channel_->retiring();
}

bool Slot::has_left() const {
  Lock const lock(mutex_);
  return channel_ && bad_.empty() && !kill_reason_ && channel_->left() && ledger_.empty() &&
         !channel_->news();
}

Slot::Duty Slot::duty() const {
  Lock const lock(mutex_);
  if (!channel_) return {};
  bool const owes = (!ledger_.empty() && !has_input()) || channel_->acknowledging();
  return {owes, running_of_channel().has_value(), channel_->progress(),
          detail::CrashReport::begun(channel_->crash_area()), channel_->exit_hint()};
}

void Slot::nudge() {
  Lock const lock(mutex_);
  if (channel_) channel_->nudge();
}

bool Slot::holds(detail::Task const& task) const {
  Lock const lock(mutex_);
  return !kill_reason_ && ledger_.holds(task);
}

Slot::KillResult Slot::mark_for_kill(KillReason kill_reason) {
  KillResult result;
  Lock const lock(mutex_);
  if (!channel_ || !bad_.empty() || kill_reason_) return result;
  std::uint64_t const serial = kill_reason.serial;
  auto const still = [&]() PROCPOOL_REQUIRES(mutex_) {
    auto const running = running_of_channel();
    return running && running->serial == serial && !channel_->news();
  };
  if (!still()) return result;
  // First it can begin nothing more, then it is looked at again: no other element is killed. That holds
  // also if another revocation is under way, which may have left it more than this one.
  revoke_from(serial + 1, result.report);
  if (!still()) return result;
  kill_reason_ = std::move(kill_reason);
  marked_for_kill_.store(true, std::memory_order_release);
  result.marked = true;
  result.report.load = current_load();
  return result;
}

// ---- begin and end of a worker

void Slot::open(std::unique_ptr<ParentEnd> channel, os::UniqueFd control, pid_t pid,
                std::unique_ptr<OutputCapture> output) {
  // There is a process, and nobody else who knows of it.
  auto peer_buffers = detail::patiently([] { return std::make_shared<PeerBuffers>(); });
  Lock const lock(mutex_);
  channel_ = std::move(channel);
  inline_limit_.store(channel::inline_limit(channel_->ring_bytes()), std::memory_order_relaxed);
  peer_buffers_ = std::move(peer_buffers);
  control_ = std::move(control);
  pid_ = pid;
  outbound_.emplace(*channel_, *peer_buffers_, control_.get());
  ledger_.reset();
  full_ = false;
  named_.clear();
  missed_.clear();
  answered_ = false;
  runs_.reset();
  idles_.reset();
  stalled_ = false;
  kill_reason_.reset();
  marked_for_kill_.store(false, std::memory_order_release);
  bad_.clear();
  output_ = std::move(output);
}

void Slot::reap_front(Death& death) {
  Ledger::Entry const& front = ledger_.front();
  ParentEnd::Remains const remains = channel_->remains(front.serial, front.chunk.count);
  death.stage = static_cast<detail::Stage>(remains.stage);
  death.exit_hint = remains.exit_hint;
  if (death.bad.empty()) death.bad = copied(ledger_.doubt(remains));
  if (death.bad.empty() && remains.done != 0) {
    Item item;
    take_results_left(remains, front.chunk, item.block);
    resolve_front(remains.done, item);
    death.report.add(std::move(item));
  }
  if (death.bad.empty() && !remains.believable) {
    death.bad = copied("its marks of what it had begun and done cannot be true");
  }
  // Elements of a cancelled call that are claimed together are seen to run a moment late.
  if (kill_reason_ && !ledger_.empty() &&
      (kill_reason_->serial == ledger_.first_serial() ||
       (kill_reason_->cancelled && ledger_.front().chunk.task->marked_for_end()))) {
    death.kill_reason = std::move(kill_reason_);
  }
  std::uint64_t const first = ledger_.first_serial();
  if (output_) read_capture_if_possible();
  Ledger::Belief const belief = !death.bad.empty() ? Ledger::Belief::liar
                                : stalled_         ? Ledger::Belief::stalled
                                                   : Ledger::Belief::honest;
  Ledger::Attribution attribution =
      ledger_.attribute(remains, belief, death.kill_reason.has_value());
  death.attributed = std::move(attribution.chunks);
  death.poison = attribution.poison;
  if (runs_ && runs_->serial == first && !death.poison) death.seen_since = runs_->since;
  if (output_ && !death.attributed.empty()) {
    OutputCapture& output = *output_;
    detail::if_possible([&] {
      for (auto& [serial, text] : output.take(first, first + 1)) death.output = std::move(text);
    });
  }
  detail::move_behind(death.report.returned, ledger_.revoke_all());
}

Slot::Death Slot::reap() {
  Death death;
  Lock const lock(mutex_);
  if (!channel_) return death;
  if (bad_.empty()) {
    try {
      read_log();                // all that there is
    } catch (BadFrame const&) {  // drain() finds the same
    }
  }
  drain(death.report);
  death.bad = std::move(death.report.bad);
  auto const crash_area = channel_->crash_area();
  detail::if_possible([&] { death.crash = detail::CrashReport::read(crash_area); });
  if (!ledger_.empty()) reap_front(death);
  death.useful = answered_ || !death.attributed.empty();
  death.pid = pid_;
  outbound_.reset();
  channel_.reset();
  peer_buffers_.reset();
  death.control = std::move(control_);
  output_.reset();
  named_.clear();
  ledger_.reset();
  death.report.load = current_load();
  return death;
}

}  // namespace procpool::inline v0_1::parent
