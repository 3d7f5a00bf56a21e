// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#include <procpool/failure.hpp>

#include <procpool/errors.hpp>

namespace procpool::inline v0_1 {

char const* to_string(FailureKind kind) noexcept {
  switch (kind) {
    case FailureKind::threw: return "threw";
    case FailureKind::died: return "died";
    case FailureKind::timed_out: return "timed_out";
    case FailureKind::cancelled: return "cancelled";
    case FailureKind::not_sent: return "not_sent";
    case FailureKind::bad_message: return "bad_message";
    case FailureKind::refused: return "refused";
    case FailureKind::host_lost: return "host_lost";
  }
  return "unknown";
}

// As the unwinder does it. libstdc++ keeps nothing in an exception_ptr but the address of the object.
std::optional<void const*> detail::caught(std::exception_ptr const& error,
                                          std::type_info const& wanted) noexcept {
  static_assert(sizeof error == sizeof(void*));
  if (!error) return std::nullopt;
  void* object = *reinterpret_cast<void* const*>(&error);
  std::type_info const* const thrown = error.__cxa_exception_type();
  // The conversion of a pointer changes the pointer, and not its address.
  if (thrown->__is_pointer_p()) object = *static_cast<void**>(object);
  constexpr unsigned by_reference_to_const = 1;
  if (!wanted.__do_catch(thrown, &object, by_reference_to_const)) return std::nullopt;
  return object;
}

FailureKind Failure::kind() const noexcept {
  if (as<SerializationError>() != nullptr) return FailureKind::not_sent;
  // What a pool within the task reported, and the task let out.
  auto const* const origin = as<Origin>();
  if (origin != nullptr && origin->worker >= 0) return FailureKind::threw;
  if (as<WorkerDied>() != nullptr) return FailureKind::died;
  if (as<TaskTimeout>() != nullptr) return FailureKind::timed_out;
  if (as<TaskCancelled>() != nullptr) return FailureKind::cancelled;
  if (as<BadMessage>() != nullptr) return FailureKind::bad_message;
  if (as<HostLost>() != nullptr) return FailureKind::host_lost;
  if (as<SetupError>() != nullptr) return FailureKind::not_sent;
  if (as<PoolClosed>() != nullptr || as<QueueFull>() != nullptr) return FailureKind::refused;
  return FailureKind::threw;
}

char const* Failure::what() const noexcept {
  auto const* const exception = as<std::exception>();
  return exception != nullptr ? exception->what() : "something that is no std::exception";
}

std::string Failure::describe() const { return procpool::describe(error_); }

}  // namespace procpool::inline v0_1
