// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#pragma once

// Std types of fixed shape on the bare path: array, pair, tuple, optional, expected, variant,
// complex, chrono, bitset, filesystem::path, atomic; and boost::optional.

#include <array>
#include <chrono>
#include <optional>
#include <tuple>
#include <utility>

#include <procpool/detail/codec/archive/containers.hpp>
#include <procpool/detail/codec/archive/std_shapes.hpp>

namespace boost {
template <class T>
class optional;
}  // namespace boost

namespace procpool::inline v0_1::detail {

template <class T, std::size_t N>
struct StdCodec<std::array<T, N>> {
  using Parts = Types<T>;

  static void each_part(std::array<T, N> const& value, auto visit) {
    for (auto const& element : value) visit(element);
  }
  static void save(Sink& out, std::array<T, N> const& value) {
    if constexpr (std::is_same_v<T, long double>) {
      save_long_doubles(out, value.data(), N);
    } else {
      for (auto const& element : value) save_value<std::remove_cv_t<T>>(out, element);
    }
  }
  static void load(Source& in, std::array<T, N>& value) {
    if constexpr (std::is_same_v<T, long double>) {
      load_long_doubles(in, value.data(), N);
    } else {
      for (auto& element : value) load_value(in, element);
    }
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
  // In the order of the message, which the constructor of a tuple does not promise for its parts:
  // they are made apart and moved in.
  static Tuple make(Source& in) {
    auto const mark = in.mark();
    std::tuple<std::unique_ptr<std::remove_cv_t<Ts>>...> const parts{
        make_apart<std::remove_cv_t<Ts>>(in)...};
    return join(in, mark, parts, std::index_sequence_for<Ts...>{});
  }

 private:
  template <class T>
  static std::unique_ptr<T> make_apart(Source& in) {
    auto const mark = in.mark();
    std::unique_ptr<T> part(new T(make_value<T>(in)));
    will_move(in, mark, part.get());
    return part;
  }

  template <class Parts, std::size_t... I>
  static Tuple join(Source& in, std::size_t mark, Parts const& parts, std::index_sequence<I...>) {
    Tuple value{std::move(*std::get<I>(parts))...};
    (has_moved<std::remove_cv_t<Ts>>(in, mark, std::get<I>(parts).get(),
                                     std::addressof(std::get<I>(value))),
     ...);
    return value;
  }
};

template <class A, class B>
struct StdCodec<std::pair<A, B>> : TupleCodec<std::pair<A, B>, A, B> {
  using First = std::remove_cv_t<A>;
  using Second = std::remove_cv_t<B>;

  static std::pair<A, B> make(Source& in) {
    if constexpr (TakesMaker<First> && TakesMaker<Second>) {
      return {std::piecewise_construct, std::forward_as_tuple(Maker<First>{in}),
              std::forward_as_tuple(Maker<Second>{in})};
    } else {
      return TupleCodec<std::pair<A, B>, A, B>::make(in);
    }
  }
};
template <class... Ts>
struct StdCodec<std::tuple<Ts...>> : TupleCodec<std::tuple<Ts...>, Ts...> {};

template <class Optional, class T>
struct OptionalCodec {
  using Parts = Types<T>;
  static constexpr std::size_t least = 1;

  static void save(Sink& out, Optional const& value) {
    out.scalar(static_cast<std::uint8_t>(value.has_value()));
    if (value) save_value<std::remove_cv_t<T>>(out, *value);
  }
  static void load(Source& in, Optional& value) {
    if (!in.boolean()) {
      value.reset();
    } else if constexpr (!std::is_const_v<T> && fills_in_place<T>()) {
      value.emplace();
      load_value(in, *value);
    } else {
      put_value<std::remove_cv_t<T>, true>(in, [&](auto&& made) -> T const& {
        value.emplace(std::forward<decltype(made)>(made));
        return *value;
      });
    }
  }
};

template <class T>
struct StdCodec<std::optional<T>> : OptionalCodec<std::optional<T>, T> {};
template <class T>
struct StdCodec<boost::optional<T>> : OptionalCodec<boost::optional<T>, T> {};

template <StdExpected Expected>
struct StdCodec<Expected> {
  using Value = typename Expected::value_type;
  using Error = typename Expected::error_type;
  using Parts = std::conditional_t<std::is_void_v<Value>, Types<Error>, Types<Value, Error>>;
  static constexpr std::size_t least = 1;

  static consteval bool made_whole() { return true; }

  static void save(Sink& out, Expected const& value) {
    out.scalar(static_cast<std::uint8_t>(value.has_value()));
    if (!value) {
      save_value<std::remove_cv_t<Error>>(out, value.error());
    } else if constexpr (!std::is_void_v<Value>) {
      save_value<std::remove_cv_t<Value>>(out, *value);
    }
  }
  static Expected make(Source& in) {
    if (!in.boolean()) return make_error(in);
    if constexpr (std::is_void_v<Value>) {
      return Expected();
    } else {
      return make_with_value(in);
    }
  }

 private:
  // Made apart and moved in, as the alternative of a variant.
  static Expected make_with_value(Source& in) {
    using Made = std::remove_cv_t<Value>;
    auto const mark = in.mark();
    std::unique_ptr<Made> const made(new Made(make_value<Made>(in)));
    will_move(in, mark, made.get());
    Expected value(std::in_place, std::move(*made));
    has_moved<Made>(in, mark, made.get(), std::addressof(*value));
    return value;
  }
  static Expected make_error(Source& in) {
    using Made = std::remove_cv_t<Error>;
    auto const mark = in.mark();
    std::unique_ptr<Made> const made(new Made(make_value<Made>(in)));
    will_move(in, mark, made.get());
    Expected value(typename Expected::unexpected_type(std::move(*made)));
    has_moved<Made>(in, mark, made.get(), std::addressof(value.error()));
    return value;
  }
};

// The value at one instant. An atomic cannot be moved: it travels behind a pointer, or as an
// element of a container that makes its elements where they stay.
template <StdAtomic Atomic>
struct StdCodec<Atomic> {
  using T = typename Atomic::value_type;
  using Parts = Types<T>;
  static constexpr std::size_t least = 0;

  static void save(Sink& out, Atomic const& value) { save_value<T>(out, value.load()); }
  static void load(Source& in, Atomic& value) { value.store(make_value<T>(in)); }
};

template <StdMonostate Monostate>
struct StdCodec<Monostate> {
  using Parts = Types<>;
  static constexpr std::size_t least = 0;
  static void save(Sink&, Monostate const&) {}
  static void load(Source&, Monostate&) {}
};

template <template <class...> class VariantOf, class... Ts>
  requires StdVariant<VariantOf<Ts...>>
struct StdCodec<VariantOf<Ts...>> {
  using Parts = Types<Ts...>;
  using Variant = VariantOf<Ts...>;
  using Index = std::conditional_t<sizeof...(Ts) <= 255, std::uint8_t, std::uint32_t>;
  static constexpr std::size_t least = sizeof(Index);

  static void save(Sink& out, Variant const& value) {
    if (value.valueless_by_exception()) {
      refuse("procpool: a std::variant that is valueless by exception cannot be serialized");
    }
    out.scalar(static_cast<Index>(value.index()));
    visit([&]<class T>(T const& alternative) { save_value<T>(out, alternative); }, value);
  }

  static void load(Source& in, Variant& value) {
    std::size_t const index = in.scalar<Index>();
    if (index >= sizeof...(Ts)) refuse("procpool: a std::variant in a message has no such index");
    [&]<std::size_t... I>(std::index_sequence<I...>) {
      (void)((I == index && (load_alternative<I>(in, value), true)) || ...);
    }(std::index_sequence_for<Ts...>{});
  }

  // Only for variants that cannot be made without a value.
  static Variant make(Source& in) { return make_one<0>(in, in.scalar<Index>()); }

 private:
  template <std::size_t I>
  using declared_t = std::tuple_element_t<I, std::tuple<Ts...>>;
  template <std::size_t I>
  using alternative_t = std::remove_cv_t<declared_t<I>>;

  template <std::size_t I>
  static void load_alternative(Source& in, Variant& value) {
    using T = declared_t<I>;
    if constexpr (!std::is_const_v<T> && fills_in_place<T>()) {
      load_value(in, value.template emplace<I>());
    } else {
      put_value<alternative_t<I>, true>(in, [&](auto&& made) -> T const& {
        return value.template emplace<I>(std::forward<decltype(made)>(made));
      });
    }
  }

  template <std::size_t I>
  static Variant make_one(Source& in, std::size_t index) {
    if constexpr (I == sizeof...(Ts)) {
      refuse("procpool: a std::variant in a message has no such index");
    } else {
      if (index != I) return make_one<I + 1>(in, index);
      if constexpr (TakesMaker<alternative_t<I>>) {
        return Variant(std::in_place_index<I>, Maker<alternative_t<I>>{in});
      } else {
        return make_moved<I>(in);
      }
    }
  }

  template <std::size_t I>
  static Variant make_moved(Source& in) {
    using T = alternative_t<I>;
    auto const mark = in.mark();
    std::unique_ptr<T> const made(new T(make_value<T>(in)));
    will_move(in, mark, made.get());
    Variant value(std::in_place_index<I>, std::move(*made));
    has_moved<T>(in, mark, made.get(), std::addressof(get<I>(value)));
    return value;
  }
};

template <StdComplex Complex>
struct StdCodec<Complex> {
  using T = typename Complex::value_type;
  using Parts = Types<T>;

  static void save(Sink& out, Complex const& value) {
    save_value<T>(out, value.real());
    save_value<T>(out, value.imag());
  }
  static void load(Source& in, Complex& value) {
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

// A time of day is made of a duration, and gives one that may be finer.
template <class D>
struct StdCodec<std::chrono::hh_mm_ss<D>> {
  using Parts = Types<D>;
  static void save(Sink& out, std::chrono::hh_mm_ss<D> const& value) {
    if constexpr (std::chrono::treat_as_floating_point_v<typename D::rep>) {
      save_value<D>(out, std::chrono::duration_cast<D>(value.to_duration()));
    } else {
      save_value<D>(out, std::chrono::round<D>(value.to_duration()));
    }
  }
  static void load(Source& in, std::chrono::hh_mm_ss<D>& value) { value = make(in); }
  static std::chrono::hh_mm_ss<D> make(Source& in) {
    return std::chrono::hh_mm_ss<D>(make_value<D>(in));
  }
};

// Does a std::bitset have its bits where a message has them: the first in the lowest bit of the
// first byte?
template <template <std::size_t> class Bitset>
inline constexpr bool bits_are_bytes = [] {
  if constexpr (sizeof(Bitset<128>) != 16) {
    return false;
  } else {
    auto const first = std::bit_cast<std::array<unsigned char, 16>>(Bitset<128>(0x8001));
    auto const last = std::bit_cast<std::array<unsigned char, 8>>(Bitset<64>(1ull << 56));
    return first[0] == 1 && first[1] == 0x80 && last[7] == 1;
  }
}();

template <template <std::size_t> class Bitset, std::size_t N>
  requires StdBitset<Bitset<N>>
struct StdCodec<Bitset<N>> {
  using Parts = Types<>;
  static constexpr std::size_t least = (N + 7) / 8;
  static void save(Sink& out, Bitset<N> const& value) {
    if constexpr (is_bytes) return out.write(std::addressof(value), least);
    for (std::size_t i = 0; i < N; i += 8) {
      unsigned byte = 0;
      for (std::size_t b = 0; b < 8 && i + b < N; ++b) byte |= unsigned{value[i + b]} << b;
      out.scalar(static_cast<std::uint8_t>(byte));
    }
  }
  static void load(Source& in, Bitset<N>& value) {
    if constexpr (is_bytes) return load_block(in, value);
    for (std::size_t i = 0; i < N; i += 8) {
      unsigned const byte = in.scalar<std::uint8_t>();
      std::size_t b = 0;
      for (; b < 8 && i + b < N; ++b) value[i + b] = (byte >> b & 1) != 0;
      if (byte >> b != 0) refuse_bits();
    }
  }

 private:
  // In memory as in a message, but for what follows.
  static constexpr bool is_bytes = N != 0 && bits_are_bytes<Bitset> && sizeof(Bitset<N>) >= least &&
                                   std::is_trivially_copyable_v<Bitset<N>>;

  [[noreturn]] static void refuse_bits() {
    refuse("procpool: stray bits after a std::bitset in a message");
  }

  static void load_block(Source& in, Bitset<N>& value) {
    value.reset();
    auto* const bytes = reinterpret_cast<unsigned char*>(std::addressof(value));
    in.read(bytes, least);
    if (N % 8 == 0 || bytes[least - 1] >> N % 8 == 0) return;
    value.reset();
    refuse_bits();
  }
};

template <StdPath Path>
struct StdCodec<Path> {
  using Parts = Types<>;
  static constexpr std::size_t least = sizeof(std::uint64_t);
  static void save(Sink& out, Path const& value) { save_value(out, value.native()); }
  static void load(Source& in, Path& value) { value = make_value<typename Path::string_type>(in); }
};

}  // namespace procpool::inline v0_1::detail
