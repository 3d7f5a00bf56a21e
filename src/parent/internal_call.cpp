#include "parent/internal_call.hpp"

#include <cstdint>
#include <cstring>
#include <utility>

#include <procpool/detail/engine/reason.hpp>

namespace procpool::inline v0::parent {

Slot::Put InternalCall::send(Slot& slot, BoundCall const& call) {
  detail::InputBuffer input;
  input.count = 1;
  std::uint64_t const length_of_arguments = 0;
  input.bytes.resize(sizeof length_of_arguments);
  std::memcpy(input.bytes.data(), &length_of_arguments, sizeof length_of_arguments);
  detail::TaskOptions options;
  options.internal = true;
  auto task = std::make_shared<detail::Task>(call.function(), std::move(options));
  task->announce(1, true);
  Slot::Put const put = slot.put({task, std::make_shared<SharedInput>(std::move(input), 0), 0, 1});
  if (put != Slot::Put::full) task_ = std::move(task);
  return put;
}

bool InternalCall::ended() const { return task_ && task_->ended(); }

std::exception_ptr InternalCall::error() const {
  for (detail::OutcomeBlock const& block : task_->take()) {
    if (block.kind != detail::OutcomeBlock::Kind::values)
      return detail::reason_of(block, task_->id());
  }
  return nullptr;
}

}  // namespace procpool::inline v0::parent
