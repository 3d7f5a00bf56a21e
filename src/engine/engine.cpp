#include <procpool/detail/engine/engine.hpp>

#include <stdexcept>
#include <utility>

#include <procpool/detail/operations/call_options.hpp>

#include "engine/in_process.hpp"
#include "os/affinity.hpp"
#include "parent/local_engine.hpp"

namespace procpool::inline v0::detail {

Engine::~Engine() = default;

std::shared_ptr<Task> Engine::make_task(Function&& function, TaskOptions&& options) {
  return std::make_shared<Task>(std::move(function), std::move(options));
}

namespace {

constexpr std::size_t max_name = 255;

// The name is part of each error text, of the titles of the workers, and of lines in the log.
void check_name(std::string const& name) {
  if (name.size() > max_name) {
    throw std::invalid_argument("PoolOptions::name has " + std::to_string(name.size()) +
                                " bytes; it must have at most " + std::to_string(max_name));
  }
  auto const is_control = [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; };
  if (std::ranges::any_of(name, is_control)) {
    throw std::invalid_argument(
        "PoolOptions::name has a control character, such as the end of a line");
  }
}

void check_scheduling(PoolOptions const& options) {
  constexpr int max_nice = 39;
  if (options.nice < 0 || options.nice > max_nice) {
    throw std::invalid_argument("PoolOptions::nice is " + std::to_string(options.nice) +
                                "; it must be from 0 to " + std::to_string(max_nice));
  }
  for (int const cpu : options.cpus) {
    if (os::may_run_on(cpu)) continue;
    throw std::invalid_argument("PoolOptions::cpus names CPU " + std::to_string(cpu) +
                                ", on which this program may not run");
  }
}

}  // namespace

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
  if (options.ask_grace < std::chrono::milliseconds::zero()) {
    throw std::invalid_argument("PoolOptions::ask_grace is negative");
  }
  if (options.recycle_after) positive(*options.recycle_after, "recycle_after");
  if (options.idle_timeout) positive(*options.idle_timeout, "idle_timeout");
  if (options.queue_limit) options.queue_limit->checked("queue_limit", max_queue_limit);
  options.nesting_limit.checked("nesting_limit", max_nesting);
  options.output_limit.checked("output_limit", max_output);
  check_scheduling(options);
  check_name(options.name);
  detail::check_options(options.defaults);
  if (options.defaults.stream) {
    throw std::invalid_argument("procpool: PoolOptions::defaults has a stream, so that all calls "
                                "would draw the same random "
                                "numbers; name it with the call: pool.with({.stream = n})");
  }
  if (options.workers) options.workers->checked("workers", max_workers);
  if (options.max_tasks_per_worker) {
    options.max_tasks_per_worker->checked("max_tasks_per_worker", max_tasks_per_worker);
  }
  auto const sensible = [](auto const& limit, std::uint64_t least, char const* what) {
    if (!limit) return;
    auto const value = [&] {
      if constexpr (requires { limit->count(); }) {
        return limit->count();
      } else {
        return *limit;
      }
    }();
    if (value >= static_cast<decltype(value)>(least)) return;
    throw std::invalid_argument(std::string("PoolOptions::") + what + " is " +
                                std::to_string(value) + "; it must be at least " +
                                std::to_string(least));
  };
  sensible(options.recycle_above, std::uint64_t{1} << 20, "recycle_above");
  sensible(options.limits.memory, std::uint64_t{1} << 20, "limits.memory");
  sensible(options.limits.address_space, std::uint64_t{1} << 20, "limits.address_space");
  sensible(options.limits.cpu_time, 1, "limits.cpu_time");
  sensible(options.limits.open_files, 8, "limits.open_files");
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
