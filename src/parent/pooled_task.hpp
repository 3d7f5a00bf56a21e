#pragma once

// Call: a task as the local engine makes it, with room for a batch beside it. Most tasks have one small
// batch: in one piece of memory with its task it needs no other, and the thread that frees that is the one
// which has the future, as a rule the one that allocated it. As thread-safe as the task.

#include <cstddef>
#include <memory>
#include <optional>
#include <utility>

#include <procpool/detail/engine/task.hpp>

#include "parent/chunk.hpp"

namespace procpool::inline v0::parent {

class Call final : public detail::Task {
 public:
  // Larger ones are not kept for as long as somebody has the future.
  static constexpr std::size_t max_bytes = 1024;

  using Task::Task;

  // The task's only batch, once. The task must have been made as a Call.
  static std::shared_ptr<SharedInput> own_input(std::shared_ptr<detail::Task> const& task,
                                                detail::InputBuffer input) {
    Call& call = static_cast<Call&>(*task);
    SharedInput& shared = call.input_.emplace(std::move(input), task->function().argument_size);
    return {task, &shared};
  }

 private:
  std::optional<SharedInput> input_;
};

}  // namespace procpool::inline v0::parent
