// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#pragma once

// ActorHandle: the part of an Actor that does not depend on the type of its object. It owns one
// actor of a pool. ActorCaller: calls of an actor, with their options.
//
// All members may be called from any thread, except moving, assigning and destroying. If the
// program dies, the kernel ends the actor's process with it, as any worker.

#include <sys/types.h>

#include <cstddef>
#include <memory>
#include <optional>

#include <procpool/call_options.hpp>
#include <procpool/detail/async/call_context.hpp>
#include <procpool/detail/engine/actor_engine.hpp>
#include <procpool/detail/engine/deadline.hpp>
#include <procpool/detail/export.hpp>
#include <procpool/detail/operations/caller.hpp>
#include <procpool/options.hpp>

namespace procpool::inline v0_1 {

struct ActorOptions;

namespace detail {

// Lives as long as its calls are being made.
class PROCPOOL_API ActorCaller {
 public:
  ActorCaller(std::shared_ptr<Engine> engine, CallContext const& pool, CallOptions options,
              std::optional<Key> key);

  // With further options. Throws std::invalid_argument for those that no call of an actor has.
  ActorCaller with(CallOptions const& given) const;
  Caller caller() const { return {engine_, context_, options_}; }

 private:
  std::shared_ptr<Engine> engine_;
  std::shared_ptr<CallContext const> context_;
  CallOptions options_;
};

class PROCPOOL_API ActorHandle {
 public:
  // `type`: the name of the object's class. Throws std::invalid_argument for options that make no
  // sense, PoolClosed, and SetupError.
  ActorHandle(Engine& pool, CallContext const& context, CallOptions const& defaults,
              ActorOptions const& options, std::string const& type, ActorPlan&& plan);
  ActorHandle(ActorHandle&& other) noexcept;
  ActorHandle& operator=(ActorHandle&& other) noexcept;
  ~ActorHandle();

  ActorCaller const& caller() const;
  pid_t pid() const;
  unsigned incarnation() const;
  std::size_t pending() const;
  void close();
  bool join_until(std::optional<TimePoint> deadline);
  Summary shutdown(End end, std::optional<Milliseconds> timeout);

 private:
  struct State;
  State& state() const;
  void end() noexcept;

  std::unique_ptr<State> state_;  // null: moved from
};

}  // namespace detail
}  // namespace procpool::inline v0_1
