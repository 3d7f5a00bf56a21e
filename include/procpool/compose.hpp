#pragma once

// Several futures as one: when_all and when_any. They take Future and Results alike, of any pools.
// Nothing here blocks. The thread that calls get() decodes the results.

#include <atomic>
#include <concepts>
#include <cstddef>
#include <memory>
#include <ranges>
#include <stdexcept>
#include <tuple>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

#include <procpool/detail/async/call_context.hpp>
#include <procpool/detail/async/composed.hpp>
#include <procpool/detail/async/handle.hpp>
#include <procpool/detail/codec/in_place.hpp>
#include <procpool/detail/export.hpp>
#include <procpool/future.hpp>

namespace procpool::inline v0 {

namespace detail {

// The completion of a join: it ends with the last of its parts, or with the first. Its future keeps
// the parts.
class PROCPOOL_API Join final : public Composed {
 public:
  // Puts the completions of the parts that `kept` holds into the list.
  using Enumerate = void (*)(void* kept, List& all);

  Join(std::shared_ptr<CallContext const> context, std::size_t parts, std::size_t wanted);

  // After this, nothing fails: all memory is allocated before the parts are taken from their owner.
  void keep(std::weak_ptr<void> kept, Enumerate enumerate) noexcept;
  // Adds a part; once for each, in order.
  static void add(std::shared_ptr<Join> const& join, Completion& part) noexcept;
  // The owner of the future takes the parts, after the end.
  void taken() noexcept;

  // The same for a join that ends with its first part. Returns the index of that part. Throws
  // TaskCancelled if the join was cancelled before.
  std::size_t take_any();

  bool awaited(List& all) override;
  bool ask() noexcept override;
  bool unask() noexcept override;

 private:
  class PartEnded;

  void part_ended(std::size_t index) noexcept;

  std::vector<std::unique_ptr<Callback>> end_callbacks_;  // for parts to be added
  std::size_t added_ = 0;
  bool const any_;  // it ends with the first part
  std::atomic<std::size_t> missing_;
  // Written before the end:
  std::size_t last_ = 0;
  bool cancelled_ = false;
  // Requests to cancel it whose effect is not known yet, or that had one.
  unsigned asked_ PROCPOOL_GUARDED_BY(mutex_) = 0;
  std::weak_ptr<void> kept_ PROCPOOL_GUARDED_BY(mutex_);
  Enumerate enumerate_ PROCPOOL_GUARDED_BY(mutex_) = nullptr;
};

template <class V>
using value_or_monostate = std::conditional_t<std::is_void_v<V>, std::monostate, V>;

template <class H>
using handle_value_t = typename Unwrapped<H>::type;

// get(), with std::monostate for void.
template <AnyHandle H>
value_or_monostate<handle_value_t<H>> get_value(H& handle) {
  if constexpr (std::is_void_v<handle_value_t<H>>) {
    handle.get();
    return {};
  } else {
    return handle.get();
  }
}

// Throws std::logic_error if the handle refers to nothing, and SetupError if it can never end here.
template <class H>
void check_part(H const& handle) {
  HandleAccess::completion(handle).check_usable();
}

// Checks all handles before any is taken from its owner. A range that makes its elements while it
// is read cannot be read twice, and is not checked.
template <class R>
void check_parts(R&& handles) {
  if constexpr (std::ranges::forward_range<R> &&
                std::is_reference_v<std::ranges::range_reference_t<R>>) {
    for (auto const& handle : handles) check_part(handle);
  }
}

template <std::ranges::input_range R>
auto to_vector(R&& handles) {
  using H = std::ranges::range_value_t<R>;
  check_parts(handles);
  std::vector<H> all;
  if constexpr (std::ranges::forward_range<R>) {
    all.reserve(static_cast<std::size_t>(std::ranges::distance(handles)));
  }
  for (auto&& handle : handles) {
    static_assert(std::is_constructible_v<H, decltype(std::move(handle))>);
    all.push_back(std::move(handle));
  }
  for (H const& handle : all) check_part(handle);
  return all;
}

template <class... Hs>
std::shared_ptr<CallContext const> first_context(Hs const&... handles) {
  std::shared_ptr<CallContext const> context;
  ((context ? void() : void(context = known_context(HandleAccess::completion(handles)))), ...);
  return context;
}

// A join of handles, which are moved into a tuple for the future to keep.
template <class... Hs>
auto join_tuple(bool all, Hs&... handles) {
  (check_part(handles), ...);
  auto join =
      std::make_shared<Join>(first_context(handles...), sizeof...(Hs), all ? sizeof...(Hs) : 1);
  auto kept = std::make_shared<std::tuple<Hs...>>();
  // Behind this line nothing fails.
  *kept = std::tuple<Hs&&...>(std::move(handles)...);
  join->keep(kept, [](void* parts, Composed::List& list) {
    std::apply([&](auto const&... each) { (list.push_back(HandleAccess::shared(each)), ...); },
               *static_cast<std::tuple<Hs...>*>(parts));
  });
  std::apply([&](auto const&... each) { (Join::add(join, HandleAccess::completion(each)), ...); },
             *kept);
  return std::pair(std::move(join), std::move(kept));
}

// The same with a vector.
template <class H>
auto join_vector(bool all, std::vector<H> handles) {
  std::size_t const parts = handles.size();
  auto kept = std::make_shared<std::vector<H>>(std::move(handles));
  auto join = std::make_shared<Join>(kept->empty() ? nullptr : first_context(kept->front()), parts,
                                     all ? parts : 1);
  join->keep(kept, [](void* each, Composed::List& list) {
    for (H const& part : *static_cast<std::vector<H>*>(each)) {
      list.push_back(HandleAccess::shared(part));
    }
  });
  for (H const& part : *kept) Join::add(join, HandleAccess::completion(part));
  return std::pair(std::move(join), std::move(kept));
}

// Takes the values of the parts, one after the other. The first failure ends it.
template <class Parts, class Take>
auto take_parts(Completion& join, Parts& parts, Take const& take) {
  static_cast<Join&>(join).taken();
  struct Forget {
    Parts& parts;
    ~Forget() {
      if constexpr (requires { parts.begin(); }) {
        for (auto& each : parts) HandleAccess::forget(each);
      } else {
        std::apply([](auto&... each) { (HandleAccess::forget(each), ...); }, parts);
      }
    }
  } const forget{parts};
  return take(parts);
}

// The same for futures without values. A part that is itself such a join is taken apart here, so
// that a chain of joins made in a loop needs no stack.
PROCPOOL_API void take_nothing(Completion& join, void* extra);

}  // namespace detail

/// A future of all values, in the order of the arguments (std::monostate for void). Ends when all
/// futures have ended. If some failed, get() throws the first failure by position. Does not block.
/// Consumes the futures, unless it throws: std::logic_error if one refers to nothing, SetupError in
/// a forked child.
template <detail::AnyHandle... Hs>
  requires(sizeof...(Hs) > 0 && (!std::is_lvalue_reference_v<Hs> && ...))
auto when_all(Hs&&... handles) {
  using Value = std::tuple<detail::value_or_monostate<detail::handle_value_t<Hs>>...>;
  using Parts = std::tuple<Hs...>;
  auto [join, kept] = detail::join_tuple(true, handles...);
  return Future<Value>(
      std::move(join), std::move(kept), [](detail::Completion& completion, void* extra) -> Value {
        return detail::take_parts(completion, *static_cast<Parts*>(extra), [](Parts& parts) {
          return std::apply([](auto&... each) { return Value{detail::get_value(each)...}; }, parts);
        });
      });
}

/// The same for a range of futures: a future of the vector of their values (nothing for void).
/// Moves the futures out of the range. An empty range gives a future that is ready.
template <std::ranges::input_range R>
  requires detail::AnyHandle<std::ranges::range_value_t<R>>
auto when_all(R&& handles) {
  using H = std::ranges::range_value_t<R>;
  using V = detail::handle_value_t<H>;
  using Value = std::conditional_t<std::is_void_v<V>, void, std::vector<V>>;
  using Parts = std::vector<H>;
  auto [join, kept] = detail::join_vector(true, detail::to_vector(handles));
  if constexpr (std::is_same_v<H, Future<void>>) {
    return Future<void>(std::move(join), std::move(kept), &detail::take_nothing);
  } else {
    return Future<Value>(
        std::move(join), std::move(kept), [](detail::Completion& completion, void* extra) -> Value {
          return detail::take_parts(
              completion, *static_cast<Parts*>(extra), [](Parts& all) -> Value {
                if constexpr (std::is_void_v<V>) {
                  for (H& each : all) each.get();
                } else {
                  Value values;
                  values.reserve(all.size());
                  for (H& each : all) {
                    detail::put_made<V>([&each] { return each.get(); },
                                        [&values](auto&& made) {
                                          values.emplace_back(std::forward<decltype(made)>(made));
                                        });
                  }
                  return values;
                }
              });
        });
  }
}

/// The value of when_any: all futures, and the index of the one that ended first. `Futures` is a
/// std::tuple, or a std::vector for a range.
template <class Futures>
struct WhenAny {
  std::size_t index = 0;  ///< of the future that ended first
  Futures futures;        ///< all of them, in their order
};

/// A future that ends as soon as one of these has ended, with a value or an error. Does not block.
/// Consumes the futures, unless it throws, as when_all does. Its value returns all of them. If it
/// is cancelled, it ends with TaskCancelled and returns none.
template <detail::AnyHandle... Hs>
  requires(sizeof...(Hs) > 0 && (!std::is_lvalue_reference_v<Hs> && ...))
auto when_any(Hs&&... handles) {
  using Value = WhenAny<std::tuple<Hs...>>;
  auto [join, kept] = detail::join_tuple(false, handles...);
  return Future<Value>(
      std::move(join), std::move(kept), [](detail::Completion& completion, void* extra) -> Value {
        std::size_t const first = static_cast<detail::Join&>(completion).take_any();
        return {first, std::move(*static_cast<std::tuple<Hs...>*>(extra))};
      });
}

/// The same for a range of futures. Moves them out of the range. Throws std::invalid_argument if
/// the range is empty.
template <std::ranges::input_range R>
  requires detail::AnyHandle<std::ranges::range_value_t<R>>
auto when_any(R&& handles) {
  using H = std::ranges::range_value_t<R>;
  using Value = WhenAny<std::vector<H>>;
  auto all = detail::to_vector(handles);
  if (all.empty()) throw std::invalid_argument("procpool: when_any of no futures never ends");
  auto [join, kept] = detail::join_vector(false, std::move(all));
  return Future<Value>(
      std::move(join), std::move(kept), [](detail::Completion& completion, void* extra) -> Value {
        std::size_t const first = static_cast<detail::Join&>(completion).take_any();
        return {first, std::move(*static_cast<std::vector<H>*>(extra))};
      });
}

}  // namespace procpool::inline v0
