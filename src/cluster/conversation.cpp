// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#include "cluster/conversation.hpp"

#include <algorithm>
#include <utility>

#include "engine/patience.hpp"
#include "os/wire.hpp"

namespace procpool::inline v0_1::cluster {
namespace {

constexpr std::uint32_t magic = 0x5050434c;
constexpr std::uint64_t longest_message = std::uint64_t{1} << 40;

}  // namespace

std::optional<Envelope> open_envelope(std::span<std::byte const> bytes) {
  os::WireReader reader(bytes);
  bool const ours = reader.number<std::uint32_t>() == magic;
  Envelope envelope;
  envelope.session = reader.number<std::uint64_t>();
  envelope.number = reader.number<std::uint64_t>();
  envelope.rest = reader.rest();
  if (!ours || reader.bad() || envelope.number == 0) return std::nullopt;
  return envelope;
}

detail::Bytes sign_of_life() {
  detail::Bytes out;
  os::WireWriter<detail::Bytes> writer(out);
  writer.number(magic);
  writer.number(session_of_none);
  writer.number(std::uint64_t{1});
  return out;
}

// ---- sending

void Conversation::post(detail::Bytes&& message, Lane lane) {
  std::size_t const size = message.size();
  auto& queue = lane == Lane::urgent ? urgent_ : in_order_;
  detail::patiently([&] { queue.push_back(std::move(message)); });
  waiting_bytes_ += size;
}

detail::Bytes Conversation::packet(Form form, std::size_t body) {
  constexpr std::size_t head = 32;
  detail::Bytes out;
  detail::patiently([&] { out.reserve(head + body); });  // and nothing that follows needs memory
  os::WireWriter<detail::Bytes> writer(out);
  writer.number(magic);
  writer.number(session_);
  writer.number(++sent_);
  writer.number(static_cast<std::uint8_t>(form));
  return out;
}

std::optional<detail::Bytes> Conversation::next() {
  if (taken_ != 0) {
    detail::Bytes out = packet(Form::taken, sizeof(std::uint64_t));
    os::WireWriter<detail::Bytes>(out).number(std::exchange(taken_, 0));
    return out;
  }
  auto const whole = [this](std::deque<detail::Bytes>& queue) {
    detail::Bytes out = packet(Form::whole, queue.front().size());
    detail::append(out, queue.front().data(), queue.front().size());
    waiting_bytes_ -= queue.front().size();
    queue.pop_front();
    return out;
  };
  if (!urgent_.empty()) return whole(urgent_);
  if (in_order_.empty()) return std::nullopt;
  detail::Bytes const& first = in_order_.front();
  if (first.size() <= piece_) return whole(in_order_);
  if (under_way_ == max_pieces) return std::nullopt;
  std::size_t const size = std::min(piece_, first.size() - offset_);
  detail::Bytes out = packet(Form::piece, 2 * sizeof(std::uint64_t) + size);
  os::WireWriter<detail::Bytes> writer(out);
  writer.number(static_cast<std::uint64_t>(first.size()));
  writer.number(static_cast<std::uint64_t>(offset_));
  detail::append(out, first.data() + offset_, size);
  ++under_way_;
  waiting_bytes_ -= size;
  offset_ += size;
  if (offset_ == first.size()) {
    in_order_.pop_front();
    offset_ = 0;
  }
  return out;
}

// ---- receiving

bool Conversation::accept(Envelope const& envelope, std::vector<detail::Bytes>& messages) {
  if (envelope.number <= received_ || early_.contains(envelope.number)) {
    ++dropped_;
    return true;
  }
  if (envelope.number != received_ + 1) {
    if (early_.size() == max_early) return false;
    detail::patiently([&] {
      early_.emplace(envelope.number, detail::Bytes(envelope.rest.begin(), envelope.rest.end()));
    });
    return true;
  }
  ++received_;
  auto const take = [&](std::span<std::byte const> rest) {
    return detail::patiently([&] { return this->take(rest, messages); });
  };
  if (!take(envelope.rest)) return false;
  while (!early_.empty() && early_.begin()->first == received_ + 1) {
    auto const node = early_.extract(early_.begin());
    ++received_;
    if (!take(node.mapped())) return false;
  }
  return true;
}

// Throws std::bad_alloc, and may be called again then.
bool Conversation::take(std::span<std::byte const> rest, std::vector<detail::Bytes>& messages) {
  messages.reserve(messages.size() + 1);
  os::WireReader reader(rest);
  auto const form = reader.number<std::uint8_t>();
  if (reader.bad()) return false;
  switch (static_cast<Form>(form)) {
    case Form::whole:
      messages.emplace_back(reader.rest().begin(), reader.rest().end());
      return true;
    case Form::taken: {
      auto const pieces = reader.number<std::uint64_t>();
      if (reader.bad() || pieces > under_way_) return false;
      under_way_ -= pieces;
      return true;
    }
    case Form::piece: break;
    default: return false;
  }
  auto const total = reader.number<std::uint64_t>();
  auto const offset = reader.number<std::uint64_t>();
  auto const bytes = reader.rest();
  if (reader.bad() || bytes.empty() || total > longest_message) return false;
  if (!large_) {
    large_.emplace();
    total_ = total;
  }
  // Grows as it comes, whatever the total says.
  if (total != total_ || offset != large_->size() || bytes.size() > total - offset) return false;
  detail::append(*large_, bytes.data(), bytes.size());
  ++taken_;
  if (large_->size() == total_) {
    messages.push_back(std::move(*large_));
    large_.reset();
  }
  return true;
}

}  // namespace procpool::inline v0_1::cluster
