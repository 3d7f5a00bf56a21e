// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#pragma once

// The two rings of a channel as the worker maps them. The words in them may be loaded on any thread.

#include "channel/layout.hpp"
#include "os/mapping.hpp"

namespace procpool::inline v0_1::channel {

struct WorkerRings {
  os::RingMapping inbox;
  os::RingMapping outbox;

  InboxWords const& in() const noexcept {
    return *reinterpret_cast<InboxWords const*>(inbox.control());
  }
  OutboxWords& out() const noexcept { return *reinterpret_cast<OutboxWords*>(outbox.control()); }
  std::byte const* in_at(std::uint64_t cursor) const noexcept {
    return inbox.ring() + (cursor & (inbox.ring_bytes() - 1));
  }
  std::byte* out_at(std::uint64_t cursor) const noexcept {
    return outbox.ring() + (cursor & (outbox.ring_bytes() - 1));
  }
};

}  // namespace procpool::inline v0_1::channel
