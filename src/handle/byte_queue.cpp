// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#include "handle/byte_queue.hpp"

#include <time.h>

#include <algorithm>
#include <bit>
#include <cerrno>
#include <cstring>
#include <stdexcept>
#include <string>
#include <system_error>
#include <utility>

#include "engine/element_scope.hpp"
#include "os/process.hpp"
#include "os/thread_id.hpp"

namespace procpool::inline v0_1::handle::inline PROCPOOL_SYNC_BUILD {
namespace {

using Clock = std::chrono::steady_clock;

constexpr std::int64_t look_interval = 100;  // milliseconds
// A producer that finds no room for descriptors on their way tries again. If the system has no
// memory for them, the push fails after so many tries.
constexpr std::chrono::milliseconds tray_retry{5};
constexpr int max_memory_tries = 50;
constexpr std::size_t min_hand = 4096;
constexpr std::size_t min_buffer = 256;
// The buffer of an item below that has room for somewhat larger ones.
constexpr std::size_t large_item = std::size_t{64} << 10;
// A hand that was larger gives its memory back with its item.
constexpr std::size_t kept_hand = std::size_t{1} << 20;

std::uint64_t next_serial() noexcept {
  static std::atomic<std::uint64_t> last{0};
  return last.fetch_add(1, std::memory_order_relaxed) + 1;  // relaxed: only the numbers must differ
}

bool is_over(ByteQueue::Deadline const& deadline) noexcept {
  return deadline && (deadline == ByteQueue::at_once || Clock::now() >= *deadline);
}

// Of the coarse clock, which a busy consumer can afford for each item.
std::int64_t milliseconds_now() noexcept {
  timespec now{};
  ::clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
  return std::int64_t{now.tv_sec} * 1000 + now.tv_nsec / 1'000'000;
}

bool is_stopped(std::uint32_t thread) noexcept {
  char const state = os::thread_state(static_cast<pid_t>(thread));
  return state == 'T' || state == 't';
}

}  // namespace

// A lock of the queue, if it was taken.
class ByteQueue::Locked {
 public:
  explicit Locked(os::ProcessLock* lock) noexcept : lock_(lock) {}
  Locked(Locked&& other) noexcept : lock_(std::exchange(other.lock_, nullptr)) {}
  Locked& operator=(Locked&&) = delete;
  ~Locked() {
    if (lock_ != nullptr) lock_->unlock();
  }

  explicit operator bool() const noexcept { return lock_ != nullptr; }

 private:
  os::ProcessLock* lock_;
};

// ---- begin and end

template <class Source>
ByteQueue::ByteQueue(std::in_place_t, Source&& source)
    : memory_(std::forward<Source>(source)),
      words_(memory_.words()),
      producers_(words_.producers, memory_.file().identity()),
      consumers_(words_.consumers, memory_.file().identity()),
      ring_(memory_),
      seats_(memory_),
      items_(words_.items),
      room_(words_.room),
      serial_(next_serial()),
      redeliver_(memory_.shape().redeliver != 0) {}

std::shared_ptr<ByteQueue> ByteQueue::create(QueueShape const& shape) {
  std::shared_ptr<ByteQueue> made(new ByteQueue(std::in_place, shape));
  if (shape.tray != 0) made->tray_.emplace();
  return made;
}

std::shared_ptr<ByteQueue> ByteQueue::adopt(std::vector<os::UniqueFd>& descriptors) {
  if (descriptors.empty()) throw std::runtime_error("a queue came without its memory");
  std::shared_ptr<ByteQueue> made(new ByteQueue(std::in_place, std::move(descriptors.front())));
  bool const has_tray = made->shape().tray != 0;
  if (descriptors.size() != (has_tray ? 3 : 1)) {
    throw std::runtime_error("a queue came with another number of descriptors than it has");
  }
  if (has_tray) made->tray_.emplace(std::move(descriptors[1]), std::move(descriptors[2]));
  return made;
}

std::vector<int> ByteQueue::descriptors() const {
  if (!tray_) return {file().fd()};
  return {file().fd(), tray_->in(), tray_->out()};
}

ByteQueue::~ByteQueue() { seats_.leave_all(); }

// ---- the locks

ByteQueue::Locked ByteQueue::lock_producers(Deadline const& deadline) {
  bool const taken = producers_.try_lock() ||
                     wait_for(producers_, words_.tail, deadline) != os::LockResult::timed_out;
  return Locked(taken ? &producers_ : nullptr);
}

ByteQueue::Locked ByteQueue::lock_consumers(Deadline const& deadline) {
  if (consumers_.try_lock()) return Locked(&consumers_);
  os::LockResult const result = wait_for(consumers_, words_.head, deadline);
  if (result == os::LockResult::timed_out) return Locked(nullptr);
  Locked locked(&consumers_);
  if (result == os::LockResult::holder_died) seats_.settle(ring_.head());
  return locked;
}

// No code of the user runs under a lock, so a holder that moves nothing is junk in the word, if it is
// not stopped. Looks are counted instead of time, because this process may have been stopped as well.
os::LockResult ByteQueue::wait_for(os::ProcessLock& lock, std::atomic<std::uint64_t> const& moves,
                                   Deadline const& deadline) const {
  constexpr int max_unchanged = 64;  // looks
  TimePoint now = Clock::now();
  TimePoint const end = deadline ? std::max(*deadline, now + lock_grace) : TimePoint::max();
  int unchanged = 0;
  std::uint32_t holder = 0;
  std::uint64_t position = 0;
  for (;;) {
    os::LockResult const result = lock.lock(std::min(end, now + patience_ / max_unchanged));
    if (result != os::LockResult::timed_out) return result;
    now = Clock::now();
    if (now >= end) return result;
    std::uint32_t const holder_now = lock.holder();
    std::uint64_t const position_now = moves.load(std::memory_order_relaxed);
    if (holder_now != holder || position_now != position || is_stopped(holder_now)) {
      holder = holder_now;
      position = position_now;
      unchanged = 0;
    } else if (++unchanged == max_unchanged) {
      memory_.break_queue();
    }
  }
}

// ---- push

ByteQueue::Push ByteQueue::push(std::span<std::byte const> item, Deadline const& deadline,
                                std::span<int const> descriptors) {
  if (item.size() > ring_.max_size()) {
    throw std::length_error("procpool: an item of " + std::to_string(item.size()) +
                            " bytes is larger than its queue (QueueOptions::bytes), which takes " +
                            std::to_string(ring_.max_size()) + " at most");
  }
  for (int tries = 0;;) {
    memory_.check();
    Put result = Put::no_tray;
    try {
      result = try_push(item, descriptors, deadline);
    } catch (std::system_error const& error) {
      bool const passes = error.code().value() == ENOBUFS || error.code().value() == ENOMEM;
      if (!passes || ++tries == max_memory_tries) throw;
    }
    if (result == Put::done || result == Put::closed) {
      if (result == Put::done) items_.notify_one();
      // A consumer wakes one producer, and others may sleep.
      if (room_.anybody() && ring_.may_fit(0)) room_.notify_one();
      return result == Put::done ? Push::done : Push::closed;
    }
    if (is_over(deadline)) return Push::full;
    auto const closed = [&] { return words_.closed.load(std::memory_order_relaxed) != 0; };
    if (result == Put::no_tray) {
      // Descriptors of any queue, and of other programs of the user, may be in the way.
      TimePoint const next = Clock::now() + tray_retry;
      room_.sleep(deadline && *deadline < next ? *deadline : next, closed);
      continue;
    }
    auto const ready = [&] { return ring_.may_fit(item.size()) || closed(); };
    if (!room_.spin(ready)) room_.sleep(deadline, ready);
  }
}

ByteQueue::Put ByteQueue::try_push(std::span<std::byte const> item,
                                   std::span<int const> descriptors, Deadline const& deadline) {
  Locked const lock = lock_producers(deadline);
  if (!lock) return Put::full;
  // Relaxed: the lock orders it.
  if (words_.closed.load(std::memory_order_relaxed) != 0) return Put::closed;
  QueueRing::Room const room = ring_.room_for(item.size());
  if (room == QueueRing::Room::none) return Put::full;
  if (room == QueueRing::Room::grows) {
    Locked const consumers = lock_consumers(deadline);
    if (!consumers) return Put::full;
    ring_.grow(item.size());
  }
  std::uint32_t packet = 0;
  if (!descriptors.empty()) {
    packet = next_packet();
    if (!put_packet(packet, descriptors, deadline)) return Put::no_tray;
    PROCPOOL_SYNC_POINT(queue_tray_filled);
  }
  ring_.push(item, packet);
  return Put::done;
}

// False: there is no room now.
bool ByteQueue::put_packet(std::uint32_t packet, std::span<int const> descriptors,
                           Deadline const& deadline) {
  QueueTray::Put put = tray_->put(packet, descriptors);
  if (put == QueueTray::Put::no_room && ring_.empty()) {
    // The packets belong to no item, and no consumer comes to drop them.
    Locked const consumers = lock_consumers(deadline);
    if (!consumers) return false;
    tray_->clear();
    put = tray_->put(packet, descriptors);
    // Another process fills the tray without the lock.
    if (put == QueueTray::Put::no_room && tray_->is_full()) memory_.break_queue();
  }
  if (put == QueueTray::Put::closed) memory_.break_queue();
  return put == QueueTray::Put::done;
}

// A number is never used again, also if this thread dies: its packet would be taken for another one.
std::uint32_t ByteQueue::next_packet() noexcept {
  // Relaxed: only producers use it, under their lock.
  std::uint32_t packet = words_.packets.load(std::memory_order_relaxed) + 1;
  if (packet == 0) packet = 1;
  words_.packets.store(packet, std::memory_order_relaxed);
  return packet;
}

// ---- pop

ByteQueue::Pop ByteQueue::pop(detail::Bytes& item, Deadline const& deadline,
                              std::vector<os::UniqueFd>* descriptors) {
  memory_.check();
  QueueHand* const hand = hand_of_thread(deadline);
  if (hand == nullptr) return Pop::nothing;
  if (hand->kept) {
    item = std::move(*hand->kept);
    hand->kept.reset();
    hand->is_last_try = true;
    return Pop::item;
  }
  done(*hand);
  auto const ready = [&] {
    return !ring_.empty() || (words_.closed.load(std::memory_order_acquire) != 0 &&
                              !(redeliver_ && seats_.any_may_return()));
  };
  Taken taken{item, descriptors};
  for (;;) {
    memory_.check();
    switch (try_take(*hand, taken, deadline)) {
      case Take::item: return Pop::item;
      case Take::ended: return Pop::ended;
      case Take::no_lock: return Pop::nothing;
      case Take::needs_memory: get_memory(*hand, item, taken.size); continue;
      case Take::nothing: break;
    }
    if (is_over(deadline)) {
      give_memory_back();
      return Pop::nothing;
    }
    if (items_.spin(ready)) continue;
    give_memory_back();
    items_.sleep(deadline, ready);
  }
}

ByteQueue::Take ByteQueue::try_take(QueueHand& hand, Taken& taken, Deadline const& deadline) {
  std::optional<QueueRing::Front> front;
  {
    Locked const lock = lock_consumers(deadline);
    if (!lock) return Take::no_lock;
    // Ahead of the look at the ring: all that was pushed before the close is seen.
    bool const closed = words_.closed.load(std::memory_order_acquire) != 0;
    if (redeliver_ && is_look_due()) {
      if (auto const orphan = seats_.find_orphan(ring_.head())) {
        // Relaxed: a hint. There may be more of them.
        next_look_.store(0, std::memory_order_relaxed);
        taken.size = orphan->item.size;
        Take const took = take_over(hand, taken.item, *orphan);
        // This thread may have been woken for an item that it leaves in the ring.
        if (ring_.front()) items_.notify_one();
        return took;
      }
    }
    front = ring_.front();
    if (!front) {
      return closed && !(redeliver_ && seats_.any_may_return()) ? Take::ended : Take::nothing;
    }
    taken.size = front->size;
    if (!has_memory(hand, taken.item, taken.size)) return Take::needs_memory;
    take_front(hand, taken, *front);
  }
  // A producer wakes one consumer, and others may sleep.
  if (front->left.items != 0) items_.notify_one();
  if (ring_.is_half_empty(front->left)) room_.notify_one();
  return Take::item;
}

void ByteQueue::take_front(QueueHand& hand, Taken& taken, QueueRing::Front const& front) {
  bool const has_packet = front.packet != 0;
  if (has_packet) {
    if (!tray_ || taken.descriptors == nullptr) memory_.break_queue();
    // Without its packet an item cannot be decoded, which costs that item.
    *taken.descriptors = tray_->look(front.packet).value_or(std::vector<os::UniqueFd>());
  }
  taken.item.resize(front.size);
  ring_.copy(front, taken.item.data());
  fill(hand, taken.item, 0);
  // The descriptors go with this thread: the item is not given again.
  auto const attempts = static_cast<std::uint16_t>(has_packet ? shape().redeliver : 0);
  QueueSeats::Item const item{front.position.items, front.size, attempts};
  // If this thread dies before head moves, the hand is void; if later, it is full.
  seats_.take(hand.seat, item);
  ring_.pop(front);
  seats_.hold(hand.seat, item);
  if (has_packet && !taken.descriptors->empty()) tray_->drop();
}

ByteQueue::Take ByteQueue::take_over(QueueHand& hand, detail::Bytes& item,
                                     QueueSeats::Orphan const& orphan) {
  std::size_t const size = orphan.item.size;
  if (size > ring_.max_size()) memory_.break_queue();
  if (!has_memory(hand, item, size)) return Take::needs_memory;
  item.resize(size);
  if (size != 0) {
    os::Mapping const bytes = memory_.map_hand(orphan.seat, size, os::Access::read_only);
    std::memcpy(item.data(), bytes.data(), size);
  }
  auto const attempts = static_cast<std::uint16_t>(orphan.item.attempts + 1);
  fill(hand, item, attempts);
  // If this thread dies in between, both hands have the item: it is given twice.
  seats_.hold(hand.seat, {orphan.item.number, size, attempts});
  seats_.free(orphan.seat);
  return Take::item;
}

void ByteQueue::fill(QueueHand& hand, detail::Bytes const& item, std::uint16_t attempts) noexcept {
  if (redeliver_ && !item.empty()) std::memcpy(hand.bytes.data(), item.data(), item.size());
  hand.full = true;
  hand.attempts = attempts;
  hand.element = ElementScope::depth();
}

bool ByteQueue::has_memory(QueueHand const& hand, detail::Bytes const& item,
                           std::uint64_t size) const noexcept {
  return item.capacity() >= size && (!redeliver_ || hand.bytes.size() >= size);
}

// Without the lock: others need not wait for it, and a refusal leaves the item where it is.
void ByteQueue::get_memory(QueueHand& hand, detail::Bytes& item, std::size_t size) {
  item.clear();
  item.reserve(size < large_item ? std::bit_ceil(std::max(size, min_buffer)) : size);
  if (!redeliver_ || hand.bytes.size() >= size) return;
  hand.bytes = os::Mapping();
  std::size_t const most = ring_.max_size();
  hand.bytes = memory_.map_hand(hand.seat, std::min(std::bit_ceil(std::max(size, min_hand)), most),
                                os::Access::read_write);
}

bool ByteQueue::is_look_due() noexcept {
  std::int64_t const now = milliseconds_now();
  if (now < next_look_.load(std::memory_order_relaxed)) return false;
  next_look_.store(now + look_interval, std::memory_order_relaxed);
  return true;
}

void ByteQueue::give_memory_back() {
  if (!ring_.is_large() || !ring_.empty() || !producers_.try_lock()) return;
  Locked const lock(&producers_);
  ring_.shrink();
}

// ---- hands

QueueHand* ByteQueue::hand_of_thread(Deadline const& deadline) {
  if (QueueHand* const found = ThreadHands::find(*this)) return found;
  Locked const lock = lock_consumers(deadline);
  if (!lock) return nullptr;
  QueueHand& hand = ThreadHands::add(*this);
  try {
    hand.seat = seats_.claim(ring_.head());
  } catch (...) {
    ThreadHands::remove(hand);
    throw;
  }
  return &hand;
}

void ByteQueue::done(QueueHand& hand) noexcept {
  if (!hand.full) return;
  hand.full = false;
  hand.kept.reset();
  hand.is_last_try = false;
  seats_.clear(hand.seat);
  if (hand.bytes.size() > kept_hand) {
    hand.bytes = os::Mapping();
    memory_.discard_hand(hand.seat);
  }
  // Consumers of a closed queue wait until no item may come back.
  if (redeliver_ && words_.closed.load(std::memory_order_relaxed) != 0) items_.notify_all();
}

void ByteQueue::leave(QueueHand& hand) noexcept {
  done(hand);
  seats_.leave(hand.seat);
}

// Once: an item that asks for more memory than there can be would stop this consumer for good.
void ByteQueue::keep(detail::Bytes& item) noexcept {
  QueueHand* const hand = ThreadHands::find(*this);
  if (hand != nullptr && hand->full && !hand->is_last_try) hand->kept = std::move(item);
}

void ByteQueue::done() noexcept {
  if (QueueHand* const hand = ThreadHands::find(*this)) done(*hand);
}

unsigned ByteQueue::attempts() const noexcept {
  QueueHand const* const hand = ThreadHands::find(*this);
  return hand != nullptr && hand->full ? hand->attempts : 0;
}

// ---- the rest

void ByteQueue::close() {
  memory_.check();
  {
    Locked const lock = lock_producers({});
    // Release: see try_take(). A later push sees it by the lock.
    words_.closed.store(1, std::memory_order_release);
    PROCPOOL_SYNC_POINT(queue_closed);
  }
  items_.notify_all();
  room_.notify_all();
}

bool ByteQueue::closed() const {
  memory_.check();
  return words_.closed.load(std::memory_order_acquire) != 0;
}

bool ByteQueue::drained() {
  if (!closed() || !ring_.empty()) return false;
  if (!redeliver_) return true;
  Locked const lock = lock_consumers(at_once);
  if (!lock) return false;
  static_cast<void>(seats_.find_orphan(ring_.head()));
  return !seats_.any_may_return();
}

std::size_t ByteQueue::size() const {
  memory_.check();
  return ring_.items();
}

std::uint64_t ByteQueue::lost() {
  memory_.check();
  if (Locked const lock = lock_consumers(at_once)) {
    static_cast<void>(seats_.find_orphan(ring_.head()));
  }
  return words_.lost.load(std::memory_order_acquire);
}

}  // namespace procpool::inline v0_1::handle::inline PROCPOOL_SYNC_BUILD
