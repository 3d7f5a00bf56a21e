// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#include <procpool/this_task.hpp>

#include <cstdio>
#include <stdexcept>
#include <string>
#include <utility>

#include "engine/call_seeds.hpp"
#include "engine/element_context.hpp"
#include "engine/patience.hpp"
#include "entry/entry_hook.hpp"
#include "os/text.hpp"

namespace procpool::inline v0_1 {
namespace {

ElementContext* of_worker = nullptr;
thread_local ElementContext* of_thread = nullptr;

ElementContext* current() noexcept {
  ElementContext* const context = of_thread != nullptr ? of_thread : of_worker;
  return context != nullptr && context->running() ? context : nullptr;
}

ElementContext& required(char const* what) {
  if (ElementContext* const context = current()) return *context;
  throw std::logic_error(std::string("procpool: this_task::") + what +
                         " was called where no task runs");
}

}  // namespace

ElementContext::~ElementContext() = default;

// ---- random streams

namespace {

// These set the streams of slices and of parts apart from all others.
constexpr std::uint64_t of_slices = 0x736c69636573;
constexpr std::uint64_t of_parts = 0x7061727473;

// For one call no two indices have the same seed: mix() is a bijection.
std::uint64_t seed_of_index(std::uint64_t call, std::uint64_t index) noexcept {
  return mix(mix(call) + index);
}

}  // namespace

std::uint64_t ElementContext::seed() const noexcept {
  detail::SlicePosition const* const position = slice.load(std::memory_order_relaxed);
  if (position == nullptr) return seed_of_index(random(), index());
  // A slice as a whole draws from none of its elements' streams.
  bool const whole = position->of() == detail::SlicePosition::Of::whole_slice;
  return seed_of_index(whole ? random() ^ of_slices : random(), position->index());
}

std::uint64_t ElementContext::seed_of(std::uint64_t i) const noexcept {
  detail::SlicePosition const* const position = slice.load(std::memory_order_relaxed);
  if (position != nullptr && position->of() == detail::SlicePosition::Of::whole_slice) {
    return seed_of_index(random(), position->index() + i);
  }
  return seed_of_index(seed() ^ of_parts, i);
}

std::uint64_t ElementContext::draw() {
  Stream const wanted{run(), seed()};
  detail::Lock const lock(mutex_);
  if (!engine_ || stream_ != wanted) {
    engine_.emplace(wanted.seed);
    stream_ = wanted;
  }
  return (*engine_)();
}

detail::SlicePosition::SlicePosition(Of of, std::uint64_t first) noexcept
    : of_(of), index_(first), context_(current()) {
  // Relaxed: as all that an ElementContext knows of its element.
  if (context_ != nullptr) before_ = context_->slice.exchange(this, std::memory_order_relaxed);
}

detail::SlicePosition::~SlicePosition() {
  if (context_ != nullptr) context_->slice.store(before_, std::memory_order_relaxed);
}

// ---- contexts

void set_worker_context(ElementContext* context) noexcept { of_worker = context; }

ThreadContext::ThreadContext(ElementContext& context) noexcept
    : before_(std::exchange(of_thread, &context)) {}

ThreadContext::~ThreadContext() { of_thread = before_; }

void log(LogLevel level, std::string_view text) noexcept {
  ElementContext* const context = current();
  if (context != nullptr && context->log(level, text)) return;
  detail::if_possible([&] {
    std::string const line =
        std::string("procpool: ") + to_string(level) + ": " + os::one_line(text) + "\n";
    std::fputs(line.c_str(), stderr);
  });
}

char const* to_string(LogLevel level) noexcept {
  switch (level) {
    case LogLevel::trace: return "trace";
    case LogLevel::debug: return "debug";
    case LogLevel::info: return "info";
    case LogLevel::warning: return "warning";
    case LogLevel::error: return "error";
  }
  return "unknown";
}

namespace this_task {

bool running() noexcept { return current() != nullptr; }

std::string_view host() noexcept { return entry::host(); }

std::uint64_t index() { return required("index()").index(); }

bool stop_requested() noexcept {
  ElementContext* const context = current();
  return context != nullptr && context->stop_requested();
}

std::stop_token stop_token() { return required("stop_token()").stop_token(); }

void progress(std::uint64_t done, std::uint64_t total) noexcept {
  if (ElementContext* const context = current()) context->progress(done, total);
}

RandomStream::result_type RandomStream::operator()() { return required("random()").draw(); }

RandomStream::operator std::mt19937_64() {
  auto const half = [this] { return static_cast<std::uint32_t>((*this)() >> 32); };
  std::seed_seq seeds{half(), half(), half(), half()};
  return std::mt19937_64(seeds);
}

RandomStream random() {
  required("random()");
  return {};
}

std::mt19937_64 random(std::uint64_t i) { return std::mt19937_64(required("random()").seed_of(i)); }

}  // namespace this_task

}  // namespace procpool::inline v0_1
