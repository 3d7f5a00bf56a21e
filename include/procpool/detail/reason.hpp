#pragma once

// Why an element has no value, as the error that its owner gets. Any thread.

#include <exception>
#include <string>
#include <utility>
#include <vector>

#include <procpool/detail/exception_codec.hpp>
#include <procpool/detail/task.hpp>
#include <procpool/errors.hpp>

namespace procpool::inline v0::detail {

// Of a block that is not of values.
inline std::exception_ptr reason_of(Block const& block, std::uint64_t task) {
  if (block.kind == Block::Kind::failed) return block.failure;
  Origin origin;
  origin.worker = block.worker;
  origin.pid = block.pid;
  origin.task = task;
  origin.element = block.first;
  for (std::string const& attempt : block.earlier) {
    origin.causes.push_back("an earlier attempt: " + attempt);
  }
  return decode_exception(block.payload.bytes(), std::move(origin));
}

}  // namespace procpool::inline v0::detail
