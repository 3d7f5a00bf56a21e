#pragma once

// LocalEngine: runs tasks in worker processes on this machine. A thin layer over the core, which
// the program's threads use directly, and the dispatcher, which owns the workers.
//
// Any thread may call anything. In a forked child of the process that made it, the engine is inert:
// calls throw SetupError, and destruction does nothing.

#include <memory>

#include <procpool/detail/engine/engine.hpp>

namespace procpool::inline v0 {

namespace parent {
class Core;
class Dispatcher;
}  // namespace parent

class LocalEngine final : public detail::Engine {
 public:
  explicit LocalEngine(PoolOptions const& options);
  // Kills what has not ended.
  ~LocalEngine() override;

  std::shared_ptr<detail::Task> make_task(detail::Function&& function,
                                          detail::TaskOptions&& options) override;
  void open_stream(std::shared_ptr<detail::Task> const& task) override;
  void append(std::shared_ptr<detail::Task> const& task, detail::InputBuffer&& input,
              bool last) override;
  void seal(std::shared_ptr<detail::Task> const& task) override;
  void cancel(std::shared_ptr<detail::Task> const& task, Running running) override;
  void close() override;
  bool join_until(std::optional<TimePoint> deadline) override;
  Summary shutdown(End end, std::optional<TimePoint> deadline) override;
  unsigned size() const noexcept override;
  Stats stats() const override;
  std::vector<WorkerStats> worker_stats() const override;
  void resize(std::size_t workers) override;
  void help(detail::Task& task) override;
  detail::MessageMemory* message_memory() noexcept override;
  std::size_t input_elements(detail::Task const& task) const override;

 private:
  void check_process() const;
  void prepare();  // to take elements

  unsigned const forks_;
  std::unique_ptr<parent::Core> core_;
  std::unique_ptr<parent::Dispatcher> dispatcher_;
};

}  // namespace procpool::inline v0
