// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#pragma once

// IncomingPayloads: finds the payloads of inbox frames that do not lie in the ring. They lie in a
// file that serves once, or in message memory of the parent, whose views are kept.
//
// The worker's loop only. A death at any point leaves files without names.

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include <procpool/detail/engine/sync_points.hpp>

#include "channel/layout.hpp"
#include "os/fd.hpp"
#include "os/mapping.hpp"
#include "os/memfd.hpp"

namespace procpool::inline v0_1::channel::inline PROCPOOL_SYNC_BUILD {

class IncomingPayloads {
 public:
  // `control` is the socket on which descriptors come; it outlives this object.
  explicit IncomingPayloads(os::UniqueFd const& control) noexcept : control_(control) {}

  // Finds the payload of the frame that lies at `frame` in the ring. False: a task has taken its
  // descriptor.
  bool load(InboxHeader const& header, std::byte const* frame);
  // Until the next load() or drop().
  std::span<std::byte const> bytes() const noexcept { return bytes_; }
  // The reason why the payload, which is then empty, could not be received or mapped. Else empty.
  std::string const& unreadable() const noexcept { return unreadable_; }
  // Hands over the mapping of a payload in a file, to keep it beyond drop().
  os::Mapping take_file() noexcept { return std::exchange(file_, os::Mapping()); }
  // Hands over the descriptors of a resource.
  std::vector<os::UniqueFd> take_descriptors() noexcept { return std::exchange(descriptors_, {}); }
  void drop() noexcept;

  // The parent never names this block again.
  void forget_block(std::uint64_t id) { blocks_.erase(id); }
  // A descriptor was lost, so the contents of its file are never readable here.
  bool lost() const noexcept { return lost_; }
  std::size_t footprint() const noexcept;

 private:
  struct Viewed {
    os::Memfd file;  // kept where addresses are scarce
    os::Mapping view;
  };

  bool load_file(InboxHeader const& header);
  bool load_block(InboxHeader const& header, std::byte const* frame);
  // The next packet, which has these bytes and so many descriptors. Empty: a task has taken it; or no
  // descriptor number was free, and unreadable_ says so.
  std::vector<os::UniqueFd> receive_descriptors(std::span<std::byte const> bytes,
                                                std::size_t count);
  os::UniqueFd receive_descriptor();

  os::UniqueFd const& control_;
  std::span<std::byte const> bytes_;
  std::vector<os::UniqueFd> descriptors_;  // of the current frame, if it is a resource
  os::Mapping file_;                       // of the current payload, unless its view is kept
  std::unordered_map<std::uint64_t, Viewed> blocks_;
  std::string unreadable_;
  bool lost_ = false;
};

}  // namespace procpool::inline v0_1::channel::inline PROCPOOL_SYNC_BUILD
