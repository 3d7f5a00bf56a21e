#pragma once

// LoadedCallable: calls a trampoline for one element, or for a run of them, and encodes its result
// or exception. Workers and the in-process engine run elements through it.
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

namespace procpool::inline v0 {

// A callable where elements run: made from its state once, then called for each element.
class LoadedCallable {
 public:
  LoadedCallable() = default;
  // Exceptions of the loading of the state pass through.
  LoadedCallable(detail::Trampoline code, std::span<std::byte const> state);
  LoadedCallable(LoadedCallable&& other) noexcept;
  LoadedCallable& operator=(LoadedCallable&& other) noexcept;
  ~LoadedCallable();

  // True: `out` holds the encoded result. False: it holds the encoded exception.
  bool call(std::span<std::byte const> arguments, detail::Bytes& out,
            std::atomic<std::uint32_t>& stage, ListedExceptions& listed);

  // Goes through the run until it is over: true; or until an element throws: false, `thrown` holds
  // the encoded exception. Only where can_run() says so.
  bool run(detail::Run& run, detail::Bytes& thrown, std::atomic<std::uint32_t>& stage,
           ListedExceptions& listed);
  bool can_run() const;
  // Destroys what the last call has put aside, see Operation::remains.
  void drop_deferred() noexcept { remains_.reset(); }

  // Of the callable.
  std::type_info const& type() const;

 private:
  detail::Operation describe() const;
  // False: it has thrown, and that is encoded in `out`.
  static bool perform(detail::Trampoline code, detail::Operation& operation, detail::Bytes& out,
                      ListedExceptions& listed);

  detail::Trampoline code_ = nullptr;
  void* callable_ = nullptr;
  std::shared_ptr<void> remains_;
};

}  // namespace procpool::inline v0
