// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#include "parent/internal_call.hpp"

#include <cstdint>
#include <cstring>
#include <utility>

#include <procpool/detail/engine/reason.hpp>

namespace procpool::inline v0_1::parent {

Slot::Put InternalCall::send(Slot& slot, BoundCall const& call) {
  detail::InputBuffer input;
  input.count = 1;
  std::uint64_t const length_of_arguments = 0;
  input.bytes.resize(sizeof length_of_arguments);
  std::memcpy(input.bytes.data(), &length_of_arguments, sizeof length_of_arguments);
  return send(slot, detail::BoundCallAccess::function(call), std::move(input));
}

Slot::Put InternalCall::send(Slot& slot, detail::Function const& function,
                             detail::InputBuffer&& input) {
  detail::TaskOptions options;
  options.internal = true;
  auto task = std::make_shared<detail::Task>(function, std::move(options));
  task->announce(1, true);
  Slot::Put const put = slot.put(
      {task, std::make_shared<SharedInput>(std::move(input), function.argument_size), 0, 1});
  if (put != Slot::Put::full) task_ = std::move(task);
  return put;
}

bool InternalCall::ended() const { return task_ && task_->ended(); }

std::exception_ptr InternalCall::error() const {
  detail::OutcomeBlock const block = outcome();
  bool const failed = block.kind != detail::OutcomeBlock::Kind::values;
  return failed ? detail::reason_of(block, task_->id()) : nullptr;
}

}  // namespace procpool::inline v0_1::parent
