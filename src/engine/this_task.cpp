#include <procpool/this_task.hpp>

#include <stdexcept>
#include <utility>

#include "engine/element_context.hpp"

namespace procpool::inline v0 {
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

// The finaliser of SplitMix64: every bit of the input changes half of the output's.
std::uint64_t mix(std::uint64_t x) noexcept {
  x += 0x9e3779b97f4a7c15u;
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
  return x ^ (x >> 31);
}

}  // namespace

ElementContext::~ElementContext() = default;

void set_worker_context(ElementContext* context) noexcept { of_worker = context; }

ThreadContext::ThreadContext(ElementContext& context) noexcept
    : before_(std::exchange(of_thread, &context)) {}

ThreadContext::~ThreadContext() { of_thread = before_; }

std::uint64_t random_seed() {
  std::random_device device;
  return (static_cast<std::uint64_t>(device()) << 32) | device();
}

std::uint64_t random_of_call(std::uint64_t seed, std::uint64_t call) noexcept {
  return mix(mix(seed) + call);
}

namespace this_task {

bool running() noexcept { return current() != nullptr; }

std::uint64_t index() { return required("index()").index(); }

bool stop_requested() noexcept {
  ElementContext* const context = current();
  return context != nullptr && context->stop_requested();
}

std::stop_token stop_token() { return required("stop_token()").stop_token(); }

std::mt19937_64 random() {
  ElementContext const& context = required("random()");
  std::uint64_t const call = context.random();
  std::uint64_t const element = context.index();
  auto const low = [](std::uint64_t x) { return static_cast<std::uint32_t>(x); };
  // As the standard defines both, so that it is the same with every library.
  std::seed_seq seeds{low(call), low(call >> 32), low(element), low(element >> 32)};
  return std::mt19937_64(seeds);
}

}  // namespace this_task

}  // namespace procpool::inline v0
