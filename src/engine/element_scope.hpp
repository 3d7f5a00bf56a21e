// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#pragma once

// ElementScope: this thread runs an element. Scopes nest if pools run in process. Other parts of the
// library that keep something for an element ask to be told of its end.
//
// An element that is left in the middle, by the end of its thread or process, has no end.

#include <atomic>

namespace procpool::inline v0_1 {

class ElementScope {
 public:
  // Called on the thread of the element that has ended, with its depth.
  using OnEnd = void (*)(unsigned depth) noexcept;

  ElementScope() noexcept { ++depth_; }
  ElementScope(ElementScope const&) = delete;
  ElementScope& operator=(ElementScope const&) = delete;
  ~ElementScope() { --depth_; }

  // The element has ended. The scope may go on with the next one.
  void end() noexcept {
    // Relaxed: the thread that has something to be told of has set it.
    if (OnEnd const on_end = on_end_.load(std::memory_order_relaxed)) on_end(depth_);
  }

  // How deep in elements this thread is; 0: not in any.
  static unsigned depth() noexcept { return depth_; }
  // True if the end of an element matters to somebody.
  static bool is_followed() noexcept { return on_end_.load(std::memory_order_relaxed) != nullptr; }
  static void follow(OnEnd on_end) noexcept { on_end_.store(on_end, std::memory_order_relaxed); }

 private:
  static constinit thread_local unsigned depth_;
  static constinit std::atomic<OnEnd> on_end_;
};

}  // namespace procpool::inline v0_1
