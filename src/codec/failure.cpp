// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// The refusals of the codec, out of line so that the fast paths stay small. Each throws
// SerializationError; none keeps state, so any thread may call them.

#include <procpool/detail/codec/archive/failure.hpp>

#include <cxxabi.h>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <string>

#include <sys/mman.h>
#include <unistd.h>
#include <boost/archive/archive_exception.hpp>

#include "os/text.hpp"

namespace procpool::inline v0_1::detail {

void refuse(char const* sentence) { throw SerializationError(sentence); }

void refuse_truncated() { refuse("procpool: a message ends in the middle of a value"); }

void refuse_length() { refuse("procpool: a message claims more elements than it has bytes"); }

void refuse_bool() { refuse("procpool: a bool in a message is neither 0 nor 1"); }

void refuse_nesting() {
  throw SerializationError("procpool: values nest deeper than " + std::to_string(nesting_limit) +
                           " levels (a long linked list is better sent as a std::vector)");
}

void refuse_stack(unsigned levels) {
  throw SerializationError(
      "procpool: values nest too deep for the stack of this thread: it has no room for "
      "more than " +
      std::to_string(levels) +
      " levels (a larger stack helps, or std::vector in the place of nesting)");
}

void refuse_weightless() {
  refuse("procpool: too many container elements that take no bytes (2^20 bytes of them at most)");
}

void refuse_second_owner() {
  refuse("procpool: a message gives an object a second owner that does not share it");
}

void refuse_trailing(std::size_t bytes) {
  throw SerializationError("procpool: " + std::to_string(bytes) +
                           " bytes remain after the value in a message");
}

void refuse_class(char const* what, char const* type_name) {
  std::string name = type_name == nullptr ? "?" : type_name;
  int status = 0;
  std::unique_ptr<char, void (*)(void*)> const readable(
      abi::__cxa_demangle(name.c_str(), nullptr, nullptr, &status), std::free);
  if (status == 0 && readable) name = readable.get();
  throw SerializationError(std::string("procpool: a class ") + what + " " + name);
}

void translate(boost::archive::archive_exception const& error) {
  // It may name a class, by the message.
  throw SerializationError("procpool: Boost.Serialization reports: " +
                           os::one_line(os::cut(error.what(), 1024)));
}

void advise_huge(void* place, std::size_t bytes) noexcept {
  static auto const page = static_cast<std::uintptr_t>(::sysconf(_SC_PAGESIZE));
  auto const first = (reinterpret_cast<std::uintptr_t>(place) + page - 1) / page * page;
  auto const last = (reinterpret_cast<std::uintptr_t>(place) + bytes) / page * page;
  if (last > first) ::madvise(reinterpret_cast<void*>(first), last - first, MADV_HUGEPAGE);
}

}  // namespace procpool::inline v0_1::detail
