// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#pragma once

// LiveViewWriter: shows a pool to procpool-top, see protocol/live_view.hpp. Until a viewer asks it costs two
// descriptors and a page of memory. It belongs to the dispatcher's thread.

#include <cstdint>

#include "os/fd.hpp"
#include "os/memfd.hpp"

namespace procpool::inline v0_1::parent {

class Core;

class LiveViewWriter {
 public:
  // Throws std::system_error.
  explicit LiveViewWriter(Core const& core);

  // To be polled edge-triggered: readable when a viewer has asked, and hung up while none is there.
  int fd() const noexcept { return requests_.get(); }
  // Writes a view if a viewer has asked. Throws std::system_error and std::bad_alloc.
  void answer();

 private:
  bool asked() noexcept;
  void write_header(std::uint64_t number, std::uint64_t size);

  Core const& core_;
  os::UniqueFd requests_;
  os::Memfd file_;
  std::uint64_t number_ = 0;  // of the last view
};

}  // namespace procpool::inline v0_1::parent
