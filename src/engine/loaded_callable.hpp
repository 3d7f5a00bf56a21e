// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#pragma once

// LoadedCallable: calls a trampoline for one element, or for a run of elements, and encodes its
// result or exception. Workers and the in-process engine run elements through it.
//
// One thread at a time. User code runs inside. Its exceptions are caught here, except the forced
// unwinding of a thread that is being ended, which must pass.

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <typeinfo>

#include <procpool/detail/call/function.hpp>
#include <procpool/detail/engine/bytes.hpp>

#include "engine/listed_exceptions.hpp"

namespace procpool::inline v0_1 {

// A callable in the process that runs elements. It is made from its state once, and then called for
// each element.
class LoadedCallable {
 public:
  LoadedCallable() = default;
  // Throws the exceptions of the decoding of the state.
  LoadedCallable(detail::Trampoline code, std::span<std::byte const> state);
  LoadedCallable(LoadedCallable&& other) noexcept;
  LoadedCallable& operator=(LoadedCallable&& other) noexcept;
  ~LoadedCallable();

  // True: `out` holds the encoded result. False: it holds the encoded exception. `named` has the
  // resources that it names, and is empty before.
  bool call(std::span<std::byte const> arguments, detail::Bytes& out,
            std::atomic<std::uint32_t>& stage, ListedExceptions& listed,
            detail::Resource::List& named);

  // Runs the elements of the run up to its end: true; or up to an element that throws: false, and
  // `thrown` and `named` are as call() leaves them. Only if can_run().
  bool run(detail::Run& run, detail::Bytes& thrown, std::atomic<std::uint32_t>& stage,
           ListedExceptions& listed, detail::Resource::List& named);
  bool can_run() const;
  // Destroys Operation::remains of the last call.
  void drop_deferred() noexcept { remains_.reset(); }

  // The type of the callable.
  std::type_info const& type() const;

 private:
  detail::Operation describe() const;
  // False: the operation threw, and `out` holds the encoded exception.
  static bool run_trampoline(detail::Trampoline code, detail::Operation& operation,
                             detail::Bytes& out, ListedExceptions& listed);

  detail::Trampoline code_ = nullptr;
  void* callable_ = nullptr;
  std::shared_ptr<void> remains_;
};

// A call without arguments that is no element: loads the callable, calls it and drops it with its
// result. Returns the encoded exception. Empty: there was none.
detail::Bytes call_alone(detail::Trampoline code, std::span<std::byte const> state);

}  // namespace procpool::inline v0_1
