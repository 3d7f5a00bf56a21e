#include <procpool/detail/engine.hpp>

#include <stdexcept>

#include <procpool/detail/call_options.hpp>

#include "engine/in_process.hpp"
#include "engine/local/local_engine.hpp"

namespace procpool::inline v0::detail {

Engine::~Engine() = default;

std::unique_ptr<Engine> make_engine(PoolOptions const& options) {
  auto const positive = [](std::chrono::milliseconds time, char const* what) {
    if (time <= std::chrono::milliseconds::zero()) {
      throw std::invalid_argument(std::string("PoolOptions::") + what + " is " +
                                  std::to_string(time.count()) + " ms; it must be positive");
    }
  };
  positive(options.start_timeout, "start_timeout");
  positive(options.stop_grace, "stop_grace");
  positive(options.term_grace, "term_grace");
  if (options.at_exit_deadline) positive(*options.at_exit_deadline, "at_exit_deadline");
  detail::check_options(options.defaults);
  if (options.workers) options.workers->checked("workers", most_workers);
  if (options.max_tasks_per_worker) {
    options.max_tasks_per_worker->checked("max_tasks_per_worker", most_tasks_per_worker);
  }
  for (auto const& [name, value] : options.environment) {
    if (name.empty() || name.find_first_of(std::string_view("=\0", 2)) != std::string::npos ||
        value.find('\0') != std::string::npos) {
      throw std::invalid_argument("PoolOptions::environment has a variable that cannot be: \"" +
                                  name + "\"");
    }
  }
  if (options.start == Start::in_process) return std::make_unique<InProcessEngine>(options);
  return std::make_unique<LocalEngine>(options);
}

}  // namespace procpool::inline v0::detail
