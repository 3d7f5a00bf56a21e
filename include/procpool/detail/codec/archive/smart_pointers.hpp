// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#pragma once

// unique_ptr, shared_ptr and weak_ptr. A unique_ptr to a value type is a flag and the value; all
// else goes through the message's table of objects (save_pointers.hpp,
// load_pointers.hpp), so that sharing, cycles and the true
// class of a polymorphic object survive.

#include <memory>
#include <type_traits>

#include <procpool/detail/codec/archive/values.hpp>

namespace procpool::inline v0_1::detail {

// Defined in save_pointers.hpp and load_pointers.hpp.
template <class T>
void save_pointer(Sink& out, T const* pointer);
template <class T>
void load_unique(Source& in, std::unique_ptr<T>& pointer);
template <class T>
void load_shared(Source& in, std::shared_ptr<T>& pointer);

// The target of a smart pointer: need not be default constructible if it has its own serialize.
template <class T>
struct Behind {};

template <class T>
struct StdCodec<std::unique_ptr<T>> {
  using Parts = Types<Behind<T>>;
  using Target = std::remove_cv_t<T>;
  static constexpr std::size_t least = 1;

  static void save(Sink& out, std::unique_ptr<T> const& value) {
    Level level(out);
    if constexpr (UserType<Target>) {
      save_pointer<Target>(out, value.get());
    } else {
      out.scalar(static_cast<std::uint8_t>(value != nullptr));
      if (value) save_value<Target>(out, *value);
    }
  }
  static void load(Source& in, std::unique_ptr<T>& value) {
    Level level(in);
    value.reset();
    if constexpr (UserType<Target>) {
      std::unique_ptr<Target> target;
      load_unique(in, target);
      value = std::move(target);
    } else if (in.boolean()) {
      if constexpr (fills_in_place<Target>()) {
        auto target = std::make_unique<Target>();
        load_value(in, *target);
        value = std::move(target);
      } else {
        value.reset(new Target(make_value<Target>(in)));
      }
    }
  }
};

template <class T>
struct StdCodec<std::shared_ptr<T>> {
  using Parts = Types<Behind<T>>;
  using Target = std::remove_cv_t<T>;
  static constexpr std::size_t least = 1;

  static void save(Sink& out, std::shared_ptr<T> const& value) {
    Level level(out);
    save_pointer<Target>(out, value.get());
  }
  static void load(Source& in, std::shared_ptr<T>& value) {
    Level level(in);
    value.reset();
    std::shared_ptr<Target> target;
    load_shared(in, target);
    value = std::move(target);
  }
};

template <class T>
struct StdCodec<std::weak_ptr<T>> {
  using Parts = Types<Behind<T>>;
  static constexpr std::size_t least = 1;

  static void save(Sink& out, std::weak_ptr<T> const& value) {
    StdCodec<std::shared_ptr<T>>::save(out, value.lock());
  }
  static void load(Source& in, std::weak_ptr<T>& value) {
    std::shared_ptr<T> target;
    StdCodec<std::shared_ptr<T>>::load(in, target);
    value = target;
  }
};

}  // namespace procpool::inline v0_1::detail
