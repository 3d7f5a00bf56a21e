// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#pragma once

// The operations that cut their input into slices: parallelize and parallelize_reduce. See
// operations.hpp.

#include <chrono>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <ranges>
#include <stdexcept>
#include <type_traits>
#include <utility>
#include <vector>

#include <procpool/callable.hpp>
#include <procpool/detail/call/call.hpp>
#include <procpool/detail/operations/call_options.hpp>
#include <procpool/detail/operations/caller.hpp>
#include <procpool/detail/operations/collect.hpp>
#include <procpool/detail/operations/reduce.hpp>
#include <procpool/detail/operations/slicing.hpp>
#include <procpool/slices.hpp>

namespace procpool::inline v0_1::detail {

inline constexpr unsigned slice_options =
    use_slices | use_on_error | use_progress | use_executor | use_when_full | use_always;

template <class Derived, template <class> class Given = std::type_identity_t>
class SliceOperations {
  static constexpr bool gives_outcomes = is_outcome<Given<void>>;

 public:
  /// Cuts the range into slices that differ by at most one element and calls the callable for each,
  /// with the slice as a std::vector or std::span and the other arguments behind it, which are sent
  /// once per worker. A slice of a SharedArray is a handle, for a span or a SharedArray; its elements
  /// are not copied. Vectors that it returns are put together in order; single values become a
  /// vector in order; void functions return nothing. As many slices as CallOptions::slices says, by
  /// default one per worker, but none is empty. Blocks; errors as in map, a slice being an element.
  /// Behind outcomes() a vector with the outcome of each slice, in order.
  template <class C, std::ranges::input_range R, class... Args>
  auto parallelize(C callable, R&& range, Args&&... args) {
    auto const bound = bind_rest(std::move(callable), std::forward<Args>(args)...);
    using B = std::remove_const_t<decltype(bound)>;
    using Slice = slice_t<B, R>;
    if constexpr (Call<B, Slice const&>::check()) {
      Caller const made = caller("parallelize");
      auto const task =
          start_slices(made, bound, range, slices(made, made.engine().size()), nullptr);
      return gather<Given<result_t<B, Slice const&>>>(made, *task);
    }
  }
  template <auto F, std::ranges::input_range R, class... Args>
  auto parallelize(R&& range, Args&&... args) {
    return parallelize(fn<F>, std::forward<R>(range), std::forward<Args>(args)...);
  }

  /// parallelize, and where the time went: a Timed with the results, how long each slice took in
  /// which worker, and how long the whole took.
  template <class C, std::ranges::input_range R, class... Args>
  auto parallelize_timed(C callable, R&& range, Args&&... args) {
    static_assert(!gives_outcomes || std::is_void_v<C>,
                  "procpool: outcomes() has the times of each slice already: call parallelize, and "
                  "ask each outcome for its times()");
    auto const begin = std::chrono::steady_clock::now();
    auto const watch = Stopwatch{bind_rest(std::move(callable), std::forward<Args>(args)...)};
    using B = std::remove_const_t<decltype(watch.callable)>;
    using Slice = slice_t<B, R>;
    if constexpr (!gives_outcomes && Call<B, Slice const&>::check()) {
      using Result = result_t<B, Slice const&>;
      Caller const made = caller("parallelize_timed");
      std::vector<SliceTiming> timings;
      auto const task =
          start_slices(made, watch, range, slices(made, made.engine().size()), &timings);
      Caller::finish(*task);
      auto results = collect_values<TimedResult<Result>>(*task, made.on_error());
      for (std::size_t i = 0; i < results.size(); ++i) {
        timings[i].took = results[i].took;
        timings[i].worker = results[i].worker;
      }
      auto const elapsed = [&] { return std::chrono::steady_clock::now() - begin; };
      if constexpr (std::is_void_v<Result>) {
        return Timed<void>{std::move(timings), elapsed()};
      } else {
        std::vector<Result> values;
        values.reserve(results.size());
        for (auto& result : results) values.push_back(std::move(result.value));
        auto all = flatten(std::move(values));
        return Timed<decltype(all)>{std::move(all), std::move(timings), elapsed()};
      }
    }
  }
  template <auto F, std::ranges::input_range R, class... Args>
  auto parallelize_timed(R&& range, Args&&... args) {
    return parallelize_timed(fn<F>, std::forward<R>(range), std::forward<Args>(args)...);
  }

  /// function(i, args...) for each i of [first, last), put together by op: what op(... op(op(init,
  /// f(first)), f(first + 1)) ...) gives if op is associative. Slices are folded in the workers,
  /// their values in a worker too, always in order; with floating point the number of slices
  /// (CallOptions::slices, by default four per worker) may show in the last digits. `init` gives
  /// the type; an empty range gives `init`. Throws std::invalid_argument if first > last; errors as
  /// in map, a slice being an element.
  template <class C, class Op, std::integral I, class T, class... Args>
    requires(!std::same_as<I, bool>)
  T parallelize_reduce(C function, Op op, I first, std::type_identity_t<I> last, T init,
                       Args&&... args) {
    return reduce_bound(first, last, std::move(init), std::move(op), std::move(function),
                        std::forward<Args>(args)...);
  }
  template <auto F, auto Op, std::integral I, class T, class... Args>
    requires(!std::same_as<I, bool>)
  T parallelize_reduce(I first, std::type_identity_t<I> last, T init, Args&&... args) {
    return reduce_bound(first, last, std::move(init), fn<Op>, fn<F>, std::forward<Args>(args)...);
  }

 private:
  // `init` is handed on by reference. It may be large, and a copy on the way would lie on the stack.
  template <std::integral I, class T, class Op, class C, class... Args>
  T reduce_bound(I first, I last, T&& init, Op op, C function, Args&&... args) {
    if (last < first) {
      throw std::invalid_argument("procpool: parallelize_reduce from " + std::to_string(first) +
                                  " to " + std::to_string(last) +
                                  ": the range ends before it begins");
    }
    static_assert(
        !gives_outcomes || std::is_void_v<C>,
        "procpool: a reduction has one result, and outcomes() gives one for each element: "
        "call parallelize_reduce without it, or parallelize and fold the outcomes here");
    if constexpr (!gives_outcomes && check_callable<Op>()) {
      auto bound = bind_rest(std::move(function), std::forward<Args>(args)...);
      using B = decltype(bound);
      if constexpr (Call<B, I>::check()) {
        using Fold = FoldSlice<B, Op, I, T>;
        if constexpr (Call<Fold, I, I>::check()) {
          return reduce(Fold{std::move(bound), op}, FoldValues<Op, T>{op}, first, last,
                        std::forward<T>(init));
        }
      }
    }
    return std::forward<T>(init);
  }

  Caller caller(char const* operation) {
    return static_cast<Derived&>(*this).make_caller(slice_options, operation);
  }

  static std::size_t slices(Caller const& made, std::size_t usual) {
    auto const& wanted = made.options().slices;
    return wanted ? checked(*wanted, "slices", max_slices) : usual;
  }

  template <class Result>
  static auto gather(Caller const& made, Task& task) {
    Caller::finish(task);
    if constexpr (std::is_void_v<Result> || gives_outcomes) {
      return collect_values<Result>(task, made.on_error());
    } else {
      return flatten(collect_values<Result>(task, made.on_error()));
    }
  }

  template <class Fold, class FoldAll, class I, class T>
  T reduce(Fold const& fold, FoldAll const& fold_all, I first, I last, T&& init) {
    using Ps = typename Call<Fold, I, I>::Params;
    Caller const made = caller("parallelize_reduce");
    // Unsigned: the distance may be more than I can hold.
    using Distance = std::make_unsigned_t<I>;
    auto const count =
        static_cast<Distance>(static_cast<Distance>(last) - static_cast<Distance>(first));
    if (count == 0) return std::forward<T>(init);
    Slices const cut(count, slices(made, 4 * made.engine().size()));
    auto const task = made.many<Ps>(fold, {.stop_on_error = made.stops_on_error()}, cut.number);
    made.feed<Ps>(task, [&](auto& writer) {
      for (std::size_t i = 0; i < cut.number && writer.wanted(); ++i) {
        auto const from = static_cast<I>(static_cast<Distance>(first) + cut.begin(i));
        writer.add(from, static_cast<I>(static_cast<Distance>(from) + cut.size(i)));
      }
    });
    Caller::finish(*task);
    std::vector<T> values = collect_values<T>(*task, made.on_error());
    auto const last_step = made.start_one(fold_all, std::forward<T>(init), std::move(values));
    last_step->wait_until(std::nullopt);
    return std::move(collect_values<T>(*last_step).front());
  }
};

}  // namespace procpool::inline v0_1::detail
