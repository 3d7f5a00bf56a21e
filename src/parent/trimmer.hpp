// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#pragma once

// Trimmer: lets memory go that a pool has not used for a while. It has a list of the objects that
// keep such memory, and one time at which it looks at them next. The dispatcher's thread looks; it
// is woken when an object keeps something while no look is due.

#include <atomic>
#include <chrono>
#include <cstddef>
#include <functional>
#include <memory>
#include <optional>
#include <vector>

#include <procpool/detail/engine/deadline.hpp>
#include <procpool/detail/engine/mutex.hpp>
#include <procpool/detail/handle/resource.hpp>

namespace procpool::inline v0_1::parent {

using detail::TimePoint;

// Memory is kept for this time after its last use.
inline constexpr std::chrono::milliseconds memory_is_kept{1000};
// Workers let go of resources that have ended at most this time later.
inline constexpr std::chrono::milliseconds resources_are_kept{100};

// Of two times to look again, of which there may be none.
constexpr std::optional<TimePoint> earlier(std::optional<TimePoint> a, std::optional<TimePoint> b) {
  if (!a || !b) return a ? a : b;
  return *a < *b ? a : b;
}

class Trimmable {
 public:
  // Lets go what has not been used for a while. Returns when to look again; nothing: not until
  // something is expected.
  virtual std::optional<TimePoint> trim(TimePoint now) = 0;

 protected:
  ~Trimmable() = default;
};

class Trimmer final : public detail::Resource::EndListener,
                      public std::enable_shared_from_this<Trimmer> {
 public:
  // `wake` wakes the thread that calls look(). It is called under the mutex, which may be taken
  // under any other.
  explicit Trimmer(std::function<void()> wake = {});
  Trimmer(Trimmer const&) = delete;
  Trimmer& operator=(Trimmer const&) = delete;

  // Objects are looked at in the order of their addition, and live until close().
  void add(Trimmable& object);
  // There is something to trim, now or soon. Any thread.
  void expect() noexcept;
  // Workers were sent a resource: from now on, an end of one is something to trim. It is looked at
  // earlier than other things, but no more often than every 100 ms.
  void watch_resources();
  void resource_ended() noexcept override;
  // Trims all objects if it is time to. Returns the time of the next look. One thread.
  std::optional<TimePoint> look(TimePoint now);
  // Looks at nothing and wakes no thread from now on.
  void close() noexcept;

 private:
  Trimmable* object(std::size_t index) const;  // null: there are no more

  void wake() noexcept;

  std::atomic<bool> expected_{false};
  std::atomic<bool> some_ended_{false};  // resources, since the last look
  std::atomic<bool> watches_{false};
  // Of the thread that looks.
  std::optional<TimePoint> next_;
  std::optional<TimePoint> last_;
  mutable detail::Mutex mutex_;
  std::function<void()> wake_ PROCPOOL_GUARDED_BY(mutex_);
  std::vector<Trimmable*> objects_ PROCPOOL_GUARDED_BY(mutex_);
};

}  // namespace procpool::inline v0_1::parent
