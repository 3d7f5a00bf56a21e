#pragma once

// InternalCall: a call of the pool's own in one worker, an initializer or an exit handler. It goes
// to the worker past the scheduler. For the dispatcher's thread.

#include <exception>
#include <memory>

#include <procpool/detail/engine/task.hpp>
#include <procpool/options.hpp>

#include "parent/slot.hpp"

namespace procpool::inline v0::parent {

class InternalCall {
 public:
  // Puts the call into the worker's inbox. `full`: the caller may try again. Throws what prevents
  // that the call can be sent.
  Slot::Put send(Slot& slot, BoundCall const& call);

  bool sent() const noexcept { return task_ != nullptr; }
  // False if the call was not sent.
  bool ended() const;
  // The error of a call that has ended. Null: it succeeded. To be called once.
  std::exception_ptr error() const;

 private:
  std::shared_ptr<detail::Task> task_;  // null: not sent yet
};

}  // namespace procpool::inline v0::parent
