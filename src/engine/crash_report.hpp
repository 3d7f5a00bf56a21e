#pragma once

// CrashReport: a worker's own words about its crash (channel/crash_words.hpp), as far as the parent
// believes them, and the stack in them with names. Immutable but for the names. They are looked up
// when they are first asked for: that reads files, so the asking thread does it, and not the
// dispatcher. Any thread may ask.

#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include <procpool/errors.hpp>

#include "identity/foreign_stack.hpp"

namespace procpool::inline v0::detail {

class CrashReport {
 public:
  // Null: there is none, or none that can be understood. `area` may change while it is read.
  static std::shared_ptr<CrashReport const> read(std::span<std::byte const> area);
  // A report has been begun there, or something that looks like one.
  static bool begun(std::span<std::byte const> area) noexcept;

  // Can it be of a process that was ended by this signal? (One that hung while it wrote was
  // killed.)
  bool belongs_to(std::optional<int> signal) const noexcept;

  int signal() const noexcept { return signal_; }
  // Of what could not be read, written or executed.
  std::optional<std::uintptr_t> fault_address() const noexcept { return fault_address_; }
  std::uint64_t peak_bytes() const noexcept { return peak_; }
  // "at address 0x8, where nothing is mapped", or empty
  std::string where() const;

  std::vector<StackFrame> const& stack() const;
  // "in f(int) < g()", or empty: of the first few that are not the runtime's.
  std::string first_calls() const;

 private:
  CrashReport() = default;

  int signal_ = 0;
  std::int32_t code_ = 0;
  std::optional<std::uintptr_t> fault_address_;
  bool overflow_ = false;  // of the stack
  bool other_thread_ = false;
  std::uint64_t peak_ = 0;
  identity::ForeignStack raw_;

  mutable std::once_flag once_;
  mutable std::vector<StackFrame> named_;
};

}  // namespace procpool::inline v0::detail
