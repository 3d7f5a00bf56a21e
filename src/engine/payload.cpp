// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#include <algorithm>
#include <cstring>

#include <procpool/detail/engine/bytes.hpp>

namespace procpool::inline v0_1::detail {

void append(Bytes& out, void const* from, std::size_t size) {
  // insert() would copy byte by byte, because of the allocator.
  std::size_t const before = out.size();
  out.resize(before + size);
  if (size != 0) std::memcpy(out.data() + before, from, size);
}

Payload::Payload(Bytes bytes) : Payload(std::make_shared<Bytes const>(std::move(bytes))) {}

Payload::Payload(std::shared_ptr<Bytes const> bytes) : bytes_(*bytes), owner_(std::move(bytes)) {}

Payload Payload::copy(std::span<std::byte const> bytes) {
  Payload payload;
  if (bytes.size() <= payload.few_.size()) {
    std::ranges::copy(bytes, payload.few_.begin());
    payload.bytes_ = {static_cast<std::byte const*>(nullptr), bytes.size()};
  } else {
    auto const memory = std::make_shared_for_overwrite<std::byte[]>(bytes.size());
    std::memcpy(memory.get(), bytes.data(), bytes.size());
    payload = Payload(memory, {memory.get(), bytes.size()});
  }
  return payload;
}

Payload Payload::part(std::size_t first, std::size_t count) const {
  constexpr std::size_t few = 4096;
  auto const bytes = this->bytes().subspan(first, count);
  return count <= few ? copy(bytes) : Payload(owner_, bytes);
}

}  // namespace procpool::inline v0_1::detail
