// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#pragma once

// PooledTask: a task with room for its input beside it. Most tasks have one small input. In one piece of
// memory with its task, it needs no other. The thread that frees the piece is the one with the future,
// and as a rule the one that allocated it. As thread-safe as the task.

#include <cstddef>
#include <memory>
#include <optional>
#include <utility>

#include <procpool/detail/engine/task.hpp>

#include "parent/chunk.hpp"

namespace procpool::inline v0_1::parent {

class PooledTask final : public detail::Task {
 public:
  // Larger inputs are not kept for as long as somebody has the future.
  static constexpr std::size_t max_bytes = 1024;

  using Task::Task;

  // Keeps the only input of a task, once. The task must be a PooledTask.
  static std::shared_ptr<SharedInput> own_input(std::shared_ptr<detail::Task> const& task,
                                                detail::InputBuffer&& input) {
    PooledTask& pooled = static_cast<PooledTask&>(*task);
    SharedInput& shared = pooled.input_.emplace(std::move(input), task->function().argument_size);
    return {task, &shared};
  }

 private:
  std::optional<SharedInput> input_;
};

}  // namespace procpool::inline v0_1::parent
