// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#include "engine/crash_report.hpp"

#include <signal.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <cstring>
#include <string_view>

#include "channel/crash_words.hpp"
#include "identity/function_text.hpp"
#include "os/text.hpp"

namespace procpool::inline v0_1::detail {
namespace {

using channel::CrashWords;

constexpr std::size_t max_calls_told = 3;
constexpr std::size_t longest_call_told = 80;
std::uint64_t get(channel::CrashWord const& word) noexcept {
  // Relaxed: the writer is dead. Loaded once, in case it is alive and writes nonsense.
  return word.load(std::memory_order_relaxed);
}

std::string path_of(channel::CrashModule const& module) {
  std::array<char, sizeof module.path> text{};
  for (std::size_t i = 0; i < module.path.size(); ++i) {
    std::uint64_t const word = get(module.path[i]);
    std::memcpy(text.data() + i * sizeof word, &word, sizeof word);
  }
  return os::one_line({text.begin(), std::ranges::find(text, '\0')});
}

identity::ForeignStack stack_of(CrashWords const& words) {
  identity::ForeignStack stack;
  std::uint64_t const modules = std::min<std::uint64_t>(get(words.modules), words.module.size());
  for (std::size_t i = 0; i < modules; ++i) {
    channel::CrashModule const& module = words.module[i];
    stack.modules.push_back({get(module.device), get(module.inode), path_of(module)});
  }
  std::uint64_t const frames = std::min<std::uint64_t>(get(words.frames), words.frame.size());
  for (std::size_t i = 0; i < frames; ++i) {
    std::uint64_t const frame = get(words.frame[i]);
    std::uint64_t const module = frame >> channel::crash_frame_bits;
    bool const known = module != 0 && module <= modules;
    stack.frames.push_back(
        {known ? static_cast<std::size_t>(module - 1) : identity::ForeignStack::no_module,
         frame & channel::crash_frame_mask});
  }
  return stack;
}

bool has_address(int signal) noexcept {
  return signal == SIGSEGV || signal == SIGBUS || signal == SIGILL || signal == SIGFPE ||
         signal == SIGSYS || signal == SIGTRAP;
}

// The functions that a C library calls between a fault and its cause.
bool is_runtime(std::string_view function) {
  constexpr std::array exact{"abort",          "raise",          "gsignal",
                             "pthread_kill",   "__libc_message", "__stack_chk_fail",
                             "__fortify_fail", "__assert_fail",  "kill"};
  constexpr std::array begins{
      "__pthread_kill", "__GI_",         "std::terminate",        "__cxxabiv1::", "__cxa_",
      "__gnu_cxx::",    "__assert_fail", "std::__glibcxx_assert", "__sanitizer"};
  return std::ranges::find(exact, function) != exact.end() ||
         std::ranges::any_of(begins, [&](char const* way) { return function.starts_with(way); });
}

// A name stands in one line, and names of templates may have thousands of characters.
constexpr std::size_t longest_name = 140;

bool is_ours(std::string_view name) {
  constexpr std::array rooms{"detail::", "worker::", "channel::", "entry::", "forkserver::"};
  constexpr std::string_view ours = "procpool::v0_1::";
  return name.starts_with(ours) && std::ranges::any_of(rooms, [&](std::string_view room) {
           return name.substr(ours.size()).starts_with(room);
         });
}
// The last function of the library on the way to the task.
bool is_trampoline(std::string_view name) {
  constexpr std::array ways{"procpool::v0_1::detail::trampoline",
                            "procpool::v0_1::detail::call_element",
                            "procpool::v0_1::detail::run_elements"};
  return std::ranges::find(ways, name) != ways.end();
}
// Some names with lambdas of Clang cannot be demangled.
bool is_unreadable_and_ours(std::string_view name) {
  return name.starts_with("_Z") && name.find("8procpool4v0_16detail") != std::string_view::npos;
}
bool is_glue(std::string_view name) {
  return is_ours(name) || is_unreadable_and_ours(name) || name.starts_with("std::__invoke") ||
         name == "std::invoke" || name == "std::apply" || name == "std::__apply_impl";
}

// The calls of the task alone, from the innermost one to the function that the trampoline called. A
// function that the compiler inlined into the trampoline is told by its place, without a name. A
// stack without a trampoline is a thread of the task, or the worker's loop: then all calls are
// told.
std::vector<StackFrame> of_task(std::vector<StackFrame> const& frames) {
  std::vector<StackFrame> task;
  bool called = false;
  for (StackFrame const& frame : frames) {
    std::string const name = identity::qualified_name(frame.function);
    called = is_trampoline(name);
    if (!called && !is_glue(name)) task.push_back(frame);
    if (called) break;
  }
  if (!called && task.size() != frames.size() &&
      is_ours(identity::qualified_name(frames.front().function))) {
    task = frames;
  }
  if (task.empty() && !frames.empty()) {
    task.push_back(frames.front());
    task.front().function.clear();
  }
  for (StackFrame& frame : task) frame.function = identity::shortened(frame.function, longest_name);
  return task;
}

}  // namespace

std::shared_ptr<CrashReport const> CrashReport::read(std::span<std::byte const> area) {
  if (area.size() < sizeof(CrashWords)) return nullptr;
  auto const& words = *reinterpret_cast<CrashWords const*>(area.data());
  std::uint64_t const signal = get(words.signal);
  if (signal == 0 || signal > static_cast<std::uint64_t>(SIGRTMAX)) return nullptr;
  std::shared_ptr<CrashReport> const report(new CrashReport());
  report->signal_ = static_cast<int>(signal);
  report->code_ = static_cast<std::int32_t>(static_cast<std::uint32_t>(get(words.code)));
  std::uint64_t const address = get(words.address);
  // Raised by the processor, and not by kill(). The processor does not know the place of every
  // fault.
  if (report->code_ > 0 && report->code_ != SI_KERNEL && has_address(report->signal_)) {
    report->fault_address_ = address;
    report->overflow_ = report->signal_ == SIGSEGV && get(words.overflow) != 0;
  }
  report->other_thread_ = get(words.other_thread) != 0;
  report->peak_ = get(words.peak);
  report->raw_ = stack_of(words);
  return report;
}

CrashReport::Told CrashReport::told() const {
  return {signal_, code_, fault_address_, overflow_, other_thread_, peak_, stack()};
}

std::shared_ptr<CrashReport const> CrashReport::of(Told told) {
  if (told.signal <= 0 || told.signal > SIGRTMAX) return nullptr;
  std::shared_ptr<CrashReport> const report(new CrashReport());
  report->signal_ = told.signal;
  report->code_ = told.code;
  report->fault_address_ = told.fault_address;
  report->overflow_ = told.overflow;
  report->other_thread_ = told.other_thread;
  report->peak_ = told.peak;
  std::call_once(report->once_, [&] { report->named_ = std::move(told.stack); });
  return report;
}

bool CrashReport::begun(std::span<std::byte const> area) noexcept {
  if (area.size() < sizeof(CrashWords)) return false;
  return get(reinterpret_cast<CrashWords const*>(area.data())->signal) != 0;
}

bool CrashReport::belongs_to(std::optional<int> signal) const noexcept {
  return signal && (*signal == signal_ || *signal == SIGKILL);
}

std::string CrashReport::where() const {
  std::string text;
  if (fault_address_) {
    std::array<char, 32> hex{};
    std::snprintf(hex.data(), hex.size(), "at address 0x%llx",
                  static_cast<unsigned long long>(*fault_address_));
    text = hex.data();
    if (overflow_) {
      text += ", its stack overflowed,";
    } else if (signal_ == SIGSEGV && code_ == SEGV_MAPERR) {
      text += ", where nothing is mapped,";
    } else if (signal_ == SIGSEGV && code_ == SEGV_ACCERR) {
      text += ", which must not be used so,";
    } else if (signal_ == SIGFPE && code_ == FPE_INTDIV) {
      text += ", dividing by zero,";
    }
  }
  if (other_thread_) text += std::string(text.empty() ? "" : " ") + "in a thread of its own";
  return text;
}

std::vector<StackFrame> const& CrashReport::stack() const {
  std::call_once(once_, [this] { named_ = of_task(raw_.named()); });
  return named_;
}

std::string CrashReport::first_calls() const {
  std::string text;
  std::size_t told = 0;
  for (StackFrame const& frame : stack()) {
    if (told == max_calls_told || is_ours(identity::qualified_name(frame.function))) break;
    if (frame.function.empty() || is_runtime(frame.function)) continue;
    std::string const name = identity::shortened(frame.function, longest_call_told);
    text += (told++ == 0 ? "in " : " < ") + name;
  }
  return text;
}

}  // namespace procpool::inline v0_1::detail
