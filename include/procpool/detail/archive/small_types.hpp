#pragma once

// Std types of fixed shape on the bare path: array, pair, tuple, optional, variant, complex,
// chrono, bitset, filesystem::path.

#include <array>
#include <bitset>
#include <chrono>
#include <complex>
#include <filesystem>
#include <optional>
#include <tuple>
#include <utility>
#include <variant>

#include <procpool/detail/archive/containers.hpp>

namespace procpool::inline v0::detail {

template <class T, std::size_t N>
struct StdCodec<std::array<T, N>> {
  using Parts = Types<T>;

  static void each_part(std::array<T, N> const& value, auto visit) {
    for (auto const& element : value) visit(element);
  }
  static void save(Sink& out, std::array<T, N> const& value) {
    for (auto const& element : value) save_value<T>(out, element);
  }
  static void load(Source& in, std::array<T, N>& value) {
    for (auto& element : value) load_value(in, element);
  }
  static std::array<T, N> make(Source& in) {
    return [&]<std::size_t... I>(std::index_sequence<I...>) {
      return std::array<T, N>{((void)I, make_value<std::remove_cv_t<T>>(in))...};
    }(std::make_index_sequence<N>{});
  }
};

template <class Tuple, class... Ts>
struct TupleCodec {
  using Parts = Types<Ts...>;

  static void each_part(Tuple const& value, auto visit) {
    std::apply([&](auto const&... part) { (visit(part), ...); }, value);
  }
  static void save(Sink& out, Tuple const& value) {
    std::apply([&](Ts const&... part) { (save_value<std::remove_cv_t<Ts>>(out, part), ...); },
               value);
  }
  static void load(Source& in, Tuple& value) {
    std::apply([&](Ts&... part) { (load_value(in, part), ...); }, value);
  }
  static Tuple make(Source& in) { return Tuple{make_value<std::remove_cv_t<Ts>>(in)...}; }
};

template <class A, class B>
struct StdCodec<std::pair<A, B>> : TupleCodec<std::pair<A, B>, A, B> {};
template <class... Ts>
struct StdCodec<std::tuple<Ts...>> : TupleCodec<std::tuple<Ts...>, Ts...> {};

template <class T>
struct StdCodec<std::optional<T>> {
  using Parts = Types<T>;
  static constexpr std::size_t least = 1;

  static void save(Sink& out, std::optional<T> const& value) {
    out.scalar(static_cast<std::uint8_t>(value.has_value()));
    if (value) save_value<std::remove_cv_t<T>>(out, *value);
  }
  static void load(Source& in, std::optional<T>& value) {
    if (!in.boolean()) {
      value.reset();
    } else if constexpr (!std::is_const_v<T> && fills_in_place<T>()) {
      load_value(in, value.emplace());
    } else {
      value.emplace(make_value<std::remove_cv_t<T>>(in));
    }
  }
};

template <>
struct StdCodec<std::monostate> {
  using Parts = Types<>;
  static constexpr std::size_t least = 0;
  static void save(Sink&, std::monostate const&) {}
  static void load(Source&, std::monostate&) {}
};

template <class... Ts>
struct StdCodec<std::variant<Ts...>> {
  using Parts = Types<Ts...>;
  using Variant = std::variant<Ts...>;
  using Index = std::conditional_t<sizeof...(Ts) <= 255, std::uint8_t, std::uint32_t>;
  static constexpr std::size_t least = sizeof(Index);

  static void save(Sink& out, Variant const& value) {
    if (value.valueless_by_exception()) {
      refuse("procpool: a std::variant that is valueless by exception cannot travel");
    }
    out.scalar(static_cast<Index>(value.index()));
    std::visit([&]<class T>(T const& alternative) { save_value<T>(out, alternative); }, value);
  }

  static void load(Source& in, Variant& value) {
    std::size_t const index = in.scalar<Index>();
    if (index >= sizeof...(Ts)) refuse("procpool: a std::variant in a message has no such index");
    [&]<std::size_t... I>(std::index_sequence<I...>) {
      (void)((I == index && (load_alternative<I>(in, value), true)) || ...);
    }(std::index_sequence_for<Ts...>{});
  }

  static Variant make(Source& in) {
    // Only for variants that cannot be made without a value: one is read, then put in.
    std::size_t const index = in.scalar<Index>();
    std::optional<Variant> result;
    [&]<std::size_t... I>(std::index_sequence<I...>) {
      (void)((I == index &&
              (result.emplace(std::in_place_index<I>, make_value<alternative_t<I>>(in)), true)) ||
             ...);
    }(std::index_sequence_for<Ts...>{});
    if (!result) refuse("procpool: a std::variant in a message has no such index");
    return *std::move(result);
  }

 private:
  template <std::size_t I>
  using alternative_t = std::remove_cv_t<std::variant_alternative_t<I, Variant>>;

  template <std::size_t I>
  static void load_alternative(Source& in, Variant& value) {
    using T = std::variant_alternative_t<I, Variant>;
    if constexpr (!std::is_const_v<T> && fills_in_place<T>()) {
      load_value(in, value.template emplace<I>());
    } else {
      value.template emplace<I>(make_value<alternative_t<I>>(in));
    }
  }
};

template <class T>
struct StdCodec<std::complex<T>> {
  using Parts = Types<T>;
  static void save(Sink& out, std::complex<T> const& value) {
    save_value<T>(out, value.real());
    save_value<T>(out, value.imag());
  }
  static void load(Source& in, std::complex<T>& value) {
    auto const real = make_value<T>(in);
    value = {real, make_value<T>(in)};
  }
};

template <class R, class P>
struct StdCodec<std::chrono::duration<R, P>> {
  using Parts = Types<R>;
  static void save(Sink& out, std::chrono::duration<R, P> const& value) {
    save_value<R>(out, value.count());
  }
  static void load(Source& in, std::chrono::duration<R, P>& value) {
    value = std::chrono::duration<R, P>(make_value<R>(in));
  }
};

template <class C, class D>
struct StdCodec<std::chrono::time_point<C, D>> {
  using Parts = Types<D>;
  static void save(Sink& out, std::chrono::time_point<C, D> const& value) {
    save_value<D>(out, value.time_since_epoch());
  }
  static void load(Source& in, std::chrono::time_point<C, D>& value) {
    value = std::chrono::time_point<C, D>(make_value<D>(in));
  }
};

template <std::size_t N>
struct StdCodec<std::bitset<N>> {
  using Parts = Types<>;
  static constexpr std::size_t least = (N + 7) / 8;
  static void save(Sink& out, std::bitset<N> const& value) {
    for (std::size_t i = 0; i < N; i += 8) {
      unsigned byte = 0;
      for (std::size_t b = 0; b < 8 && i + b < N; ++b) byte |= unsigned{value[i + b]} << b;
      out.scalar(static_cast<std::uint8_t>(byte));
    }
  }
  static void load(Source& in, std::bitset<N>& value) {
    for (std::size_t i = 0; i < N; i += 8) {
      unsigned const byte = in.scalar<std::uint8_t>();
      std::size_t b = 0;
      for (; b < 8 && i + b < N; ++b) value[i + b] = (byte >> b & 1) != 0;
      if (byte >> b != 0) refuse("procpool: stray bits after a std::bitset in a message");
    }
  }
};

template <>
struct StdCodec<std::filesystem::path> {
  using Parts = Types<>;
  static constexpr std::size_t least = sizeof(std::uint64_t);
  static void save(Sink& out, std::filesystem::path const& value) {
    save_value(out, value.native());
  }
  static void load(Source& in, std::filesystem::path& value) {
    value = make_value<std::filesystem::path::string_type>(in);
  }
};

}  // namespace procpool::inline v0::detail
