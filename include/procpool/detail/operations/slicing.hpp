// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#pragma once

// parallelize: a range cut into slices that differ by at most one element, one call per slice, and
// the results put together in order. Runs on the caller's thread.

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <iterator>
#include <ranges>
#include <span>
#include <type_traits>
#include <utility>
#include <vector>

#include <procpool/detail/call/bound.hpp>
#include <procpool/detail/codec/in_place.hpp>
#include <procpool/detail/operations/caller.hpp>
#include <procpool/detail/operations/collect.hpp>
#include <procpool/detail/operations/slice_position.hpp>
#include <procpool/entry.hpp>
#include <procpool/slices.hpp>
#include <procpool/this_task.hpp>

namespace procpool::inline v0_1::detail {

// `count` elements in at most `wanted` slices, none of them empty.
struct PROCPOOL_API Slices {
  Slices(std::size_t count, std::size_t wanted);

  // Where slice `index` begins.
  std::size_t begin(std::size_t index) const noexcept {
    return index * each + (index < longer ? index : longer);
  }
  std::size_t size(std::size_t index) const noexcept { return each + (index < longer ? 1 : 0); }
  std::size_t count() const noexcept { return number * each + longer; }

  std::size_t number;
  std::size_t each;
  std::size_t longer;  // so many, the first ones, have one element more
};

PROCPOOL_API void add_place(std::vector<SliceTiming>& places, Slices const& slices,
                            std::size_t index);

// The element type of a slice: that of the function's first parameter if it can be told, else that
// of the range.
template <class T>
struct ElementOf {
  static constexpr bool known = false;
};
template <class T>
struct ElementOf<std::vector<T>> {
  static constexpr bool known = true;
  using type = T;
};

template <class Ps, class Given>
struct SliceElement {
  using type = Given;
};
template <class P, class... Ps, class Given>
  requires ElementOf<serialized_t<P>>::known
struct SliceElement<Parameters<P, Ps...>, Given> : ElementOf<serialized_t<P>> {};

template <class T>
inline constexpr bool is_vector = false;
template <class T>
inline constexpr bool is_vector<std::vector<T>> = true;

// A slice is a vector of elements. One of an array in shared memory is a handle, unless the function
// wants a vector.
template <class Ps>
inline constexpr bool wants_vector = false;
template <class P, class... Ps>
inline constexpr bool wants_vector<Parameters<P, Ps...>> = is_vector<std::remove_cvref_t<P>>;

template <class C, class R>
struct SliceFor {
  using type =
      std::vector<typename SliceElement<signature_t<C>, std::ranges::range_value_t<R>>::type>;
};
template <class C, class T>
  requires(!wants_vector<signature_t<C>>)
struct SliceFor<C, SharedArray<T>> {
  using type = SharedArray<T>;
};
template <class C, class R>
using slice_t = typename SliceFor<C, std::remove_cvref_t<R>>::type;

// The callable with the arguments that are the same for all slices bound behind the slice.
template <class C, class... Args>
auto bind_rest(C callable, Args&&... args) {
  if constexpr (sizeof...(Args) == 0) {
    return callable;
  } else {
    return bind<false>(std::move(callable), std::forward<Args>(args)...);
  }
}

// ---- timings

template <class R>
struct TimedResult {
  R value;
  std::chrono::nanoseconds took;
  int worker;
};
template <>
struct TimedResult<void> {
  std::chrono::nanoseconds took;
  int worker;
};

// Calls and takes the time, in the worker.
template <class C>
struct Stopwatch {
  C callable;

  template <class... Args>
    requires std::is_invocable_v<C const&, Args...>
  auto operator()(Args&&... args) const {
    using R = std::remove_cvref_t<std::invoke_result_t<C const&, Args...>>;
    auto const begin = std::chrono::steady_clock::now();
    auto const took = [&] { return std::chrono::steady_clock::now() - begin; };
    if constexpr (std::is_void_v<R>) {
      std::invoke(callable, std::forward<Args>(args)...);
      return TimedResult<void>{took(), worker_index()};
    } else {
      // Braces: the call comes first.
      return TimedResult<serialized_t<R>>{serialized_result<R>([&]() -> decltype(auto) {
                                            return std::invoke(callable,
                                                               std::forward<Args>(args)...);
                                          }),
                                          took(), worker_index()};
    }
  }
};

template <class C>
struct Signature<Stopwatch<C>> : Signature<C> {};
template <class C>
inline constexpr bool is_bound<Stopwatch<C>> = true;
template <class C>
struct CallableState<Stopwatch<C>> {
  static constexpr bool stateless = CallableState<C>::stateless;
  static void save(Bytes& out, Stopwatch<C> const& watch) {
    CallableState<C>::save(out, watch.callable);
  }
  static Stopwatch<C> load(std::span<std::byte const>& in) { return {CallableState<C>::load(in)}; }
};

// ---- the position of a slice

// Calls with a slice. In the worker it knows from the number of the slice where in the range it
// begins.
template <class C>
struct Sliced {
  C callable;
  Slices slices;

  template <class... Args>
    requires std::is_invocable_v<C const&, Args...>
  decltype(auto) operator()(Args&&... args) const {
    auto const index = this_task::running() ? static_cast<std::size_t>(this_task::index()) : 0;
    SlicePosition const position(SlicePosition::Of::whole_slice, slices.begin(index));
    return std::invoke(callable, std::forward<Args>(args)...);
  }
};

template <class C>
struct Signature<Sliced<C>> : Signature<C> {};
template <class C>
inline constexpr bool is_bound<Sliced<C>> = true;
template <class C>
struct CallableState<Sliced<C>> {
  static constexpr bool stateless = false;
  static void save(Bytes& out, Sliced<C> const& sliced) {
    encode(out, static_cast<std::uint64_t>(sliced.slices.count()));
    encode(out, static_cast<std::uint64_t>(sliced.slices.number));
    CallableState<C>::save(out, sliced.callable);
  }
  static Sliced<C> load(std::span<std::byte const>& in) {
    Reader reader(in);
    auto const count = reader.read<std::uint64_t>();
    auto const number = reader.read<std::uint64_t>();
    in = in.last(reader.remaining());
    return {CallableState<C>::load(in), Slices(count, number)};
  }
};

// ---- the call

// Slice `index` of the range. `next` is where the one before it ended.
template <class Slice, class R, class Iterator>
Slice take_slice(R& range, Iterator& next, Slices const& slices, std::size_t index) {
  if constexpr (std::is_same_v<Slice, std::remove_cvref_t<R>> && !is_vector<Slice>) {
    return range.slice(slices.begin(index), slices.size(index));
  } else {
    Slice slice;
    slice.reserve(slices.size(index));
    // The range may have no end but the counted one: not a step further than needed.
    for (std::size_t n = 0; n < slices.size(index); ++n) {
      if (index + n != 0) ++next;
      using Element = typename Slice::value_type;
      put_made<Element>(
          [&] { return to_serialized<Element>(*next); },
          [&](auto&& element) { slice.emplace_back(std::forward<decltype(element)>(element)); });
    }
    return slice;
  }
}

// Starts a call of `callable` per slice of the range.
template <class C, class R>
std::shared_ptr<Task> start_slices(Caller const& caller, C const& callable, R& range,
                                   std::size_t wanted, std::vector<SliceTiming>* places) {
  using Slice = slice_t<C, R>;
  if constexpr (!std::ranges::forward_range<R> && !std::ranges::sized_range<R>) {
    // How many there are is known only when all are here.
    Slice all;
    for (auto&& element : range) all.push_back(std::forward<decltype(element)>(element));
    return start_slices(caller, callable, all, wanted, places);
  } else {
    using Ps = typename Call<C, Slice const&>::Params;
    Slices const slices(static_cast<std::size_t>(std::ranges::distance(range)), wanted);
    auto task = caller.many<Ps>(Sliced<C>{callable, slices},
                                {.stop_on_error = caller.stops_on_error()}, slices.number);
    caller.feed<Ps>(task, [&](auto& writer) {
      auto next = std::ranges::begin(range);
      for (std::size_t i = 0; i < slices.number && writer.wanted(); ++i) {
        Slice const slice = take_slice<Slice>(range, next, slices, i);
        if (places) add_place(*places, slices, i);
        writer.add(slice);
      }
    });
    return task;
  }
}

// Vectors end to end. Other results as they are.
template <class R>
auto flatten(std::vector<R> results) {
  if constexpr (is_vector<R>) {
    if (results.size() == 1) return std::move(results.front());
    R all;
    std::size_t size = 0;
    for (R const& each : results) size += each.size();
    all.reserve(size);
    for (R& each : results) {
      for (auto&& element : each) all.push_back(std::move(element));
      each = R();  // its memory is not needed twice for longer than it takes
    }
    return all;
  } else {
    return results;
  }
}

}  // namespace procpool::inline v0_1::detail
