// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#include "cluster/pool_options.hpp"

#include <map>
#include <memory>
#include <string>
#include <utility>

#include <procpool/detail/call/function.hpp>
#include <procpool/errors.hpp>

#include "cluster/fields.hpp"
#include "engine/listed_exceptions.hpp"
#include "protocol/function_registration.hpp"

namespace procpool::inline v0_1 {

struct detail::ExceptionTypesAccess {
  static ExceptionTypes of(std::span<ExceptionFunction const> functions) {
    return ExceptionTypes(functions);
  }
};

namespace cluster {
namespace {

using Call = std::optional<detail::Bytes>;
using Time = std::chrono::milliseconds;

struct Words {
  std::string name;
  Start method = Start::spawn;
  Time start_timeout{};
  Call initializer{}, exit_handler{}, preload{};
  std::map<std::string, std::string> environment{};
  std::string worker_program{};
  std::optional<std::uint64_t> max_tasks{}, recycle_above{};
  std::optional<Time> recycle_after{}, idle_timeout{};
  std::optional<std::uint64_t> memory{}, address_space{}, open_files{}, core_size{};
  std::optional<std::chrono::seconds> cpu_time{};
  Time stop_grace{}, ask_grace{}, term_grace{};
  bool ignore_sigterm = false;
  std::optional<std::uint64_t> cpus_per_worker{};
  std::int32_t nice = 0;
  Output output = Output::inherit;
  std::uint64_t output_limit = 0;
  std::uint64_t nesting_limit = 0;
  bool harden = false;
  bool tells_events = false;
  std::string exceptions{};

  template <class A>
  void fields(A& a) {
    a(name, method, start_timeout, initializer, exit_handler, preload, environment, worker_program,
      max_tasks, recycle_above, recycle_after, idle_timeout, memory, address_space, open_files,
      core_size, cpu_time, stop_grace, ask_grace, term_grace, ignore_sigterm, cpus_per_worker, nice,
      output, output_limit, nesting_limit, harden, tells_events, exceptions);
  }
};

Call words_of(std::optional<BoundCall> const& call, char const* what) {
  if (!call) return std::nullopt;
  detail::Function const& function = detail::BoundCallAccess::function(*call);
  if (!function.resources.empty()) {
    throw SetupError(std::string("PoolOptions::start.") + what +
                     " has a handle among its arguments, which does not go to other machines");
  }
  return protocol::encode_registration(function);
}

std::optional<BoundCall> call_of(Call const& words) {
  if (!words) return std::nullopt;
  protocol::FunctionRegistration const registration = protocol::decode_registration(*words);
  auto function = std::make_shared<detail::Function>();
  function->code = registration.code;
  function->state =
      std::make_shared<detail::Bytes>(registration.state.begin(), registration.state.end());
  function->argument_size = registration.argument_size;
  function->result_size = registration.result_size;
  function->returns_nothing = registration.returns_nothing;
  return detail::BoundCallAccess::make(std::move(function));
}

std::optional<std::uint64_t> number_of(std::optional<Count> const& count) {
  return count ? std::optional(count->value()) : std::nullopt;
}
template <class Unit>
std::optional<Unit> time_of(std::optional<Saturating<Unit>> const& time) {
  return time ? std::optional<Unit>(*time) : std::nullopt;
}

void refuse(bool given, char const* what) {
  if (!given) return;
  throw SetupError(std::string("PoolOptions::") + what +
                   " has no meaning on other machines, and this pool has workers there");
}

}  // namespace

template <>
inline constexpr std::uint64_t last_of<Start> = static_cast<std::uint64_t>(Start::forkserver);
template <>
inline constexpr std::uint64_t last_of<Output> = static_cast<std::uint64_t>(Output::relay);

detail::Bytes encode_pool_options(PoolOptions const& options) {
  refuse(!options.placement.cpus.empty(), "placement.cpus");
  refuse(!options.placement.cgroup.empty(), "placement.cgroup");
  refuse(static_cast<bool>(options.start.worker_environment), "start.worker_environment");
  refuse(!options.trace.empty(), "trace");
  refuse(options.start.method == Start::in_process, "start.method = Start::in_process");
  Words words;
  words.name = options.name;
  words.method = options.start.method;
  words.start_timeout = options.start.timeout;
  words.initializer = words_of(options.start.initializer, "initializer");
  words.exit_handler = words_of(options.start.exit_handler, "exit_handler");
  words.preload = words_of(options.start.preload, "preload");
  words.environment = options.start.environment;
  words.worker_program = options.start.worker_program;
  words.max_tasks = number_of(options.lifetime.max_tasks);
  words.recycle_above = options.lifetime.recycle_above;
  words.recycle_after = time_of(options.lifetime.recycle_after);
  words.idle_timeout = time_of(options.lifetime.idle_timeout);
  words.memory = options.limits.memory;
  words.address_space = options.limits.address_space;
  words.open_files = options.limits.open_files;
  words.core_size = options.limits.core_size;
  words.cpu_time = time_of(options.limits.cpu_time);
  words.stop_grace = options.shutdown.stop_grace;
  words.ask_grace = options.shutdown.ask_grace;
  words.term_grace = options.shutdown.term_grace;
  words.ignore_sigterm = options.shutdown.ignore_sigterm;
  words.cpus_per_worker = number_of(options.placement.cpus_per_worker);
  words.nice = options.placement.nice;
  words.output = options.output.mode;
  words.output_limit = options.output.limit.value();
  words.nesting_limit = options.nesting_limit.value();
  words.harden = options.harden;
  words.tells_events = static_cast<bool>(options.on_event);
  words.exceptions = ListedExceptions::text_of(options.exceptions);
  detail::Bytes bytes;
  FieldWriter writer(bytes);
  writer(words);
  return bytes;
}

std::optional<HostedOptions> decode_pool_options(std::span<std::byte const> bytes) {
  FieldReader reader(bytes);
  Words words;
  reader(words);
  if (!reader.good()) return std::nullopt;
  HostedOptions hosted;
  PoolOptions& options = hosted.options;
  options.name = words.name;
  options.start.method = words.method;
  options.start.timeout = words.start_timeout;
  options.start.initializer = call_of(words.initializer);
  options.start.exit_handler = call_of(words.exit_handler);
  options.start.preload = call_of(words.preload);
  options.start.environment = words.environment;
  options.start.worker_program = words.worker_program;
  if (words.max_tasks) options.lifetime.max_tasks = *words.max_tasks;
  options.lifetime.recycle_above = words.recycle_above;
  options.lifetime.recycle_after = words.recycle_after;
  options.lifetime.idle_timeout = words.idle_timeout;
  options.limits.memory = words.memory;
  options.limits.address_space = words.address_space;
  options.limits.open_files = words.open_files;
  options.limits.core_size = words.core_size;
  options.limits.cpu_time = words.cpu_time;
  options.shutdown.stop_grace = words.stop_grace;
  options.shutdown.ask_grace = words.ask_grace;
  options.shutdown.term_grace = words.term_grace;
  options.shutdown.ignore_sigterm = words.ignore_sigterm;
  if (words.cpus_per_worker) options.placement.cpus_per_worker = *words.cpus_per_worker;
  options.placement.nice = words.nice;
  options.output.mode = words.output;
  options.output.limit = words.output_limit;
  options.nesting_limit = words.nesting_limit;
  options.harden = words.harden;
  // Somebody is to be told: by the host's owner.
  if (words.tells_events) options.on_event = [](Event const&) {};
  ListedExceptions listed(words.exceptions);
  for (detail::ExceptionFunction const function : listed.functions()) {
    hosted.exceptions.push_back(function);
  }
  options.exceptions = detail::ExceptionTypesAccess::of(hosted.exceptions);
  return hosted;
}

}  // namespace cluster
}  // namespace procpool::inline v0_1
