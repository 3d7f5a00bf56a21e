// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#pragma once

// The operations, once, for the pool and for pool.with(...): each as operation<f>(...) with the
// function as a template argument, and as operation(callable, ...). Here are the operations that
// give a future, or results in order. stream_operations.hpp and slice_operations.hpp add the
// others. Derived gives make_caller(used options, operation). Given<R> is what the caller gets for
// an R that the function returns: an R, or an Outcome<R>.

#include <cstddef>
#include <exception>
#include <memory>
#include <optional>
#include <ranges>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

#include <procpool/callable.hpp>
#include <procpool/detail/call/call.hpp>
#include <procpool/detail/operations/call_options.hpp>
#include <procpool/detail/operations/caller.hpp>
#include <procpool/detail/operations/collect.hpp>
#include <procpool/future.hpp>
#include <procpool/outcome.hpp>
#include <procpool/results.hpp>

namespace procpool::inline v0_1::detail {

template <class C, class... Rs>
using map_result_t = result_t<C, reference_t<Rs>...>;

// starmap: the callable's arguments are the parts of the range's tuples.
template <class C, class Tuple, class Indices>
struct StarCall;
template <class C, class Tuple, std::size_t... Is>
struct StarCall<C, Tuple, std::index_sequence<Is...>> {
  using Checked = Call<C, decltype(std::get<Is>(std::declval<Tuple>()))...>;
  using Result = result_t<C, decltype(std::get<Is>(std::declval<Tuple>()))...>;
};
template <class C, class R>
using star_t =
    StarCall<C, reference_t<R>,
             std::make_index_sequence<std::tuple_size_v<std::remove_cvref_t<reference_t<R>>>>>;

inline constexpr unsigned map_options =
    use_chunk | use_on_error | use_progress | use_executor | use_when_full | use_always;

template <class Derived, template <class> class Given = std::type_identity_t>
class Operations {
 public:
  /// Gives one call to the pool; it runs in a worker as soon as one is free. Returns at once: the
  /// arguments have been encoded, the result is the future's. Any thread. Throws PoolClosed when
  /// the pool takes no more tasks, SetupError when no worker can be had, and what the encoding of
  /// an argument throws; nothing was submitted then. A future that is dropped does not stop its
  /// call.
  template <class C, class... Args>
  auto submit(C callable, Args&&... args) -> Future<Given<result_t<C, Args&&...>>> {
    using Checked = Call<C, Args&&...>;
    if constexpr (Checked::check()) {
      return Future<Given<result_t<C, Args&&...>>>(
          caller(use_executor | use_when_full | use_always, "submit")
              .start_one(callable, std::forward<Args>(args)...));
    } else {
      return {};
    }
  }
  template <auto F, class... Args>
  auto submit(Args&&... args) {
    return submit(fn<F>, std::forward<Args>(args)...);
  }

  /// As submit, if PoolOptions::queue_limit leaves room for it now; else nothing, and nothing was
  /// submitted. Does not block.
  template <class C, class... Args>
  auto try_submit(C callable, Args&&... args)
      -> std::optional<Future<Given<result_t<C, Args&&...>>>> {
    using Checked = Call<C, Args&&...>;
    if constexpr (Checked::check()) {
      Caller const made = caller(use_executor | use_always, "try_submit").refusing();
      try {
        return Future<Given<result_t<C, Args&&...>>>(
            made.start_one(callable, std::forward<Args>(args)...));
      } catch (QueueFull const&) {
        return std::nullopt;
      }
    } else {
      return {};
    }
  }
  template <auto F, class... Args>
  auto try_submit(Args&&... args) {
    return try_submit(fn<F>, std::forward<Args>(args)...);
  }

  /// submit and get: blocks until the call has ended.
  template <class C, class... Args>
  auto call(C callable, Args&&... args) -> Given<result_t<C, Args&&...>> {
    using Checked = Call<C, Args&&...>;
    if constexpr (Checked::check()) {
      return Future<Given<result_t<C, Args&&...>>>(
                 caller(use_when_full | use_always, "call")
                     .start_one(callable, std::forward<Args>(args)...))
          .get();
    } else {
      std::terminate();  // its sentence was said
    }
  }
  template <auto F, class... Args>
  auto call(Args&&... args) {
    return call(fn<F>, std::forward<Args>(args)...);
  }

  /// Calls the callable for each element and returns the results in the order of the inputs; with
  /// several ranges for the first elements of each, then the second, and so on until the shortest
  /// ends. Blocks until all have ended. If elements fail, the failure of the first by index is
  /// thrown, as a loop would throw it: those before it are run, of those behind it nothing begins
  /// any more (CallOptions::on_error says otherwise). void functions return nothing. Ranges are
  /// read once, on this thread; what they throw ends the call and passes through. Any thread;
  /// throws as submit does.
  template <class C, std::ranges::input_range R, std::ranges::input_range... Rs>
  auto map(C callable, R&& range, Rs&&... ranges) {
    using Result = Given<map_result_t<C, R, Rs...>>;
    if constexpr (Call<C, reference_t<R>, reference_t<Rs>...>::check()) {
      Caller const made = caller(map_options, "map");
      auto const task = made.start(callable, range, ranges...);
      Caller::finish(*task);
      return collect_values<Result>(*task, made.on_error());
    }
  }
  template <auto F, std::ranges::input_range R, std::ranges::input_range... Rs>
  auto map(R&& range, Rs&&... ranges) {
    return map(fn<F>, std::forward<R>(range), std::forward<Rs>(ranges)...);
  }

  /// As map, but returns as soon as the inputs are read and encoded.
  template <class C, std::ranges::input_range R, std::ranges::input_range... Rs>
  auto map_async(C callable, R&& range, Rs&&... ranges)
      -> Results<Given<map_result_t<C, R, Rs...>>> {
    if constexpr (Call<C, reference_t<R>, reference_t<Rs>...>::check()) {
      Caller const made = caller(map_options, "map_async");
      return {made.start(callable, range, ranges...), made.on_error()};
    } else {
      return {};
    }
  }
  template <auto F, std::ranges::input_range R, std::ranges::input_range... Rs>
  auto map_async(R&& range, Rs&&... ranges) {
    return map_async(fn<F>, std::forward<R>(range), std::forward<Rs>(ranges)...);
  }

  /// As map over one range of tuples or pairs, whose parts are the arguments of each call.
  template <class C, std::ranges::input_range R>
  auto starmap(C callable, R&& tuples) {
    using Star = star_t<C, R>;
    if constexpr (Star::Checked::check()) {
      Caller const made = caller(map_options, "starmap");
      auto const task = made.start_star<typename Star::Checked::Params>(callable, tuples);
      Caller::finish(*task);
      return collect_values<Given<typename Star::Result>>(*task, made.on_error());
    }
  }
  template <auto F, std::ranges::input_range R>
  auto starmap(R&& tuples) {
    return starmap(fn<F>, std::forward<R>(tuples));
  }

  /// As starmap, but returns as soon as the inputs are read and encoded.
  template <class C, std::ranges::input_range R>
  auto starmap_async(C callable, R&& tuples) -> Results<Given<typename star_t<C, R>::Result>> {
    using Star = star_t<C, R>;
    if constexpr (Star::Checked::check()) {
      Caller const made = caller(map_options, "starmap_async");
      return {made.start_star<typename Star::Checked::Params>(callable, tuples), made.on_error()};
    } else {
      return {};
    }
  }
  template <auto F, std::ranges::input_range R>
  auto starmap_async(R&& tuples) {
    return starmap_async(fn<F>, std::forward<R>(tuples));
  }

 private:
  Caller caller(unsigned used, char const* operation) {
    return static_cast<Derived&>(*this).make_caller(used, operation);
  }
};

}  // namespace procpool::inline v0_1::detail
