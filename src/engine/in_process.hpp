#pragma once

// The engine of Start::in_process. append() runs each element at once, in the calling thread,
// through the same trampolines and the same bytes as a worker. Nothing is isolated: a crash of a
// task is a crash of the program, and a debugger sees it.
//
// Any thread may call anything. Tasks of several threads run side by side.

#include <atomic>
#include <cstdint>
#include <optional>

#include <procpool/detail/engine/engine.hpp>
#include <procpool/detail/engine/mutex.hpp>

namespace procpool::inline v0 {

class InProcessEngine final : public detail::Engine {
 public:
  explicit InProcessEngine(PoolOptions const& options);

  void open_stream(std::shared_ptr<detail::Task> const& task) override;
  void append(std::shared_ptr<detail::Task> const& task, detail::InputBuffer&& input,
              bool last) override;
  void seal(std::shared_ptr<detail::Task> const& task) override { task->seal(); }
  void cancel(std::shared_ptr<detail::Task> const& task, Running running) override;
  void close() override;
  bool join_until(std::optional<TimePoint> deadline) override;
  Summary shutdown(End end, std::optional<TimePoint> deadline) override;
  unsigned size() const noexcept override { return 1; }
  Stats stats() const override;
  std::vector<WorkerStats> worker_stats() const override { return {}; }
  void help(detail::Task&) override {}  // nothing is left to do when append() returns
  void resize(std::size_t) override {}  // there are no workers
  std::size_t input_elements(detail::Task const& task) const override;

 private:
  ExceptionTypes const exceptions_;
  std::atomic<bool> closed_{false};
  std::atomic<bool> ending_{false};  // streams take no further inputs
  std::atomic<bool> ended_{false};   // by cancel or kill: further elements do not run
  mutable detail::Mutex mutex_;
  Stats stats_ PROCPOOL_GUARDED_BY(mutex_);
  std::uint64_t cancelled_ PROCPOOL_GUARDED_BY(mutex_) = 0;
  std::optional<std::uint64_t> seed_ PROCPOOL_GUARDED_BY(mutex_);
  std::uint64_t calls_ PROCPOOL_GUARDED_BY(mutex_) = 0;
};

}  // namespace procpool::inline v0
