// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#pragma once

// Several futures as one: when_all and when_any. They take Future and Results alike, of any pools.
// Nothing here blocks. The thread that calls get() decodes the results.

#include <atomic>
#include <concepts>
#include <cstddef>
#include <exception>
#include <memory>
#include <optional>
#include <ranges>
#include <stdexcept>
#include <tuple>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

#include <procpool/detail/async/call_context.hpp>
#include <procpool/detail/async/cancel.hpp>
#include <procpool/detail/async/composed.hpp>
#include <procpool/detail/async/handle.hpp>
#include <procpool/detail/async/local_state.hpp>
#include <procpool/detail/codec/in_place.hpp>
#include <procpool/detail/engine/mutex.hpp>
#include <procpool/detail/export.hpp>
#include <procpool/errors.hpp>
#include <procpool/future.hpp>
#include <procpool/stream.hpp>

namespace procpool::inline v0_1 {

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

  // The same for a join that ends with its first part. Returns the index of that part, or the
  // failure of a join that was cancelled before.
  Outcome<std::size_t> take_any();

  bool awaited(List& all) override;
  bool needs_thread(Callbacks::OfThread const& thread, int levels) const noexcept override;
  bool may_have_failed(int levels) const noexcept override;
  bool ask() noexcept override;
  bool unask() noexcept override;

 private:
  class PartEnded;

  List all_parts() const noexcept;

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

template <class H>
auto outcome_of_part(H& handle) {
  return outcome_of<handle_value_t<std::remove_const_t<H>>>(handle);
}

// Its value, with std::monostate for void.
template <class V>
value_or_monostate<V> value_of(Outcome<V>& outcome) {
  if constexpr (std::is_void_v<V>) {
    return {};
  } else {
    return *std::move(outcome);
  }
}

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
PROCPOOL_API Outcome<void> take_nothing(Completion& join, void* extra);
PROCPOOL_API Future<void> future_of_nothing(std::shared_ptr<Join> join,
                                            std::shared_ptr<std::vector<Future<void>>> kept);

// The values of these outcomes, or the first failure.
template <class Value, class... Vs>
Outcome<Value> values_of(std::tuple<Outcome<Vs>...> outcomes) {
  return std::apply(
      [](auto&... each) -> Outcome<Value> {
        std::optional<Failure> failure;
        ((failure || each.has_value() ? void() : void(failure = each.error())), ...);
        if (failure) return *std::move(failure);
        return Outcome<Value>(std::in_place, value_of(each)...);
      },
      outcomes);
}

// The same of a vector of parts.
template <class Value, class H>
Outcome<Value> values_of_parts(std::vector<H>& parts) {
  using V = handle_value_t<H>;
  using Values = std::conditional_t<std::is_void_v<V>, std::vector<std::monostate>, std::vector<V>>;
  Values values;
  if constexpr (!std::is_void_v<V>) values.reserve(parts.size());
  for (H& part : parts) {
    auto outcome = outcome_of_part(part);
    if (!outcome.has_value()) return outcome.error();
    if constexpr (!std::is_void_v<V>) values.push_back(*std::move(outcome));
  }
  if constexpr (std::is_void_v<V>) {
    return Outcome<void>(std::in_place);
  } else {
    return Outcome<Value>(std::in_place, std::move(values));
  }
}

// The WhenAny of a join that has ended.
template <class Value>
Outcome<Value> take_first(Completion& join, void* extra) {
  auto const first = static_cast<Join&>(join).take_any();
  if (!first.has_value()) return first.error();
  using Parts = decltype(Value::futures);
  return Outcome<Value>(std::in_place, Value{*first, std::move(*static_cast<Parts*>(extra))});
}

// The error of when_any_ok() for these failures, which are sorted first: TaskCancelled if all were
// cancelled, else ElementErrors.
PROCPOOL_API std::exception_ptr all_failed(std::vector<ElementError> failures) noexcept;

// The state of when_any_ok().
template <class V>
class FirstSuccess {
  using Value = Indexed<V>;

 public:
  explicit FirstSuccess(std::shared_ptr<CallContext const> context, std::size_t parts)
      : result_(std::make_shared<LocalState<Value>>(std::move(context))), open_(parts) {}

  // The parts are those that call ended(), each once.
  static Future<Value> start(std::shared_ptr<FirstSuccess> const& race,
                             std::vector<Future<void>> parts) {
    auto const result = race->result_;
    auto all = when_all_parts(std::move(parts));
    result->waits_for(HandleAccess::shared(all), Composed::Then::its_end);
    auto future = LocalState<Value>::future(result);
    std::shared_ptr<Completion> late;
    {
      Lock const lock(race->mutex_);
      race->all_ = std::move(all);
      if (race->decided_) late = HandleAccess::shared(race->all_);
    }
    if (late) request_stop(late);
    return future;
  }

  void ended(std::size_t index, Outcome<V> outcome) noexcept {
    std::shared_ptr<Completion> others;
    std::exception_ptr error;
    {
      Lock const lock(mutex_);
      --open_;
      if (decided_) return;
      if (!outcome.has_value()) {
        try {
          failures_.push_back({index, outcome.error()});
        } catch (...) {  // no memory for the list
          error = std::current_exception();
        }
        if (!error && open_ != 0) return;
      }
      decided_ = true;
      if (!outcome.has_value() && !error) error = all_failed(std::move(failures_));
      if (all_.valid()) others = HandleAccess::shared(all_);
    }
    keep(index, outcome, error);
    LocalState<Value>::finish(result_);
    if (others) request_stop(others);
  }

 private:
  static Future<void> when_all_parts(std::vector<Future<void>> parts) {
    auto [join, kept] = join_vector(true, std::move(parts));
    return future_of_nothing(std::move(join), std::move(kept));
  }

  void keep(std::size_t index, Outcome<V>& outcome, std::exception_ptr error) noexcept {
    try {
      if (error) {
        result_->set_error(std::move(error));
      } else if constexpr (std::is_void_v<V>) {
        result_->set_value(Value{index});
      } else {
        result_->set_value(Value{index, *std::move(outcome)});
      }
    } catch (...) {
      result_->set_error(std::current_exception());
    }
  }

  std::shared_ptr<LocalState<Value>> const result_;
  Mutex mutex_;
  std::size_t open_ PROCPOOL_GUARDED_BY(mutex_);  // parts that have not ended
  bool decided_ PROCPOOL_GUARDED_BY(mutex_) = false;
  std::vector<ElementError> failures_ PROCPOOL_GUARDED_BY(mutex_);
  Future<void> all_ PROCPOOL_GUARDED_BY(mutex_);  // the parts
};

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
      std::move(join), std::move(kept),
      [](detail::Completion& completion, void* extra) -> Value {
        return detail::take_parts(completion, *static_cast<Parts*>(extra), [](Parts& parts) {
          return std::apply([](auto&... each) { return Value{detail::get_value(each)...}; }, parts);
        });
      },
      [](detail::Completion& completion, void* extra) -> Outcome<Value> {
        return detail::take_parts(completion, *static_cast<Parts*>(extra), [](Parts& parts) {
          return std::apply(
              [](auto&... each) {
                return detail::values_of<Value>(std::tuple<Outcome<detail::handle_value_t<Hs>>...>{
                    detail::outcome_of_part(each)...});
              },
              parts);
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
    return detail::future_of_nothing(std::move(join), std::move(kept));
  } else {
    return Future<Value>(
        std::move(join), std::move(kept),
        [](detail::Completion& completion, void* extra) -> Value {
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
        },
        [](detail::Completion& completion, void* extra) -> Outcome<Value> {
          return detail::take_parts(completion, *static_cast<Parts*>(extra),
                                    [](Parts& all) { return detail::values_of_parts<Value>(all); });
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
      std::move(join), std::move(kept),
      [](detail::Completion& completion, void* extra) {
        return detail::take_first<Value>(completion, extra).value();
      },
      &detail::take_first<Value>);
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
      std::move(join), std::move(kept),
      [](detail::Completion& completion, void* extra) {
        return detail::take_first<Value>(completion, extra).value();
      },
      &detail::take_first<Value>);
}

/// A future of all outcomes, in the order of the arguments: a std::tuple of Outcome. Ends when all
/// futures have ended, and fails only if it is cancelled while code of the program runs. Otherwise as
/// when_all.
template <detail::AnyHandle... Hs>
  requires(sizeof...(Hs) > 0 && (!std::is_lvalue_reference_v<Hs> && ...))
auto when_all_outcomes(Hs&&... handles) {
  using Value = std::tuple<Outcome<detail::handle_value_t<Hs>>...>;
  using Parts = std::tuple<Hs...>;
  auto [join, kept] = detail::join_tuple(true, handles...);
  auto const take = [](detail::Completion& completion, void* extra) -> Value {
    return detail::take_parts(completion, *static_cast<Parts*>(extra), [](Parts& parts) {
      return std::apply([](auto&... each) { return Value{detail::outcome_of_part(each)...}; },
                        parts);
    });
  };
  return Future<Value>(std::move(join), std::move(kept), take, nullptr);
}

/// The same for a range of futures: a future of the vector of their outcomes.
template <std::ranges::input_range R>
  requires detail::AnyHandle<std::ranges::range_value_t<R>>
auto when_all_outcomes(R&& handles) {
  using H = std::ranges::range_value_t<R>;
  using V = detail::handle_value_t<H>;
  using Value = std::vector<Outcome<V>>;
  using Parts = std::vector<H>;
  auto [join, kept] = detail::join_vector(true, detail::to_vector(handles));
  return Future<Value>(
      std::move(join), std::move(kept),
      [](detail::Completion& completion, void* extra) -> Value {
        return detail::take_parts(completion, *static_cast<Parts*>(extra), [](Parts& all) {
          Value outcomes;
          outcomes.reserve(all.size());
          for (H& each : all) outcomes.push_back(detail::outcome_of<V>(each));
          return outcomes;
        });
      },
      nullptr);
}

/// A future of the first value, as an Indexed<T>: the index of its future, and the value. The others
/// are asked to stop then, since nobody can get their values any more. If all fail, get() throws
/// ElementErrors with all failures, and TaskCancelled if all were cancelled. Does not block. Moves
/// the futures out of the range. Throws std::invalid_argument if the range is empty, SetupError if
/// the callback thread cannot be made, and std::logic_error if a future refers to nothing.
template <std::ranges::input_range R>
  requires detail::AnyHandle<std::ranges::range_value_t<R>>
auto when_any_ok(R&& handles) {
  using V = detail::handle_value_t<std::ranges::range_value_t<R>>;
  auto all = detail::to_vector(handles);
  if (all.empty()) throw std::invalid_argument("procpool: when_any_ok of no futures never ends");
  auto const race =
      std::make_shared<detail::FirstSuccess<V>>(detail::first_context(all.front()), all.size());
  std::vector<Future<void>> parts;
  parts.reserve(all.size());
  for (std::size_t i = 0; i < all.size(); ++i) {
    parts.push_back(
        all[i].then([race, i](Outcome<V> outcome) { race->ended(i, std::move(outcome)); }));
  }
  return detail::FirstSuccess<V>::start(race, std::move(parts));
}

/// The same for futures of one type.
template <detail::AnyHandle H, detail::AnyHandle... Hs>
  requires(!std::is_lvalue_reference_v<H> && (std::is_same_v<H, Hs> && ...))
auto when_any_ok(H&& handle, Hs&&... handles) {
  std::vector<H> all;
  all.reserve(1 + sizeof...(Hs));
  all.push_back(std::forward<H>(handle));
  (all.push_back(std::forward<Hs>(handles)), ...);
  return when_any_ok(std::move(all));
}

}  // namespace procpool::inline v0_1
