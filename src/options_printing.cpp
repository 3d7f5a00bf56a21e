// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// Options of a pool, a Process and an actor: their text and their comparison, by a list of the
// members of each group.

#include <algorithm>
#include <ostream>
#include <tuple>

#include <procpool/actor.hpp>
#include <procpool/detail/call/function.hpp>
#include <procpool/detail/codec/archive/member_count.hpp>
#include <procpool/options.hpp>
#include <procpool/process.hpp>

#include "options_text.hpp"

namespace procpool::inline v0_1 {
namespace detail {
namespace {

constexpr std::tuple start_options{Named{"method", &StartOptions::method},
                                   Named{"timeout", &StartOptions::timeout},
                                   Named{"initializer", &StartOptions::initializer},
                                   Named{"exit_handler", &StartOptions::exit_handler},
                                   Named{"environment", &StartOptions::environment},
                                   Named{"worker_environment", &StartOptions::worker_environment},
                                   Named{"preload", &StartOptions::preload},
                                   Named{"worker_program", &StartOptions::worker_program}};

constexpr std::tuple lifetime_options{Named{"max_tasks", &LifetimeOptions::max_tasks},
                                      Named{"recycle_above", &LifetimeOptions::recycle_above},
                                      Named{"recycle_after", &LifetimeOptions::recycle_after},
                                      Named{"idle_timeout", &LifetimeOptions::idle_timeout}};

constexpr std::tuple limits_members{
    Named{"memory", &Limits::memory}, Named{"address_space", &Limits::address_space},
    Named{"cpu_time", &Limits::cpu_time}, Named{"open_files", &Limits::open_files},
    Named{"core_size", &Limits::core_size}};

constexpr std::tuple shutdown_options{Named{"at_exit", &ShutdownOptions::at_exit},
                                      Named{"timeout", &ShutdownOptions::timeout},
                                      Named{"stop_grace", &ShutdownOptions::stop_grace},
                                      Named{"ask_grace", &ShutdownOptions::ask_grace},
                                      Named{"term_grace", &ShutdownOptions::term_grace},
                                      Named{"ignore_sigterm", &ShutdownOptions::ignore_sigterm}};

constexpr std::tuple placement_options{Named{"cpus", &PlacementOptions::cpus},
                                       Named{"cpus_per_worker", &PlacementOptions::cpus_per_worker},
                                       Named{"nice", &PlacementOptions::nice},
                                       Named{"cgroup", &PlacementOptions::cgroup}};

constexpr std::tuple output_options{Named{"mode", &OutputOptions::mode},
                                    Named{"limit", &OutputOptions::limit}};

constexpr std::tuple pool_options{Named{"workers", &PoolOptions::workers},
                                  Named{"name", &PoolOptions::name},
                                  Named{"start", &PoolOptions::start},
                                  Named{"lifetime", &PoolOptions::lifetime},
                                  Named{"limits", &PoolOptions::limits},
                                  Named{"shutdown", &PoolOptions::shutdown},
                                  Named{"placement", &PoolOptions::placement},
                                  Named{"output", &PoolOptions::output},
                                  Named{"defaults", &PoolOptions::defaults},
                                  Named{"queue_limit", &PoolOptions::queue_limit},
                                  Named{"nesting_limit", &PoolOptions::nesting_limit},
                                  Named{"seed", &PoolOptions::seed},
                                  Named{"harden", &PoolOptions::harden},
                                  Named{"log", &PoolOptions::log},
                                  Named{"on_event", &PoolOptions::on_event},
                                  Named{"exceptions", &PoolOptions::exceptions},
                                  Named{"trace", &PoolOptions::trace},
                                  Named{"engine", &PoolOptions::engine}};

constexpr std::tuple process_options{Named{"name", &ProcessOptions::name},
                                     Named{"start", &ProcessOptions::start},
                                     Named{"at_exit", &ProcessOptions::at_exit},
                                     Named{"timeout", &ProcessOptions::timeout},
                                     Named{"limits", &ProcessOptions::limits},
                                     Named{"environment", &ProcessOptions::environment},
                                     Named{"output", &ProcessOptions::output},
                                     Named{"harden", &ProcessOptions::harden},
                                     Named{"exceptions", &ProcessOptions::exceptions}};

constexpr std::tuple actor_options{Named{"name", &ActorOptions::name},
                                   Named{"restarts", &ActorOptions::restarts},
                                   Named{"queue_limit", &ActorOptions::queue_limit},
                                   Named{"checkpoint_every", &ActorOptions::checkpoint_every}};

template <class Options, class List>
constexpr bool is_whole(List const&) {
  return count_members<Options>().count == std::tuple_size_v<List>;
}
static_assert(is_whole<StartOptions>(start_options) &&
                  is_whole<LifetimeOptions>(lifetime_options) && is_whole<Limits>(limits_members) &&
                  is_whole<ShutdownOptions>(shutdown_options) &&
                  is_whole<PlacementOptions>(placement_options) &&
                  is_whole<OutputOptions>(output_options) && is_whole<PoolOptions>(pool_options) &&
                  is_whole<ProcessOptions>(process_options) &&
                  is_whole<ActorOptions>(actor_options),
              "each member is printed and compared");

}  // namespace
}  // namespace detail

bool BoundCall::operator==(BoundCall const& other) const noexcept {
  if (function_ == other.function_) return true;
  if (!function_ || !other.function_) return false;
  detail::Function const& a = *function_;
  detail::Function const& b = *other.function_;
  bool const same_state = a.state && b.state ? *a.state == *b.state : a.state == b.state;
  return a.code == b.code && a.loaded == b.loaded && same_state && a.resources == b.resources;
}

bool ExceptionTypes::operator==(ExceptionTypes const& other) const noexcept {
  return std::ranges::equal(functions_, other.functions_);
}

bool PoolEngine::operator==(PoolEngine const& other) const {
  if (maker_ == other.maker_) return true;
  return maker_ && other.maker_ && maker_->text() == other.maker_->text();
}

std::ostream& operator<<(std::ostream& out, PoolEngine const& engine) {
  auto const* const maker = detail::PoolEngineAccess::maker(engine);
  return out << (maker ? maker->text() : "this machine");
}

bool StartOptions::operator==(StartOptions const& other) const {
  return detail::same_members(*this, other, detail::start_options);
}

bool PoolOptions::operator==(PoolOptions const& other) const {
  return detail::same_members(*this, other, detail::pool_options);
}

std::ostream& operator<<(std::ostream& out, PoolOptions const& options) {
  return out << detail::text_of_members(options, detail::pool_options);
}

std::ostream& operator<<(std::ostream& out, StartOptions const& options) {
  return out << detail::text_of_members(options, detail::start_options);
}

std::ostream& operator<<(std::ostream& out, LifetimeOptions const& options) {
  return out << detail::text_of_members(options, detail::lifetime_options);
}

std::ostream& operator<<(std::ostream& out, Limits const& limits) {
  return out << detail::text_of_members(limits, detail::limits_members);
}

std::ostream& operator<<(std::ostream& out, ShutdownOptions const& options) {
  return out << detail::text_of_members(options, detail::shutdown_options);
}

std::ostream& operator<<(std::ostream& out, PlacementOptions const& options) {
  return out << detail::text_of_members(options, detail::placement_options);
}

std::ostream& operator<<(std::ostream& out, OutputOptions const& options) {
  return out << detail::text_of_members(options, detail::output_options);
}

std::ostream& operator<<(std::ostream& out, ProcessOptions const& options) {
  return out << detail::text_of_members(options, detail::process_options);
}

std::ostream& operator<<(std::ostream& out, ActorOptions const& options) {
  return out << detail::text_of_members(options, detail::actor_options);
}

std::ostream& operator<<(std::ostream& out, Start start) {
  return out << detail::enum_text("Start", {"spawn", "in_process", "forkserver"}, start);
}

std::ostream& operator<<(std::ostream& out, End end) {
  return out << detail::enum_text("End", {"drain", "cancel", "kill"}, end);
}

std::ostream& operator<<(std::ostream& out, Output output) {
  return out << detail::enum_text("Output", {"inherit", "drop", "capture", "lines", "relay"},
                                  output);
}

}  // namespace procpool::inline v0_1
