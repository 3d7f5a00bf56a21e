// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#pragma once

// WorkerLocal: an object for each worker, which its tasks find again: a connection, a model, a
// cache. It is like a static variable, but is named by its type, and made when the program says so.
// Neither the program nor another worker sees it. It ends with its worker.

#include <optional>
#include <stdexcept>
#include <type_traits>
#include <utility>

namespace procpool::inline v0_1 {

/// The T of this worker. For the thread that runs tasks. In the program (with Start::in_process)
/// there is one for each thread.
template <class T>
class WorkerLocal {
 public:
  /// Makes the object, in an initializer for example, and returns it. Destroys the object that was
  /// there.
  template <class... Args>
  static T& emplace(Args&&... args) {
    return place().emplace(std::forward<Args>(args)...);
  }

  /// The object. The default constructor makes it if there is none. Throws std::logic_error if
  /// there is no such constructor.
  static T& get() {
    if (!place()) {
      if constexpr (std::is_default_constructible_v<T>) {
        place().emplace();
      } else {
        throw std::logic_error(
            "procpool: WorkerLocal::get() was called before emplace() had made the object; do that "
            "in StartOptions::initializer");
      }
    }
    return *place();
  }

  /// True if there is an object.
  static bool exists() noexcept { return place().has_value(); }
  /// Destroys the object, if there is one.
  static void reset() noexcept { place().reset(); }

 private:
  static std::optional<T>& place() noexcept {
    static thread_local std::optional<T> object;
    return object;
  }
};

}  // namespace procpool::inline v0_1
