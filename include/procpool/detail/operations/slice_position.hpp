// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#pragma once

// SlicePosition: where in its call's range a task is that goes through a slice of it, so that
// random streams do not depend on how the range was cut. In the worker, on the element's thread,
// while the slice is gone through; threads that it starts may look.

#include <cstdint>

#include <procpool/detail/export.hpp>

namespace procpool::inline v0_1 {
class ElementContext;
}

namespace procpool::inline v0_1::detail {

class PROCPOOL_API SlicePosition {
 public:
  enum class Of : std::uint8_t {
    whole_slice,   // index is that of its first element: the function goes through it by itself
    each_element,  // index is that of the element whose call runs
  };

  // Outside of a task it stands for nothing.
  SlicePosition(Of of, std::uint64_t first) noexcept;
  SlicePosition(SlicePosition const&) = delete;
  SlicePosition& operator=(SlicePosition const&) = delete;
  ~SlicePosition();

  // No atomic: threads of the task that look were started by it after this, and a loop that never
  // looks can be compiled as if this were not there.
  void at(std::uint64_t index) noexcept { index_ = index; }

  Of of() const noexcept { return of_; }
  std::uint64_t index() const noexcept { return index_; }

 private:
  Of const of_;
  std::uint64_t index_;
  ElementContext* const context_;
  SlicePosition const* before_ = nullptr;
};

}  // namespace procpool::inline v0_1::detail
