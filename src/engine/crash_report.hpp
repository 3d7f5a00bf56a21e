// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#pragma once

// CrashReport: a worker's own words about its crash (channel/crash_words.hpp), as far as the parent
// believes them, and its stack with names. Immutable, except for the names. The first call that
// asks for names looks them up, which reads files. The dispatcher therefore never asks. Any thread
// may.

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

namespace procpool::inline v0_1::detail {

class CrashReport {
 public:
  // Null: there is no report, or it makes no sense. `area` may change while it is read.
  static std::shared_ptr<CrashReport const> read(std::span<std::byte const> area);
  // Has a worker begun a report there?
  static bool begun(std::span<std::byte const> area) noexcept;

  // Can a process that this signal ended have written the report? A process that hangs while it
  // writes is killed.
  bool belongs_to(std::optional<int> signal) const noexcept;

  int signal() const noexcept { return signal_; }
  // The address that could not be read, written or executed.
  std::optional<std::uintptr_t> fault_address() const noexcept { return fault_address_; }
  std::uint64_t peak_bytes() const noexcept { return peak_; }
  // "at address 0x8, where nothing is mapped", or empty
  std::string where() const;

  std::vector<StackFrame> const& stack() const;
  // "in f(int) < g()": the first few calls outside the C library. Or empty.
  std::string first_calls() const;

  // All of it with the names of the stack, as it goes from one machine to another. Reads files.
  struct Told {
    std::int32_t signal = 0;
    std::int32_t code = 0;
    std::optional<std::uint64_t> fault_address{};
    bool overflow = false;
    bool other_thread = false;
    std::uint64_t peak = 0;
    std::vector<StackFrame> stack{};
  };
  Told told() const;
  // Null: there is no such signal.
  static std::shared_ptr<CrashReport const> of(Told told);

 private:
  CrashReport() = default;

  int signal_ = 0;
  std::int32_t code_ = 0;
  std::optional<std::uintptr_t> fault_address_;
  bool overflow_ = false;  // the stack overflowed
  bool other_thread_ = false;
  std::uint64_t peak_ = 0;
  identity::ForeignStack raw_;

  mutable std::once_flag once_;
  mutable std::vector<StackFrame> named_;
};

}  // namespace procpool::inline v0_1::detail
