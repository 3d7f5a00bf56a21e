// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#include "cluster/messages.hpp"

#include <cstring>
#include <utility>

namespace procpool::inline v0_1::cluster {
namespace {

template <std::size_t I = 0>
std::optional<Message> decode_as(std::uint8_t kind, FieldReader& reader) {
  if constexpr (I == std::variant_size_v<Message>) {
    return std::nullopt;
  } else {
    if (kind != I) return decode_as<I + 1>(kind, reader);
    std::variant_alternative_t<I, Message> message;
    reader(message);
    if (!reader.good()) return std::nullopt;
    return Message(std::move(message));
  }
}

}  // namespace

detail::Bytes encode(Message const& message) {
  detail::Bytes out;
  FieldWriter writer(out);
  writer(static_cast<std::uint8_t>(message.index()));
  std::visit([&](auto const& one) { writer(one); }, message);
  return out;
}

std::optional<Message> decode(std::span<std::byte const> bytes) {
  if (bytes.empty()) return std::nullopt;
  FieldReader reader(bytes.subspan(1));
  return decode_as(std::to_integer<std::uint8_t>(bytes.front()), reader);
}

std::optional<std::vector<std::uint64_t>> ends_of(std::span<std::byte const> bytes,
                                                  std::uint64_t count, std::size_t argument_size) {
  std::vector<std::uint64_t> ends;
  if (count == 0) return std::nullopt;
  if (argument_size != 0) {
    bool const whole = bytes.size() % argument_size == 0 && bytes.size() / argument_size == count;
    return whole ? std::optional(ends) : std::nullopt;
  }
  std::uint64_t end = 0;
  for (std::uint64_t i = 0; i < count; ++i) {
    std::uint64_t size = 0;
    if (bytes.size() - end < sizeof size) return std::nullopt;
    std::memcpy(&size, bytes.data() + end, sizeof size);
    end += sizeof size;
    if (bytes.size() - end < size) return std::nullopt;
    end += size;
    if (count > 1) ends.push_back(end);
  }
  if (end != bytes.size()) return std::nullopt;
  return ends;
}

}  // namespace procpool::inline v0_1::cluster
