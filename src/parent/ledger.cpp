// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#include "parent/ledger.hpp"

#include <algorithm>
#include <string>

#include "engine/patience.hpp"

namespace procpool::inline v0_1::parent {

using channel::BadFrame;

namespace {

// The results of such a function have one size, and no length ahead of each.
bool has_fixed_results(detail::Function const& function) noexcept {
  return function.returns_nothing || function.result_size != 0;
}

std::string range_text(std::uint64_t serial, std::uint64_t count) {
  return std::to_string(serial) + " + " + std::to_string(count);
}

}  // namespace

bool Ledger::holds(detail::Task const& task) const noexcept {
  return std::ranges::any_of(
      entries_, [&task](Entry const& entry) { return entry.chunk.task.get() == &task; });
}

void Ledger::reset() noexcept {
  entries_.clear();
  held_ = Amount();
  given_ = 0;
  answered_ = 0;
}

// ---- sending

void Ledger::reserve() {
  constexpr std::size_t min_capacity = 16;
  if (entries_.full()) entries_.set_capacity(std::max(min_capacity, 2 * entries_.capacity()));
}

void Ledger::add(std::uint64_t serial, Chunk&& chunk,
                 std::shared_ptr<detail::MessageBlock>&& block) noexcept {
  Amount const amount = chunk.amount();
  held_ += amount;
  given_ += amount.elements;
  entries_.push_back({serial, std::move(chunk), std::move(block)});
}

// ---- outcomes

void Ledger::check(channel::OutboxHeader const& header) const {
  if (empty()) throw BadFrame("an outcome came where none is owed");
  Chunk const& owed = front().chunk;
  if (header.serial != front().serial || header.count == 0 || header.count > owed.count) {
    throw BadFrame("an outcome came for elements " + range_text(header.serial, header.count) +
                   " where " + range_text(front().serial, owed.count) + " are owed");
  }
  bool const thrown = header.kind == channel::OutboxKind::thrown;
  if ((thrown || header.where != channel::Where::ring) && header.count != 1) {
    throw BadFrame("a frame for one element came for " + std::to_string(header.count));
  }
  if (header.state != 0 && (header.count != 1 || header.state > header.size)) {
    throw BadFrame("a state of " + std::to_string(header.state) + " bytes came with " +
                   std::to_string(header.count) + " outcomes of " + std::to_string(header.size));
  }
  detail::Function const& function = owed.task->function();
  std::uint64_t const size = header.size - header.state;
  if (!thrown && has_fixed_results(function) && size != header.count * function.result_size) {
    throw BadFrame("results of " + std::to_string(size) + " bytes came where " +
                   std::to_string(header.count) + " of " + std::to_string(function.result_size) +
                   " are owed");
  }
}

Ledger::Resolved Ledger::resolve(std::uint64_t count) noexcept {
  Entry& entry = entries_.front();
  Chunk& chunk = entry.chunk;
  Resolved resolved{nullptr, chunk.first, entry.serial, nullptr, chunk.input->queued()};
  Amount const before = chunk.amount();
  if (count == chunk.count) {
    held_ -= before;
    answered_ += before.elements;
    resolved.task = std::move(chunk.task);
    if (!chunk.input->resources().empty()) resolved.input = std::move(chunk.input);
    entries_.pop_front();
    return resolved;
  }
  resolved.task = chunk.task;
  entry.serial += count;
  chunk.drop_front(count);
  Amount const ended = before - chunk.amount();
  held_ -= ended;
  answered_ += ended.elements;
  return resolved;
}

// ---- revocation

std::optional<std::uint64_t> Ledger::serial_of_last(std::uint64_t elements) const noexcept {
  std::optional<std::uint64_t> serial;
  std::uint64_t left = elements;
  for (auto entry = entries_.rbegin(); entry != entries_.rend() && left != 0; ++entry) {
    std::uint64_t const some = std::min(left, entry->chunk.count);
    serial = entry->end() - some;
    left -= some;
  }
  return serial;
}

std::uint64_t Ledger::end_of_internal() const noexcept {
  for (auto entry = entries_.rbegin(); entry != entries_.rend(); ++entry) {
    if (entry->chunk.task->internal()) return entry->end();
  }
  return 0;
}

Chunks Ledger::revoke_from(std::uint64_t serial) {
  Chunks revoked;
  while (!empty() && back().end() > serial) {
    Entry& last = entries_.back();
    Amount removed = last.chunk.amount();
    Chunk chunk;
    if (last.serial >= serial) {
      chunk = std::move(last.chunk);
      entries_.pop_back();
    } else {
      chunk = last.chunk.split_off(serial - last.serial);
      removed -= last.chunk.amount();
    }
    held_ -= removed;
    given_ -= removed.elements;
    returned_ += removed.elements;
    detail::patiently([&] { revoked.push_front(std::move(chunk)); });
  }
  return revoked;
}

// ---- the death of the worker

std::string_view Ledger::doubt(Remains const& remains) const noexcept {
  detail::Function const& function = front().chunk.task->function();
  bool const possible = remains.done == 0 || !has_fixed_results(function) ||
                        remains.payload.size() == remains.done * function.result_size;
  return possible ? "" : "its open frame has not the size of the results it counts";
}

Ledger::Attribution Ledger::attribute(Remains const& remains, Belief belief, bool killed) {
  Attribution attribution;
  auto const attribute_front = [&](std::uint64_t elements) {
    Entry& entry = entries_.front();
    Amount const before = entry.chunk.amount();
    entry.serial += elements;
    Chunk cause = entry.chunk.take_front(elements);
    bool const is_over = entry.chunk.count == 0;
    held_ -= is_over ? before : before - entry.chunk.amount();
    if (is_over) entries_.pop_front();
    detail::patiently([&] { attribution.chunks.push_back(std::move(cause)); });
  };
  if (empty()) return attribution;
  if (belief != Belief::liar) {
    unsigned& deaths = entries_.front().chunk.attempt_deaths;
    deaths += belief == Belief::stalled ? max_attempt_deaths / 2 : 1;
    attribution.poison = !remains.begun && deaths >= max_attempt_deaths;
    if (remains.begun || attribution.poison || killed) attribute_front(1);
    return attribution;
  }
  // The outcomes of a liar are not believed. The cause is everything that it claims to have begun,
  // and in any case the element that it owed next: another worker might do the same with that, and so
  // on for ever.
  attribute_front(1);
  while (!empty() && front().serial < remains.claim) {
    attribute_front(std::min(front().chunk.count, remains.claim - front().serial));
  }
  return attribution;
}

}  // namespace procpool::inline v0_1::parent
