#pragma once

// worker_local: an object for each worker, that its tasks find again: a connection, a model, a cache. What
// a static variable does, with a type and a moment of making of its own. Isolated like everything in a
// worker: neither the program nor another worker sees it, and it goes with its worker.
//
// For the thread that runs tasks. In the program (with Start::in_process) there is one for each thread.

#include <optional>
#include <stdexcept>
#include <type_traits>
#include <utility>

namespace procpool::inline v0 {

template <class T>
class WorkerLocal {
 public:
  /// Makes the object anew, in an initializer for example, and gives it.
  template <class... Args>
  static T& emplace(Args&&... args) {
    return place().emplace(std::forward<Args>(args)...);
  }

  /// The object; made by its default constructor if there is none. Throws std::logic_error where it has
  /// no such constructor.
  static T& get() {
    if (!place()) {
      if constexpr (std::is_default_constructible_v<T>) {
        place().emplace();
      } else {
        throw std::logic_error(
            "procpool: WorkerLocal::get() was called before emplace() had made the object; do that "
            "in PoolOptions::initializer");
      }
    }
    return *place();
  }

  static bool exists() noexcept { return place().has_value(); }
  static void reset() noexcept { place().reset(); }

 private:
  static std::optional<T>& place() noexcept {
    static thread_local std::optional<T> object;
    return object;
  }
};

}  // namespace procpool::inline v0
