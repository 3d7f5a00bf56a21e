// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#pragma once

// The handles in an item of a queue or of a pipe. The item's bytes name them, behind the value; their
// descriptors go beside the item, in one packet. Any thread.
//
// The receiver does not trust the sender: each entry and each descriptor is checked.

#include <vector>

#include <procpool/detail/engine/bytes.hpp>
#include <procpool/detail/handle/resource.hpp>

#include "os/fd.hpp"

namespace procpool::inline v0_1::handle {

// Appends what names them. Returns the descriptors to send, which stay theirs. Throws
// SerializationError when these are too many.
std::vector<int> append_handles(detail::Bytes& item, detail::Resource::List const& handles);
// The same for an item that has none. False: it has some, or there is no memory.
bool append_no_handles(detail::Bytes& item, detail::Resource::List const& handles) noexcept;

// From now on this process believes objects (SharedObject) in items, whose offsets it follows: it is
// a worker. Else it takes only those from an item that live here already.
void believe_objects() noexcept;

// Takes off what names them. Throws SerializationError when the descriptors are not what the bytes
// say, SetupError when this process lacks memory or descriptors.
detail::Resource::List adopt_handles(detail::Bytes& item, std::vector<os::UniqueFd> descriptors);

}  // namespace procpool::inline v0_1::handle
