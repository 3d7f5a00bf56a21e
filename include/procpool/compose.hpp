#pragma once

// Several futures as one: when_all and when_any. They take Future and Results alike, of any pools.
// Nothing here blocks; results are decoded by whoever gets them.

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

#include <procpool/detail/completion.hpp>
#include <procpool/detail/handle.hpp>
#include <procpool/future.hpp>

namespace procpool::inline v0 {

namespace detail {

// Ends when as many of its parts have ended as are wanted.
class Join final : public Completion {
 public:
  Join(std::shared_ptr<CallSite const> site, std::size_t wanted)
      : Completion(std::move(site)), missing_(wanted) {
    if (wanted == 0) end();
  }

  // To be called for each part; `index` tells them apart.
  static void add(std::shared_ptr<Join> const& join, Completion& part, std::size_t index) {
    struct PartEnded final : Hook {
      PartEnded(std::shared_ptr<Join> whole, std::size_t part)
          : whole_(std::move(whole)), part_(part) {}
      void ended() noexcept override { whole_->part_ended(part_); }
      std::shared_ptr<Join> const whole_;
      std::size_t const part_;
    };
    part.on_end(std::make_unique<PartEnded>(join, index));
  }

  std::size_t last() const noexcept { return last_; }  // of those that made it end

 private:
  void part_ended(std::size_t index) noexcept {
    std::size_t before = missing_.load(std::memory_order_relaxed);
    do {
      if (before == 0) return;
      // Acquire and release: the one that ends it comes after all the others.
    } while (!missing_.compare_exchange_weak(before, before - 1, std::memory_order_acq_rel));
    if (before != 1) return;
    last_ = index;
    end();
  }

  std::atomic<std::size_t> missing_;
  std::size_t last_ = 0;
};

template <class V>
using value_or_monostate = std::conditional_t<std::is_void_v<V>, std::monostate, V>;

template <class H>
using handle_value_t = typename Unwrapped<H>::type;

// get(), with something to hold for void.
template <AnyHandle H>
value_or_monostate<handle_value_t<H>> get_value(H& handle) {
  if constexpr (std::is_void_v<handle_value_t<H>>) {
    handle.get();
    return {};
  } else {
    return handle.get();
  }
}

template <class... Hs>
std::shared_ptr<CallSite const> first_site(Hs const&... handles) {
  std::shared_ptr<CallSite const> site;
  ((site ? void() : void(site = HandleAccess::completion(handles).site())), ...);
  return site;
}

template <std::ranges::input_range R>
auto to_vector(R&& handles) {
  using H = std::ranges::range_value_t<R>;
  std::vector<H> all;
  for (auto&& handle : handles) {
    static_assert(std::is_constructible_v<H, decltype(std::move(handle))>);
    all.push_back(std::move(handle));
  }
  for (H const& handle : all) HandleAccess::completion(handle);  // throws if it refers to nothing
  return all;
}

}  // namespace detail

/// A future of all values, in the order of the arguments (std::monostate for void). Ends when all have
/// ended; if some failed, with the first failure by position. Consumes the futures. Throws
/// std::logic_error if one refers to nothing.
template <detail::AnyHandle... Hs>
  requires(sizeof...(Hs) > 0 && (!std::is_lvalue_reference_v<Hs> && ...))
auto when_all(Hs&&... handles) {
  using Value = std::tuple<detail::value_or_monostate<detail::handle_value_t<Hs>>...>;
  auto join = std::make_shared<detail::Join>(detail::first_site(handles...), sizeof...(Hs));
  auto const kept = std::make_shared<std::tuple<Hs...>>(std::move(handles)...);
  std::apply(
      [&](auto const&... each) {
        std::size_t index = 0;
        (detail::Join::add(join, detail::HandleAccess::completion(each), index++), ...);
      },
      *kept);
  return Future<Value>(std::move(join), kept, [](detail::Completion&, void* extra) -> Value {
    return std::apply([](auto&... each) { return Value{detail::get_value(each)...}; },
                      *static_cast<std::tuple<Hs...>*>(extra));
  });
}

/// The same for a range of futures: a future of the vector of their values (nothing for void). Moves
/// out of the range. Of no futures it is ready.
template <std::ranges::input_range R>
  requires detail::AnyHandle<std::ranges::range_value_t<R>>
auto when_all(R&& handles) {
  using H = std::ranges::range_value_t<R>;
  using V = detail::handle_value_t<H>;
  using Value = std::conditional_t<std::is_void_v<V>, void, std::vector<V>>;
  auto const kept = std::make_shared<std::vector<H>>(detail::to_vector(handles));
  auto join = std::make_shared<detail::Join>(
      kept->empty() ? nullptr : detail::first_site(kept->front()), kept->size());
  for (std::size_t i = 0; i < kept->size(); ++i) {
    detail::Join::add(join, detail::HandleAccess::completion((*kept)[i]), i);
  }
  return Future<Value>(std::move(join), kept, [](detail::Completion&, void* extra) -> Value {
    auto& all = *static_cast<std::vector<H>*>(extra);
    if constexpr (std::is_void_v<V>) {
      for (H& each : all) each.get();
    } else {
      Value values;
      values.reserve(all.size());
      for (H& each : all) values.push_back(each.get());
      return values;
    }
  });
}

/// What when_any gives: which one ended first, and all of them. `futures` is a std::tuple, or a
/// std::vector for a range.
template <class Futures>
struct WhenAny {
  std::size_t index = 0;
  Futures futures;
};

/// A future that ends as soon as one of these has ended, in whatever way. Consumes them; its value
/// gives all of them back. Throws std::logic_error if one refers to nothing.
template <detail::AnyHandle... Hs>
  requires(sizeof...(Hs) > 0 && (!std::is_lvalue_reference_v<Hs> && ...))
auto when_any(Hs&&... handles) {
  using Value = WhenAny<std::tuple<Hs...>>;
  auto join = std::make_shared<detail::Join>(detail::first_site(handles...), 1);
  auto const kept = std::make_shared<std::tuple<Hs...>>(std::move(handles)...);
  std::apply(
      [&](auto const&... each) {
        std::size_t index = 0;
        (detail::Join::add(join, detail::HandleAccess::completion(each), index++), ...);
      },
      *kept);
  return Future<Value>(std::move(join), kept,
                       [](detail::Completion& completion, void* extra) -> Value {
                         return {static_cast<detail::Join&>(completion).last(),
                                 std::move(*static_cast<std::tuple<Hs...>*>(extra))};
                       });
}

/// The same for a range of futures, which must not be empty: std::invalid_argument. Moves out of it.
template <std::ranges::input_range R>
  requires detail::AnyHandle<std::ranges::range_value_t<R>>
auto when_any(R&& handles) {
  using H = std::ranges::range_value_t<R>;
  using Value = WhenAny<std::vector<H>>;
  auto const kept = std::make_shared<std::vector<H>>(detail::to_vector(handles));
  if (kept->empty()) throw std::invalid_argument("procpool: when_any of no futures never ends");
  auto join = std::make_shared<detail::Join>(detail::first_site(kept->front()), 1);
  for (std::size_t i = 0; i < kept->size(); ++i) {
    detail::Join::add(join, detail::HandleAccess::completion((*kept)[i]), i);
  }
  return Future<Value>(std::move(join), kept,
                       [](detail::Completion& completion, void* extra) -> Value {
                         return {static_cast<detail::Join&>(completion).last(),
                                 std::move(*static_cast<std::vector<H>*>(extra))};
                       });
}

}  // namespace procpool::inline v0
