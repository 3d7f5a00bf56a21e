// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#pragma once

// The functions that the parent has registered with this worker. The parent chooses the place of
// each (parent/function_table.hpp). The worker's main thread only.
//
// A registration only keeps the bytes. Everything that can fail, or that runs user code, happens
// within an element that has begun, so that a failure is attributed to an element.

#include <cstddef>
#include <cstdint>
#include <deque>
#include <exception>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include <procpool/detail/engine/bytes.hpp>
#include <procpool/detail/export.hpp>
#include <procpool/detail/handle/share.hpp>

#include "engine/loaded_callable.hpp"
#include "protocol/function_registration.hpp"

namespace procpool::inline v0_1::worker {

struct RegisteredFunction {
  detail::Bytes registration;                             // as received
  std::optional<protocol::FunctionRegistration> decoded;  // refers to it
  std::optional<LoadedCallable> callable;
  detail::Resource::List resources;  // of which the callable has handles
  // Arguments and results have fixed sizes, and results fit into the open frame.
  bool fixed_size = false;
  std::exception_ptr unusable;
  std::string name;  // for `ps`

  // Finds the code and loads the callable, once. Throws the same exception each time if it cannot
  // be used. After std::bad_alloc the next call tries again. Runs user code, which may end the
  // thread.
  PROCPOOL_PASSES_FORCED_END void load();
};

class RegisteredFunctions {
 public:
  // Replaces the function at `place`. False: there is no memory for it, and it is unusable.
  bool register_function(std::size_t place, std::span<std::byte const> registration) noexcept;
  // A function that could not be received.
  void register_unusable(std::size_t place, std::exception_ptr why) noexcept;

  // The function at this place. It does not move.
  RegisteredFunction& operator[](std::size_t place) { return functions_[place]; }

  // Unregisters the functions that have handles of this resource: their task is gone. They are
  // destroyed by drop_unneeded(), like all replaced functions, because their destructors are user
  // code.
  void forget(std::uint64_t resource);
  bool some_are_unneeded() const noexcept { return !unneeded_.empty(); }
  void drop_unneeded() { unneeded_.clear(); }

 private:
  void put_aside(RegisteredFunction& function) noexcept;  // keeps it until drop_unneeded()

  std::vector<RegisteredFunction> functions_ =
      std::vector<RegisteredFunction>(protocol::function_slots);
  std::vector<RegisteredFunction> unneeded_;
};

}  // namespace procpool::inline v0_1::worker
