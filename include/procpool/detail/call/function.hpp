// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#pragma once

// A function as the compiled core sees it: the address of one trampoline per (callable type,
// argument types), and the bytes of the callable's state if it has any. The address is sent,
// as (build-id of its module, offset); the worker calls the same trampoline in its own copy.

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <typeinfo>

#include <procpool/detail/engine/bytes.hpp>
#include <procpool/detail/engine/interface_version.hpp>
#include <procpool/detail/engine/run.hpp>
#include <procpool/detail/engine/stage.hpp>
#include <procpool/detail/handle/resource.hpp>

namespace procpool::inline v0_1::detail {

// One request of the engine to a trampoline. A trampoline may throw anything out of
// `load_callable`, `call` and `run`: what a task throws is its outcome.
struct Operation {
  enum class Kind : std::uint8_t { load_callable, call, run, drop_callable, describe };

  Kind kind = Kind::call;
  void* callable = nullptr;  // load_callable: set; call, run: used; drop_callable: destroyed
  std::span<std::byte const> input;  // load_callable: the state; call: one element's arguments
  Bytes* output = nullptr;           // call: the encoded result is appended here
  Run* run = nullptr;  // run: gone through until it says that it is over, or one throws
  std::type_info const* type = nullptr;         // describe: set to the callable's type
  bool runs = false;                            // describe: set if `run` may be asked for
  std::atomic<std::uint32_t>* stage = nullptr;  // call, run: where to note the Stage, never null
  // call: what may be destroyed once the outcome is out. Never anything that runs users' code.
  std::shared_ptr<void> remains{};
  Resource::List* named = nullptr;  // call: the resources that the result names are added

  void enter(Stage now) const noexcept {
    // Relaxed: read only after this process is dead, by when every store of it has happened.
    stage->store(static_cast<std::uint32_t>(now), std::memory_order_relaxed);
  }
};

using Trampoline = void (*)(Operation&);

// When the module that has this variable was loaded, in nanoseconds; each module has its own. An
// address alone does not say which function it is: where a module was unloaded another one may come
// to lie.
[[gnu::visibility("hidden")]] inline std::int64_t const module_loaded =
    module_load_time(InterfaceVersion<interface_version>());

struct Function {
  Trampoline code = nullptr;
  std::int64_t loaded = 0;             // module_loaded of the code's module
  std::shared_ptr<Bytes const> state;  // null: the callable has none
  Resource::List resources;            // that the state names
  std::size_t argument_size = 0;       // bytes of every element's arguments; 0: they vary
  std::size_t result_size = 0;         // bytes of every result; 0: they vary
  bool returns_nothing = false;        // a void function: its values carry no bytes at all
};

}  // namespace procpool::inline v0_1::detail
