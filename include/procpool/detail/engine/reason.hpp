#pragma once

// Why an element has no value, as the error that its owner gets. Any thread.

#include <cstdint>
#include <exception>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include <procpool/detail/codec/exception_codec.hpp>
#include <procpool/detail/engine/task.hpp>
#include <procpool/detail/export.hpp>
#include <procpool/errors.hpp>

namespace procpool::inline v0::detail {

// The reason that several elements share, as each of them gets it: one that tells its element does.
class PROCPOOL_API SharedReason {
 public:
  explicit SharedReason(std::exception_ptr reason);
  std::exception_ptr of(std::uint64_t task, std::uint64_t element) const;

 private:
  std::exception_ptr reason_;
  std::variant<std::monostate, TaskTimeout, TaskCancelled, BadMessage, SetupError> telling_;
};

// In a handler of what encoding an argument threw, on the thread that makes the call: throws it again, as the
// error of that element.
[[noreturn]] PROCPOOL_API void throw_of_element(std::uint64_t task, std::uint64_t element);

inline Origin origin_of(Block const& block, std::uint64_t task) {
  Origin origin;
  origin.worker = block.worker;
  origin.pid = block.pid;
  origin.task = task;
  origin.element = block.first;
  return origin;
}

// Of a block that is not of values. Of a type that is `listed`, as itself:
// that runs the type's own code.
inline std::exception_ptr reason_of(Block const& block, std::uint64_t task,
                                    ExceptionTypes listed = {}) {
  if (block.kind == Block::Kind::failed) return block.failure;
  Origin origin = origin_of(block, task);
  if (block.earlier.failed > block.earlier.told.size()) {
    origin.causes.push_back(std::to_string(block.earlier.failed - block.earlier.told.size()) +
                            " attempts before those that follow");
  }
  for (std::string const& attempt : block.earlier.told) {
    origin.causes.push_back("an earlier attempt: " + attempt);
  }
  return decode_exception(block.payload.bytes(), origin, listed.functions());
}

}  // namespace procpool::inline v0::detail
