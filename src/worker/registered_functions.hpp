#pragma once

// The functions that the parent has declared to this worker, each in the place that the parent has given it
// (declaration.hpp). On the worker's main thread alone; a crash leaves nothing.
//
// Declaring only keeps the bytes: everything that can fail, or run user code, belongs to an element that has
// begun, so that its end is charged to one.

#include <cstddef>
#include <cstdint>
#include <deque>
#include <exception>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include <procpool/detail/engine/bytes.hpp>
#include <procpool/detail/engine/share.hpp>
#include <procpool/detail/export.hpp>

#include "engine/loaded_callable.hpp"
#include "protocol/function_registration.hpp"

namespace procpool::inline v0::worker {

struct RegisteredFunction {
  detail::Bytes registration;                             // as it came
  std::optional<protocol::FunctionRegistration> decoded;  // into it
  std::optional<LoadedCallable> callable;
  detail::Share::List shares;  // that the callable has handles of
  // Arguments and results have fixed sizes, and results fit into the open frame.
  bool fixed_size = false;
  std::exception_ptr unusable;
  std::string name;  // for `ps`

  // Finds the code and loads the callable, once. Throws, each time the same, when it cannot be used; but for want of
  // memory it is tried again the next time. Runs user code, which may end the thread.
  PROCPOOL_PASSES_FORCED_END void load();
};

class RegisteredFunctions {
 public:
  // In place of what was there. False: there is no memory for it, it is unusable.
  bool register_function(std::size_t place, std::span<std::byte const> registration) noexcept;
  // One that could not be received.
  void register_unusable(std::size_t place, std::exception_ptr why) noexcept;

  // What was declared there. It does not move.
  RegisteredFunction& operator[](std::size_t place) { return functions_[place]; }

  // Puts aside those that have handles of this shared value: their task is gone. As all that makes room for another,
  // they are destroyed by drop_unneeded(), because the destructors are the users' code too.
  void forget(std::uint64_t share);
  bool some_are_unneeded() const noexcept { return !unneeded_.empty(); }
  void drop_unneeded() { unneeded_.clear(); }

 private:
  void put_aside(RegisteredFunction& function) noexcept;  // what it was, it is not any more

  std::vector<RegisteredFunction> functions_ =
      std::vector<RegisteredFunction>(protocol::function_slots);
  std::vector<RegisteredFunction> unneeded_;
};

}  // namespace procpool::inline v0::worker
