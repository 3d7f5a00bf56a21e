// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#pragma once

// Shared<T>: a value for all tasks that want it. pool.share(value) encodes it once; it is sent at
// most once to each worker, with the first task there that has a handle, and each process decodes
// it at most once, when a task first looks at it. A handle may be an argument, be bound, lie in a
// functor, a container or a struct, and come back as a result. A function that takes `T const&` or
// `T` can be given one: it is called with the value.
//
// Any thread may copy, read and drop handles. The value ends when the process that shared it has no
// handle and no task with it any more: at once here, and in a worker with its next task.

#include <cstdint>
#include <memory>
#include <span>
#include <type_traits>
#include <typeinfo>
#include <utility>

#include <procpool/detail/codec/codec.hpp>
#include <procpool/detail/handle/has_handles.hpp>
#include <procpool/detail/handle/resource_codec.hpp>
#include <procpool/detail/handle/share.hpp>

namespace procpool::inline v0_1 {

template <class T>
class Shared;

namespace detail {

template <class T>
Shared<T> share(T const& value);

template <class T>
std::shared_ptr<void const> load_shared(std::span<std::byte const> bytes) {
  return std::shared_ptr<T const>(new T(decode<T>(bytes)));
}

}  // namespace detail

/// A read-only handle of a value that pool.share made. Copies refer to the same value.
template <class T>
class Shared {
 public:
  /// Refers to nothing: valid() is false.
  Shared() = default;
  /// True if there is a value.
  bool valid() const noexcept { return share_ != nullptr; }

  /// The value, which lives as long as this handle or a copy of it. The first call in a process
  /// decodes it. It blocks for that, and throws the exceptions of the decoding; the next call tries
  /// again. Throws std::logic_error if the handle refers to nothing.
  T const& get() const {
    if (!share_) detail::refuse_empty_handle(detail::Resource::Kind::value);
    return *static_cast<T const*>(share_->value(typeid(T), detail::load_shared<T>));
  }
  /// The same as get().
  T const& operator*() const { return get(); }
  /// The address of get().
  T const* operator->() const { return std::addressof(get()); }
  /// A handle serves as an argument in place of a T const&.
  operator T const&() const { return get(); }

 private:
  friend struct detail::StdCodec<Shared>;
  friend Shared detail::share<T>(T const& value);
  explicit Shared(std::shared_ptr<detail::Share> share) noexcept : share_(std::move(share)) {}

  std::shared_ptr<detail::Share> share_;
};

namespace detail {

template <class T>
inline constexpr bool is_handle<Shared<T>> = true;

template <class T>
struct StdCodec<Shared<T>> {
  using Parts = Types<T>;
  static constexpr std::size_t least = sizeof(std::uint64_t);

  static void save(Sink& out, Shared<T> const& value) { save_resource(out, value.share_); }
  static void load(Source& in, Shared<T>& value) {
    value.share_ = load_resource_or_null<Share>(in);
  }
};

template <class T>
Shared<T> share(T const& value) {
  Bytes bytes;
  Resource::List parts;
  {
    ResourceCollector const collector(parts, ResourceCollector::Receivers::many);
    encode(bytes, value);
  }
  return Shared<T>(Share::create(std::move(bytes), std::move(parts), typeid(T)));
}

}  // namespace detail

}  // namespace procpool::inline v0_1
