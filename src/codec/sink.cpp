// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// Growth of a message being written: geometric, and exact for large blocks. Only the latter go into
// message memory, if the buffer has that: memory there is real from the first byte on, and what
// grows step by step would leave half of it empty. Strong: if memory is refused, the sink is as it
// was.

#include <procpool/detail/codec/archive/sink.hpp>

#include <algorithm>

namespace procpool::inline v0_1::detail {

constexpr std::size_t max_after = 4096;

void Sink::grow(std::size_t bytes) {
  auto const used_bytes = used();
  bool const exact = bytes >= used_bytes;
  Bytes larger(exact ? out_.get_allocator().for_message() : Bytes::allocator_type());
  // Room for what is small and follows the block.
  auto const after = exact ? std::min(bytes / 16, max_after) : std::size_t{0};
  larger.resize(std::max({used_bytes + bytes + after, used_bytes * 2, std::size_t{64}}));
  if (larger.size() >= huge_from) advise_huge(larger.data(), larger.size());
  if (used_bytes != 0) std::memcpy(larger.data(), out_.data(), used_bytes);
  out_.swap(larger);
  cursor_ = out_.data() + used_bytes;
  limit_ = out_.data() + out_.size();
}

}  // namespace procpool::inline v0_1::detail
