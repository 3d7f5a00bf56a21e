#pragma once

// ResultMemory: the blocks that a worker writes its large results to. A block that was sent is lent to
// the parent: its memory is not touched before the parent gives it back, which it does when nobody there
// refers to it any more. Until the parent lets it go, memory is kept for the next result: at most eight
// blocks and a GiB.
//
// Used by the worker's loop alone. The parent may read a block while a faulty task writes to it: its
// decoder is made for that. When the worker dies, what it has lent lives on in the parent's views.

#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "codec/message_memory.hpp"

namespace procpool::inline v0::channel {

// What a worker keeps at most, and what the parent keeps views of.
inline constexpr std::size_t max_result_blocks = 8;
inline constexpr std::size_t max_result_bytes = (std::size_t{1} << 30) + (std::size_t{64} << 20);

class ResultMemory final : public detail::MessageMemory {
 public:
  ResultMemory();

  // Nothing in a forked child, which has none of these blocks.
  std::shared_ptr<detail::MessageBlock> take(std::size_t bytes) override;

  void lease(detail::MessageBlock const& block) noexcept;
  void give_back(std::uint64_t id) noexcept;  // of a block that was lent; others are ignored
  void let_go() noexcept;                     // of all that is not being written now

  std::size_t footprint() const noexcept;

 private:
  struct Kept {
    std::shared_ptr<detail::MessageBlock> block;
    bool leased = false;

    bool free() const noexcept { return !leased && block.use_count() == 1; }
  };

  std::vector<Kept> kept_;
  pid_t const process_;
};

}  // namespace procpool::inline v0::channel
