// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#pragma once

// InternalCall: a call of the pool's own in one worker, an initializer or an exit handler. It goes
// to the worker past the scheduler. For the dispatcher's thread.

#include <cstdint>
#include <exception>
#include <memory>

#include <procpool/detail/call/function.hpp>
#include <procpool/detail/engine/task.hpp>
#include <procpool/options.hpp>

#include "parent/slot.hpp"

namespace procpool::inline v0_1::parent {

class InternalCall {
 public:
  // Puts the call into the worker's inbox. `full`: the caller may try again. Throws what prevents
  // that the call can be sent.
  Slot::Put send(Slot& slot, BoundCall const& call);
  // The same for a call with arguments.
  Slot::Put send(Slot& slot, detail::Function const& function, detail::InputBuffer&& input);

  bool sent() const noexcept { return task_ != nullptr; }
  std::uint64_t id() const noexcept { return task_->id(); }  // of a call that was sent
  // False if the call was not sent.
  bool ended() const;
  // The outcome of a call that has ended. To be called once.
  detail::OutcomeBlock outcome() const { return task_->take_only(); }
  // Its error. Null: it succeeded. To be called once.
  std::exception_ptr error() const;

 private:
  std::shared_ptr<detail::Task> task_;  // null: not sent yet
};

}  // namespace procpool::inline v0_1::parent
