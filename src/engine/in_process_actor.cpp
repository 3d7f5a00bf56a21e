// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#include "engine/in_process_actor.hpp"

#include <unistd.h>

#include <utility>

#include <procpool/errors.hpp>

namespace procpool::inline v0_1 {

using detail::Lock;
using detail::OutcomeBlock;

InProcessActor::InProcessActor(PoolOptions const& options,
                               std::shared_ptr<InProcessEngine::Intake const> pool,
                               detail::ActorPlan&& plan)
    : text_("actor \"" + options.name + "/" + plan.name + "\" takes no more calls: "),
      pool_(std::move(pool)),
      calls_(options, text_ + "it was closed") {
  Lock const lock(mutex_);
  detail::ActorScope const scope(object_);
  auto const construction = calls_.make_task(std::move(plan.construct), {.internal = true});
  calls_.append(construction, std::move(plan.arguments), true);
  OutcomeBlock outcome = construction->take_only();
  if (outcome.kind != OutcomeBlock::Kind::values) failure_ = std::move(outcome);
}

void InProcessActor::append(std::shared_ptr<detail::Task> const& task, detail::InputBuffer&& input,
                            bool last) {
  if (pool_->closed.load()) {
    throw PoolClosed(text_ + "its pool was closed");
  }
  calls_.open_stream(task);  // throws if it was closed
  if (failure_) {
    task->announce(input.count, last);
    OutcomeBlock outcome = *failure_;
    outcome.first = input.first;
    outcome.count = input.count;
    return task->deliver(std::move(outcome));
  }
  // Relaxed: only this thread stores its own number.
  if (caller_.load(std::memory_order_relaxed) == std::this_thread::get_id()) {
    throw SetupError(
        "a call of this actor calls the actor: with Start::in_process it would wait for itself");
  }
  Lock const lock(mutex_);
  calls_.open_stream(task);  // it may have ended meanwhile
  caller_.store(std::this_thread::get_id(), std::memory_order_relaxed);
  detail::ActorScope const scope(object_);
  calls_.append(task, std::move(input), last);
  caller_.store({}, std::memory_order_relaxed);
}

bool InProcessActor::join_until(std::optional<TimePoint> deadline) {
  bool const ended = calls_.join_until(deadline);
  drop_object();
  return ended;
}

Summary InProcessActor::shutdown(End end, std::optional<TimePoint> deadline) {
  Summary const summary = calls_.shutdown(end, deadline);
  drop_object();
  return summary;
}

void InProcessActor::drop_object() {
  // From inside of a call the object stays until the actor is gone.
  if (caller_.load(std::memory_order_relaxed) == std::this_thread::get_id()) return;
  detail::ActorObject object;
  Lock const lock(mutex_);
  std::swap(object, object_);
}

pid_t InProcessActor::pid() { return ::getpid(); }

}  // namespace procpool::inline v0_1
