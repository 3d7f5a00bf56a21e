// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#include <procpool/detail/call/actor_object.hpp>

#include <stdexcept>

namespace procpool::inline v0_1::detail {
namespace {

thread_local ActorObject* object_here = nullptr;

}  // namespace

ActorScope::ActorScope(ActorObject& object) noexcept
    : outer_(std::exchange(object_here, &object)) {}

ActorScope::~ActorScope() { object_here = outer_; }

ActorObject& ActorScope::object() {
  if (object_here == nullptr) {
    throw std::logic_error("procpool: a call of an actor came to a process without its object");
  }
  return *object_here;
}

}  // namespace procpool::inline v0_1::detail
