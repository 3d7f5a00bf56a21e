// Growth of a message being written: geometric, and exact for large blocks. Strong: if memory is
// refused, the sink is as it was.

#include <procpool/detail/archive/sink.hpp>

#include <algorithm>

namespace procpool::inline v0::detail {

void Sink::grow(std::size_t bytes) {
  auto const used_bytes = used();
  Bytes larger;
  larger.resize(std::max({used_bytes + bytes, used_bytes * 2, std::size_t{64}}));
  if (larger.size() >= huge_from) advise_huge(larger.data(), larger.size());
  if (used_bytes != 0) std::memcpy(larger.data(), out_.data(), used_bytes);
  out_.swap(larger);
  cursor_ = out_.data() + used_bytes;
  limit_ = out_.data() + out_.size();
}

}  // namespace procpool::inline v0::detail
