// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#pragma once

// ActorEngine: the engine of one actor. It runs calls one at a time, in their order, in the process
// that has the actor's object.

#include <sys/types.h>

#include <cstddef>
#include <optional>
#include <string>

#include <procpool/call_options.hpp>
#include <procpool/detail/call/function.hpp>
#include <procpool/detail/engine/engine.hpp>
#include <procpool/detail/engine/task.hpp>
#include <procpool/detail/export.hpp>

namespace procpool::inline v0_1::detail {

// What an engine knows of an actor before the actor exists.
struct ActorPlan {
  std::string name;
  std::size_t restarts = 0;
  std::optional<std::size_t> queue_limit{};
  std::size_t checkpoint_every = 0;  // outcomes; 0: never
  // A call that makes the object, as one element. Its first argument is checkpoint_every.
  Function construct{};
  InputBuffer arguments{};
  // The same, of a state: its arguments are checkpoint_every and the bytes, as a vector. Without
  // code if the object cannot be serialized.
  Function restore{};
};

class PROCPOOL_API ActorEngine : public Engine {
 public:
  ~ActorEngine() override;

  // The key that all of its calls have. Nothing: none.
  virtual std::optional<Key> key() const = 0;
  // The process that has the object, or was the last to have it. Blocks until there is one; throws
  // the reason if there was none and will be none.
  virtual pid_t pid() = 0;
  // How many times the object was to be made, from 1.
  virtual unsigned incarnation() const = 0;
  // Calls that have not ended.
  virtual std::size_t pending() const = 0;
};

}  // namespace procpool::inline v0_1::detail
