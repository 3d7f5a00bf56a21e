#pragma once

// Call: a task as the local engine makes it, with room for a batch beside it. Most tasks have one small
// batch: in one piece of memory with its task it needs no other, and the thread that frees that is the one
// which has the future, as a rule the one that allocated it. As thread-safe as the task.

#include <cstddef>
#include <memory>
#include <optional>
#include <utility>

#include <procpool/detail/task.hpp>

#include "engine/local/chunk.hpp"

namespace procpool::inline v0::local {

class Call final : public detail::Task {
 public:
  // Larger ones are not kept for as long as somebody has the future.
  static constexpr std::size_t most_bytes = 1024;

  using Task::Task;

  // The task's only batch, once. The task must have been made as a Call.
  static std::shared_ptr<Batch> own_batch(std::shared_ptr<detail::Task> const& task,
                                          detail::Segment segment) {
    Call& call = static_cast<Call&>(*task);
    Batch& batch = call.batch_.emplace(std::move(segment), task->function().argument_size);
    return {task, &batch};
  }

 private:
  std::optional<Batch> batch_;
};

}  // namespace procpool::inline v0::local
