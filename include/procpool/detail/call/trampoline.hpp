// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#pragma once

// The trampoline: the one function per (callable type, parameter types) whose address is the
// identity of the call. In the worker it decodes the arguments of an element, calls, and encodes
// the result. It lets everything that is thrown pass: what a task throws is its outcome.

#include <functional>
#include <memory>
#include <string>
#include <type_traits>
#include <typeinfo>
#include <utility>
#include <vector>

#include <procpool/detail/call/call.hpp>
#include <procpool/detail/call/function.hpp>
#include <procpool/detail/codec/codec.hpp>
#include <procpool/detail/codec/in_place.hpp>

namespace procpool::inline v0_1::detail {

// Destroying it only gives memory back. That takes the kernel a while where the memory is large.
template <class T>
inline constexpr bool only_memory = false;
template <class T>
inline constexpr bool only_memory<std::vector<T>> = std::is_trivially_destructible_v<T>;
template <class T>
inline constexpr bool only_memory<std::basic_string<T>> = true;

// One element: its arguments decoded from all of `input`, the call, and its result given to `save`.
// `enter` is told each Stage of it.
template <class C, class... Ps, class Enter, class Save>
void invoke_element(Operation& operation, std::span<std::byte const> input, Enter const& enter,
                    Save const& save) {
  enter(Stage::loading);
  C const& callable = *static_cast<C const*>(operation.callable);
  Reader reader(input);
  Row<serialized_t<Ps>...> arguments(std::in_place, ReadNext<serialized_t<Ps>>{reader}...);
  reader.finish();
  // What is shown lives until the result is encoded: a reference or a view may refer to it.
  auto const call = [&](argument_view_t<Ps>&&... shown) {
    using Result = typename ResultOf<C, Ps...>::type;
    enter(Stage::running);
    if constexpr (std::is_void_v<Result>) {
      std::invoke(callable, std::forward<argument_view_t<Ps>>(shown)...);
      enter(Stage::saving);
    } else {
      using Returned = std::invoke_result_t<C const&, argument_view_t<Ps>...>;
      // Not a variable: see MadeBlank.
      auto const finish = [&](auto&& result) {
        enter(Stage::saving);
        save(as_serialized<Result>(std::forward<decltype(result)>(result)));
        if constexpr (only_memory<Result> && std::is_same_v<Returned, Result>) {
          if (operation.output->size() >= huge_from) {
            operation.remains = std::make_shared<Result>(std::forward<decltype(result)>(result));
          }
        }
      };
      finish(std::invoke(callable, std::forward<argument_view_t<Ps>>(shown)...));
    }
  };
  arguments.apply([&](auto&... values) { call(argument_view<Ps>(values)...); });
}

template <class T>
consteval std::size_t result_size() {
  if constexpr (std::is_void_v<T>) {
    return 0;
  } else {
    return fixed_size<T>;
  }
}

template <class C, class... Ps>
void call_element(Operation& operation) {
  auto const enter = [&](Stage stage) { operation.enter(stage); };
  invoke_element<C, Ps...>(operation, operation.input, enter, [&](auto const& result) {
    using Result = typename ResultOf<C, Ps...>::type;
    if constexpr (result_size<Result>() != 0) {
      encode<Result>(*operation.output, result);
    } else {  // only values of varying size can name resources
      ResourceCollector const collector(*operation.named);
      encode<Result>(*operation.output, result);
    }
  });
}

// Arguments and results all have a fixed size: a Run of such elements needs no memory of its own.
template <class C, class... Ps>
consteval bool can_run() {
  using Result = typename ResultOf<C, Ps...>::type;
  if constexpr (((fixed_size<serialized_t<Ps>> != 0) && ...)) {
    if constexpr (std::is_void_v<Result>) {
      return true;
    } else {
      return fixed_size<Result> != 0;
    }
  } else {
    return false;
  }
}

// Neither decoding the arguments nor encoding the result runs code of the user, so nothing can go
// wrong there.
template <class C, class... Ps>
consteval bool only_calls() {
  using Result = typename ResultOf<C, Ps...>::type;
  if constexpr (((bitwise<serialized_t<Ps>> && std::is_trivially_copyable_v<serialized_t<Ps>>) &&
                 ...)) {
    if constexpr (std::is_void_v<Result>) {
      return true;
    } else {
      return bitwise<Result> && std::is_trivially_copyable_v<Result>;
    }
  } else {
    return false;
  }
}

template <class C, class... Ps>
void run_elements(Operation& operation) {
  constexpr std::size_t size = (std::size_t{0} + ... + fixed_size<serialized_t<Ps>>);
  // Its own while it goes on, so that it can be kept in registers; told back also when one throws.
  struct Local {
    Run run;
    Run& told;
    ~Local() { told.follow(run); }
  } local{*operation.run, *operation.run};
  Run& run = local.run;
  constexpr bool one_stage = only_calls<C, Ps...>();
  if constexpr (one_stage) operation.enter(Stage::running);
  auto const enter = [&]([[maybe_unused]] Stage stage) {
    if constexpr (!one_stage) operation.enter(stage);
  };
  for (bool more = run.begun() || run.begin(); more; more = run.begin()) {
    invoke_element<C, Ps...>(operation, {run.arguments(), size}, enter, [&run](auto const& result) {
      if (!run.abandoned()) {
        encode_at<typename ResultOf<C, Ps...>::type>(run.result(), result);
      }
    });
    if (run.abandoned()) return;
    run.done();
  }
}

template <class C, class... Ps>
void trampoline(Operation& operation) {
  switch (operation.kind) {
    case Operation::Kind::load_callable: {
      std::span<std::byte const> state = operation.input;
      operation.callable = new C(CallableState<C>::load(state));
      break;
    }
    case Operation::Kind::call: call_element<C, Ps...>(operation); break;
    case Operation::Kind::run:
      if constexpr (can_run<C, Ps...>()) run_elements<C, Ps...>(operation);
      break;
    case Operation::Kind::drop_callable: delete static_cast<C*>(operation.callable); break;
    case Operation::Kind::describe:
      operation.type = &typeid(C);
      operation.runs = can_run<C, Ps...>();
      break;
  }
}

template <class C, class... Ps>
Function make_function(C const& callable, Parameters<Ps...>) {
  using Result = typename ResultOf<C, Ps...>::type;
  Function function;
  function.code = &trampoline<C, Ps...>;
  function.loaded = module_loaded;
  if constexpr (!CallableState<C>::stateless) {
    Bytes state;
    ResourceCollector const collector(function.resources, ResourceCollector::Receivers::many);
    CallableState<C>::save(state, callable);
    function.state = std::make_shared<Bytes const>(std::move(state));
  }
  if constexpr (((fixed_size<serialized_t<Ps>> != 0) && ...)) {
    function.argument_size = (std::size_t{0} + ... + fixed_size<serialized_t<Ps>>);
  }
  function.result_size = result_size<Result>();
  function.returns_nothing = std::is_void_v<Result>;
  return function;
}

}  // namespace procpool::inline v0_1::detail
