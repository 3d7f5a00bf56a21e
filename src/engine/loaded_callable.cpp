// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#include "engine/loaded_callable.hpp"

#include <cxxabi.h>

#include <utility>

#include <procpool/detail/codec/exception_codec.hpp>
#include <procpool/detail/export.hpp>

namespace procpool::inline v0_1 {

using detail::Operation;

LoadedCallable::LoadedCallable(detail::Trampoline code, std::span<std::byte const> state)
    : code_(code) {
  Operation load;
  load.kind = Operation::Kind::load_callable;
  load.input = state;
  code_(load);
  callable_ = load.callable;
}

LoadedCallable::LoadedCallable(LoadedCallable&& other) noexcept
    : code_(std::exchange(other.code_, nullptr)),
      callable_(std::exchange(other.callable_, nullptr)) {}

LoadedCallable& LoadedCallable::operator=(LoadedCallable&& other) noexcept {
  std::swap(code_, other.code_);
  std::swap(callable_, other.callable_);
  return *this;
}

LoadedCallable::~LoadedCallable() {
  if (code_ == nullptr || callable_ == nullptr) return;
  Operation drop;
  drop.kind = Operation::Kind::drop_callable;
  drop.callable = callable_;
  code_(drop);
}

Operation LoadedCallable::describe() const {
  Operation description;
  description.kind = Operation::Kind::describe;
  code_(description);
  return description;
}

std::type_info const& LoadedCallable::type() const { return *describe().type; }

bool LoadedCallable::can_run() const { return describe().runs; }

bool LoadedCallable::call(std::span<std::byte const> arguments, detail::Bytes& out,
                          std::atomic<std::uint32_t>& stage, ListedExceptions& listed,
                          detail::Resource::List& named) {
  out.clear();
  Operation operation;
  operation.kind = Operation::Kind::call;
  operation.callable = callable_;
  operation.input = arguments;
  operation.output = &out;
  operation.stage = &stage;
  operation.named = &named;
  bool const value = run_trampoline(code_, operation, out, listed);
  if (operation.remains != nullptr) remains_ = std::move(operation.remains);
  return value;
}

bool LoadedCallable::run(detail::Run& run, detail::Bytes& thrown, std::atomic<std::uint32_t>& stage,
                         ListedExceptions& listed, detail::Resource::List& named) {
  Operation operation;
  operation.kind = Operation::Kind::run;
  operation.callable = callable_;
  operation.run = &run;
  operation.stage = &stage;
  operation.named = &named;
  return run_trampoline(code_, operation, thrown, listed);
}

PROCPOOL_PASSES_FORCED_END bool LoadedCallable::run_trampoline(detail::Trampoline code,
                                                               Operation& operation,
                                                               detail::Bytes& out,
                                                               ListedExceptions& listed) {
  try {
    code(operation);
    return true;
  } catch (abi::__forced_unwind&) {
    throw;  // pthread_exit or cancellation: swallowing it would abort the process
  } catch (...) {
    out.clear();
    operation.named->clear();
    detail::ResourceCollector const collector(*operation.named);
    detail::encode_current_exception(out, listed.functions());
    return false;
  }
}

PROCPOOL_PASSES_FORCED_END detail::Bytes call_alone(detail::Trampoline code,
                                                    std::span<std::byte const> state) {
  detail::Bytes out;
  try {
    LoadedCallable callable(code, state);
    std::atomic<std::uint32_t> stage{0};
    ListedExceptions none;
    detail::Resource::List named;
    if (callable.call({}, out, stage, none, named)) out.clear();
  } catch (abi::__forced_unwind&) {
    throw;
  } catch (...) {
    out.clear();
    detail::encode_current_exception(out);
  }
  return out;
}

}  // namespace procpool::inline v0_1
