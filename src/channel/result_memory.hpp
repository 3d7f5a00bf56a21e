// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#pragma once

// ResultMemory: the blocks to which a worker writes its large results. A block that was sent is leased
// to the parent: the worker does not touch it before the parent returns it, which happens when nothing
// there refers to it any more. Blocks are kept for the next results until the parent says let_go: at
// most eight blocks and a GiB.
//
// Used by the worker's loop alone. The parent may read a block while a faulty task writes to it; its
// decoder allows for that. After the worker's death leased blocks live on in the parent's views.

#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "codec/message_memory.hpp"

namespace procpool::inline v0_1::channel {

// The limits of what a worker keeps, and of the views that the parent keeps.
inline constexpr std::size_t max_result_blocks = 8;
inline constexpr std::size_t max_result_bytes = (std::size_t{1} << 30) + (std::size_t{64} << 20);

class ResultMemory final : public detail::MessageMemory {
 public:
  ResultMemory();

  // Null in a forked child, where these blocks are not mapped.
  std::shared_ptr<detail::MessageBlock> take(std::size_t bytes) override;

  void lease(detail::MessageBlock const& block) noexcept;
  void release(std::uint64_t id) noexcept;  // a leased block; others are ignored
  void let_go() noexcept;                   // keeps nothing but the block that is being written

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

}  // namespace procpool::inline v0_1::channel
