#pragma once

// The verbs, once, for the pool and for pool.with(...): each as verb<f>(...) with the function as a
// template argument and as verb(callable, ...). Derived gives engine() and call_options().

#include <memory>
#include <ranges>
#include <stdexcept>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

#include <procpool/callable.hpp>
#include <procpool/detail/call.hpp>
#include <procpool/detail/collect.hpp>
#include <procpool/detail/engine.hpp>
#include <procpool/detail/segments.hpp>
#include <procpool/detail/trampoline.hpp>
#include <procpool/future.hpp>
#include <procpool/options.hpp>
#include <procpool/outcome.hpp>

namespace procpool::inline v0::detail {

template <class R>
using reference_t = std::ranges::range_reference_t<R>;

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

template <class Derived>
class Verbs {
 public:
  /// Gives one call to the pool; it runs in a worker as soon as one is free. Returns at once: the
  /// arguments have been encoded, the result is the future's. Any thread. Throws PoolClosed when the
  /// pool takes no more tasks, SetupError when no worker can be had, and what the encoding of an argument
  /// throws; nothing was submitted then. A future that is dropped does not stop its call.
  template <class C, class... Args>
  auto submit(C callable, Args&&... args) -> Future<result_t<C, Args&&...>> {
    using Checked = Call<C, Args&&...>;
    if constexpr (Checked::check()) {
      refuse_chunk();
      auto task = make_task<typename Checked::Params>(callable, 0);
      SegmentWriter<typename Checked::Params> writer(engine(), task);
      writer.add(std::forward<Args>(args)...);
      writer.finish();
      return Future<result_t<C, Args&&...>>(std::move(task));
    } else {
      return {};
    }
  }
  template <auto F, class... Args>
  auto submit(Args&&... args) {
    return submit(fn<F>, std::forward<Args>(args)...);
  }

  /// submit and get: blocks until the call has ended.
  template <class C, class... Args>
  auto call(C callable, Args&&... args) {
    return submit(std::move(callable), std::forward<Args>(args)...).get();
  }
  template <auto F, class... Args>
  auto call(Args&&... args) {
    return submit(fn<F>, std::forward<Args>(args)...).get();
  }

  /// Calls the callable for each element and returns the results in the order of the inputs; with
  /// several ranges for the first elements of each, then the second, and so on until the shortest ends.
  /// Blocks until all have ended. All elements are run, also when some fail; then the first failure by
  /// index is thrown. void functions return nothing. Ranges are read once, on this thread; what they
  /// throw ends the call and passes through. Any thread; throws as submit does.
  template <class C, std::ranges::input_range R, std::ranges::input_range... Rs>
  auto map(C callable, R&& range, Rs&&... ranges) {
    using Result = map_result_t<C, R, Rs...>;
    if constexpr (Call<C, reference_t<R>, reference_t<Rs>...>::check()) {
      return collect_values<Result>(*run(callable, range, ranges...));
    }
  }
  template <auto F, std::ranges::input_range R, std::ranges::input_range... Rs>
  auto map(R&& range, Rs&&... ranges) {
    return map(fn<F>, std::forward<R>(range), std::forward<Rs>(ranges)...);
  }

  /// As map, but says of each element what became of it: no failure of a task is thrown.
  template <class C, std::ranges::input_range R, std::ranges::input_range... Rs>
  auto try_map(C callable, R&& range, Rs&&... ranges)
      -> std::vector<Outcome<map_result_t<C, R, Rs...>>> {
    if constexpr (Call<C, reference_t<R>, reference_t<Rs>...>::check()) {
      return collect_outcomes<map_result_t<C, R, Rs...>>(*run(callable, range, ranges...));
    } else {
      return {};
    }
  }
  template <auto F, std::ranges::input_range R, std::ranges::input_range... Rs>
  auto try_map(R&& range, Rs&&... ranges) {
    return try_map(fn<F>, std::forward<R>(range), std::forward<Rs>(ranges)...);
  }

  /// As map over one range of tuples or pairs, whose parts are the arguments of each call.
  template <class C, std::ranges::input_range R>
  auto starmap(C callable, R&& tuples) {
    using Star = star_t<C, R>;
    if constexpr (Star::Checked::check()) {
      return collect_values<typename Star::Result>(*run_star(callable, tuples));
    }
  }
  template <auto F, std::ranges::input_range R>
  auto starmap(R&& tuples) {
    return starmap(fn<F>, std::forward<R>(tuples));
  }

 private:
  Engine& engine() { return static_cast<Derived&>(*this).engine(); }

  std::size_t chunk() {
    auto const& wanted = static_cast<Derived&>(*this).call_options().chunk;
    return wanted ? wanted->checked("chunk", most_chunk) : 0;
  }
  void refuse_chunk() {
    if (static_cast<Derived&>(*this).given_options().chunk) {
      throw std::invalid_argument("procpool: the option `chunk` has no meaning for submit and "
                                  "call, which send one element");
    }
  }

  template <class Ps, class C>
  static std::shared_ptr<Task> make_task(C const& callable, std::size_t chunk) {
    return std::make_shared<Task>(make_function(callable, Ps{}), chunk);
  }

  // Encodes and hands over all elements that `feed` gives to the writer, and waits for their end.
  template <class Ps, class C, class Feed>
  std::shared_ptr<Task> run_all(C const& callable, Feed const& feed) {
    auto task = make_task<Ps>(callable, chunk());
    SegmentWriter<Ps> writer(engine(), task);
    try {
      feed(writer);
      writer.finish();
    } catch (...) {
      writer.abandon();
      throw;
    }
    if (!writer.begun()) task->seal();
    task->wait_until(std::nullopt);
    return task;
  }

  template <class C, class R, class... Rs>
  std::shared_ptr<Task> run(C const& callable, R& range, Rs&... ranges) {
    using Ps = typename Call<C, reference_t<R>, reference_t<Rs>...>::Params;
    return run_all<Ps>(callable, [&](auto& writer) {
      if constexpr (sizeof...(Rs) == 0 && packed<Ps, R>()) {
        writer.add_packed(
            std::as_bytes(std::span(std::ranges::data(range), std::ranges::size(range))));
      } else {
        zip(writer, std::pair(std::ranges::begin(range), std::ranges::end(range)),
            std::pair(std::ranges::begin(ranges), std::ranges::end(ranges))...);
      }
    });
  }

  template <class Writer, class... Pairs>
  static void zip(Writer& writer, Pairs... places) {
    for (; ((places.first != places.second) && ...); (++places.first, ...)) {
      writer.add(*places.first...);
    }
  }

  // The elements lie in memory exactly as they travel.
  template <class Ps, class R>
  static consteval bool packed() {
    if constexpr (std::ranges::contiguous_range<R> && std::ranges::sized_range<R>) {
      using Element = std::remove_cv_t<std::ranges::range_value_t<R>>;
      return []<class... Each>(Parameters<Each...>) {
        if constexpr (sizeof...(Each) == 1) {
          return (std::is_same_v<travel_t<Each>, Element> && ...) && bitwise<Element>;
        } else {
          return false;
        }
      }(Ps{});
    } else {
      return false;
    }
  }

  template <class C, class R>
  std::shared_ptr<Task> run_star(C const& callable, R& tuples) {
    using Ps = typename star_t<C, R>::Checked::Params;
    return run_all<Ps>(callable, [&](auto& writer) {
      for (auto&& tuple : tuples) {
        std::apply(
            [&writer](auto&&... parts) { writer.add(std::forward<decltype(parts)>(parts)...); },
            std::forward<decltype(tuple)>(tuple));
      }
    });
  }
};

}  // namespace procpool::inline v0::detail
