// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#include "cluster/host_ledger.hpp"

#include <iterator>
#include <limits>

#include "engine/patience.hpp"

namespace procpool::inline v0_1::cluster {

using parent::Chunk;

void HostLedger::hold(Chunk chunk, std::uint64_t serial) {
  Key const key{chunk.task->id(), chunk.first};
  elements_ += chunk.count;
  auto const place = detail::patiently([&] { return held_.emplace(key, Range{{}, serial}).first; });
  place->second.chunk = std::move(chunk);
  ++given_.at(serial).ranges;
}

std::uint64_t HostLedger::give(std::size_t place, Chunk chunk, bool is_long) {
  std::uint64_t const serial = ++last_serial_;
  detail::patiently(
      [&] { given_.emplace(serial, Given{place, is_long, false, chunk.estimate_ns}); });
  hold(std::move(chunk), serial);
  return serial;
}

HostLedger::Granted HostLedger::grant(std::uint64_t serial) {
  Given& given = given_.at(serial);
  given.granted = true;
  return {given.estimate_ns, given.is_long};
}

// A chunk counts as one until its last element has gone.
HostLedger::Taken HostLedger::taken(Chunk chunk, std::uint64_t serial) {
  auto const given = given_.find(serial);
  Taken result;
  result.place = given->second.place;
  result.serial = serial;
  result.is_long = given->second.is_long;
  result.granted = given->second.granted;
  result.last = given->second.ranges == 0;
  result.amount = chunk.amount();
  if (!result.last) result.amount.chunks = result.amount.keyed_chunks = 0;
  result.chunk = std::move(chunk);
  if (result.last) given_.erase(given);
  return result;
}

std::optional<HostLedger::Taken> HostLedger::answer(std::uint64_t task, std::uint64_t first,
                                                    std::uint64_t count) {
  auto const behind = held_.upper_bound({task, first});
  if (count == 0 || behind == held_.begin()) return std::nullopt;
  auto const found = std::prev(behind);
  Chunk const& whole = found->second.chunk;
  std::uint64_t const serial = found->second.serial;
  bool const inside = found->first.first == task && first - whole.first < whole.count &&
                      count <= whole.count - (first - whole.first);
  if (!inside || !given_.at(serial).granted) return std::nullopt;
  Chunk rest = std::move(found->second.chunk);
  held_.erase(found);
  elements_ -= rest.count;
  --given_.at(serial).ranges;
  if (std::uint64_t const before = first - rest.first; before != 0) {
    hold(rest.take_front(before), serial);
  }
  Chunk answered = rest.take_front(count);
  if (rest.count != 0) hold(std::move(rest), serial);
  return taken(std::move(answered), serial);
}

std::vector<HostLedger::Taken> HostLedger::withdraw(
    std::function<Chunk(std::size_t, Chunk&)> const& cut, Withdraw& told) {
  std::vector<Taken> all;
  std::map<std::uint64_t, Key> open;  // what is not granted lies in one piece
  for (auto const& [key, range] : held_) {
    if (given_.at(range.serial).granted) continue;
    detail::patiently([&, of = range.serial, at = key] { open.emplace(of, at); });
  }
  for (auto at = open.rbegin(); at != open.rend(); ++at) {
    auto const found = held_.find(at->second);
    Chunk& chunk = found->second.chunk;
    Chunk back = cut(given_.at(at->first).place, chunk);
    if (back.count == 0) continue;
    elements_ -= back.count;
    given_.at(at->first).estimate_ns = chunk.count == 0 ? 0 : chunk.estimate_ns;
    detail::patiently([&] { told.parts.push_back({at->first, chunk.count}); });
    if (chunk.count == 0) {
      held_.erase(found);
      --given_.at(at->first).ranges;
    }
    detail::patiently([&] { all.emplace_back(); });
    all.back() = taken(std::move(back), at->first);
  }
  return all;
}

std::vector<HostLedger::Taken> HostLedger::lose() {
  std::vector<Taken> all;
  detail::patiently([&] { all.reserve(held_.size()); });
  for (auto& [key, range] : std::exchange(held_, {})) {
    --given_.at(range.serial).ranges;
    all.push_back(taken(std::move(range.chunk), range.serial));
  }
  elements_ = 0;
  return all;
}

bool HostLedger::holds(std::uint64_t task) const {
  auto const found = held_.lower_bound({task, 0});
  return found != held_.end() && found->first.first == task;
}

}  // namespace procpool::inline v0_1::cluster
