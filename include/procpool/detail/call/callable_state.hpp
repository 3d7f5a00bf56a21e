// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#pragma once

// How a callable reaches the worker. Its type is the trampoline's template argument and is sent as
// the trampoline's address; what is left is its state: nothing for functions as template arguments
// and captureless lambdas, an identity for a pointer to a function or member, the members for an
// object.

#include <array>
#include <bit>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>
#include <span>
#include <type_traits>
#include <utility>

#include <procpool/detail/call/function_identity.hpp>
#include <procpool/detail/call/signature.hpp>
#include <procpool/detail/codec/codec.hpp>
#include <procpool/detail/engine/bytes.hpp>
#include <procpool/error.hpp>

namespace procpool::inline v0_1::detail {

template <auto F>
struct FunctionConstant {
  template <class... Args>
  constexpr decltype(auto) operator()(Args&&... args) const
    requires std::is_invocable_v<decltype(F) const&, Args...>
  {
    return std::invoke(F, std::forward<Args>(args)...);
  }
};

template <auto F>
struct Signature<FunctionConstant<F>> : Signature<std::remove_cv_t<decltype(F)>> {};

template <class C>
concept StatelessCallable =
    std::is_class_v<C> && std::is_empty_v<C> && std::default_initializable<C>;

template <class C>
concept FunctionPointer = std::is_pointer_v<C> && std::is_function_v<std::remove_pointer_t<C>>;

[[noreturn]] inline void refuse_callable() {
  throw SerializationError("procpool: a callable is cut short");
}

// save appends; load takes its bytes off the front.
template <class C>
struct CallableState;

template <StatelessCallable C>
struct CallableState<C> {
  static constexpr bool stateless = true;
  static void save(Bytes&, C const&) {}
  static C load(std::span<std::byte const>&) { return C(); }
};

template <FunctionPointer C>
struct CallableState<C> {
  static constexpr bool stateless = false;
  static void save(Bytes& out, C function) {
    encode_code(out, reinterpret_cast<void const*>(function));
  }
  static C load(std::span<std::byte const>& in) { return reinterpret_cast<C>(decode_code(in)); }
};

// A pointer to a member is an offset, or the address of a function with what is added to the
// object's address (Itanium C++ ABI, 2.3); both ends are the same program, so only the address
// needs more.
template <class C>
  requires std::is_member_pointer_v<C>
struct CallableState<C> {
  struct Parts {
    std::uintptr_t code;  // of a virtual function: its place in the table of virtual functions
    std::ptrdiff_t adjust;

    bool is_virtual() const {
#if defined(__aarch64__) || defined(__arm__)
      return (adjust & 1) != 0;
#else
      return (code & 1) != 0;
#endif
    }
  };

  static constexpr bool stateless = false;
  static constexpr bool has_code = std::is_member_function_pointer_v<C>;
  static void save(Bytes& out, C const& member) {
    append(out, &member, sizeof member);
    if constexpr (has_code) {
      auto const parts = std::bit_cast<Parts>(member);
      if (!parts.is_virtual()) encode_code(out, reinterpret_cast<void const*>(parts.code));
    }
  }
  static C load(std::span<std::byte const>& in) {
    if (in.size() < sizeof(C)) refuse_callable();
    C member;
    std::memcpy(&member, in.data(), sizeof member);
    in = in.subspan(sizeof member);
    if constexpr (has_code) {
      auto parts = std::bit_cast<Parts>(member);
      if (!parts.is_virtual()) {
        parts.code = reinterpret_cast<std::uintptr_t>(decode_code(in));
        member = std::bit_cast<C>(parts);
      }
    }
    return member;
  }
};

template <class C>
inline constexpr bool is_bound = false;  // those of bound.hpp have a way of their own

// See by_value().
template <class L>
struct BytesOf {
  L callable;

  template <class... Args>
    requires std::is_invocable_v<L const&, Args...>
  constexpr decltype(auto) operator()(Args&&... args) const {
    return std::invoke(callable, std::forward<Args>(args)...);
  }
};

template <class L>
struct Signature<BytesOf<L>> : Signature<L> {};
template <class L>
inline constexpr bool is_bound<BytesOf<L>> = true;
template <class L>
  requires std::is_trivially_copyable_v<L>
struct CallableState<BytesOf<L>> {
  static constexpr bool stateless = false;
  static void save(Bytes& out, BytesOf<L> const& value) {
    append(out, std::addressof(value.callable), sizeof(L));
  }
  static BytesOf<L> load(std::span<std::byte const>& in) {
    if (in.size() < sizeof(L)) refuse_callable();
    // A closure cannot be made but by copying one, and bytes are what this one was promised to be.
    std::array<std::byte, sizeof(L)> bytes;
    std::memcpy(bytes.data(), in.data(), sizeof(L));
    in = in.subspan(sizeof(L));
    return {std::bit_cast<L>(bytes)};
  }
};

template <class C>
  requires(std::is_class_v<C> && !StatelessCallable<C> && !is_bound<C> && Transmissible<C>)
struct CallableState<C> {
  static constexpr bool stateless = false;
  static void save(Bytes& out, C const& callable) { encode(out, callable); }
  static C load(std::span<std::byte const>& in) {
    Reader reader(in);
    C callable = reader.read<C>();
    in = in.last(reader.remaining());
    return callable;
  }
};

template <class C>
inline constexpr bool has_callable_state = requires { CallableState<C>::stateless; };

template <class C>
inline constexpr bool is_std_function = false;
template <class F>
inline constexpr bool is_std_function<std::function<F>> = true;

// Can it get there? If not, one sentence.
template <class C>
consteval bool check_callable() {
  static_assert(!is_std_function<C>,
                "procpool: a std::function hides what it holds, so it cannot be sent to another "
                "process: pass the function itself, a captureless lambda, or a struct with "
                "operator()");
  static_assert(
      has_callable_state<C> || is_std_function<C>,
      "procpool: this callable has captures, which cannot be sent to another process: "
      "pass the values as arguments, use procpool::bind_front, bind_back or by_value, or write a "
      "struct with operator() whose members can be serialized");
  return has_callable_state<C>;
}

}  // namespace procpool::inline v0_1::detail
