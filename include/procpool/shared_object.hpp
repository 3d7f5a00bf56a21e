// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#pragma once

// SharedObject<T>: an object of containers, such as a map, in one sealed piece of memory. It is built
// once, by share_object. Every process reads it in place: nothing is decoded, and its memory is
// there once for all processes. Its containers are those of Boost.Interprocess, whose pointers are
// relative.
//
// <procpool.hpp> does not include this header: it brings the headers of Boost.Interprocess.

#include <boost/container/throw_exception.hpp>
#include <boost/interprocess/allocators/allocator.hpp>
#include <boost/interprocess/exceptions.hpp>
#include <boost/interprocess/managed_external_buffer.hpp>

#include <cstddef>
#include <cstdint>
#include <limits>
#include <memory>
#include <optional>
#include <span>
#include <type_traits>
#include <utility>

#include <procpool/count.hpp>
#include <procpool/detail/codec/codec.hpp>
#include <procpool/detail/handle/has_handles.hpp>
#include <procpool/detail/handle/in_shared_object.hpp>
#include <procpool/detail/handle/object_memory.hpp>
#include <procpool/detail/handle/resource_codec.hpp>

namespace procpool::inline v0_1 {

/// The memory in which an object is built: a managed segment of Boost.Interprocess. It makes the
/// object, `build.construct<T>(boost::interprocess::anonymous_instance)(...)`, and gives allocators
/// to containers, `build.get_allocator<T>()`.
using ObjectBuilder = boost::interprocess::managed_external_buffer;

/// The allocator of containers in a SharedObject.
template <class T>
using ObjectAllocator = boost::interprocess::allocator<T, ObjectBuilder::segment_manager>;

/// A handle of an object that share_object made. Copies, also those in other processes, refer to the
/// same object. It can be read, and never changed: a write is a SIGSEGV in the process that writes.
/// Any thread may copy, read and drop handles. The memory lives until the last process has dropped
/// its last handle.
///
/// It travels as other handles do, down from the process that has built the object to its workers
/// and theirs. A worker may return an object that came with its task. It cannot return an object
/// that it has built: SerializationError. The program takes from an item of a queue or of a pipe
/// only an object that it has.
template <class T>
class SharedObject {
 public:
  static_assert(detail::check_in_shared_object<T>());

  /// Refers to nothing: valid() is false.
  SharedObject() = default;

  /// True if there is an object.
  bool valid() const noexcept { return memory_ != nullptr; }

  /// The object, which lives as long as this handle or a copy of it. Throws std::logic_error if the
  /// handle refers to nothing.
  T const& get() const {
    if (!memory_) detail::refuse_empty_handle(detail::Resource::Kind::object);
    return *static_cast<T const*>(memory_->object());
  }
  /// The same as get().
  T const& operator*() const { return get(); }
  /// The address of get().
  T const* operator->() const { return std::addressof(get()); }
  /// For tests of a build function: finds a raw pointer into the object, which is wrong in each
  /// process that reads it. Gives the place of the first word that was an address of the memory
  /// while the object was built, in bytes from the beginning of the builder's memory. A hint only:
  /// a number, or bytes that no member uses, may look like an address. Empty: there is none, or the
  /// handle refers to nothing. Reads all of the memory that is used.
  std::optional<std::size_t> find_raw_pointer() const {
    return memory_ ? memory_->find_raw_pointer() : std::nullopt;
  }
  /// A handle serves as an argument in place of a T const&.
  operator T const&() const { return get(); }  // NOLINT(google-explicit-constructor): as Shared

 private:
  template <class U, class F>
  friend SharedObject<U> share_object(Count bytes, F&& build);
  friend struct detail::StdCodec<SharedObject>;

  explicit SharedObject(std::shared_ptr<detail::ObjectMemory> memory) noexcept
      : memory_(std::move(memory)) {}

  std::shared_ptr<detail::ObjectMemory> memory_;
};

/// Calls build(ObjectBuilder&), which makes a T with all its parts in that memory, and returns a
/// reference to it. Then nobody can change the object any more. No destructor of it is ever called:
/// the memory goes as a whole.
///
/// `bytes` is the most that the object can need, with 16 for each allocation. They are only address
/// space, so be generous: memory is used as the object grows. A machine that has none left then ends
/// the process, as for other memory that it has promised.
///
/// Exceptions of `build` pass through, and nothing is left. Throws std::length_error if `bytes` are
/// too few, SetupError if there is no memory or no descriptor, std::invalid_argument for a result
/// that is not in the memory.
template <class T, class F>
SharedObject<T> share_object(Count bytes, F&& build) {
  static_assert(std::is_same_v<std::invoke_result_t<F, ObjectBuilder&>, T&>,
                "procpool: the function that builds a SharedObject<T> returns a reference to the T "
                "that it has made in the builder's memory: [](auto& build) -> T& { ... }");
  constexpr auto most = static_cast<std::size_t>(std::numeric_limits<std::ptrdiff_t>::max()) / 2;
  std::size_t const size = detail::checked(bytes, "the bytes of a SharedObject", most);
  return SharedObject<T>(
      detail::ObjectMemory::create<T>(size, [&](std::span<std::byte> memory) -> T& {
        try {
          ObjectBuilder builder(boost::interprocess::create_only, memory.data(), memory.size());
          return std::forward<F>(build)(builder);
        } catch (boost::interprocess::bad_alloc const&) {
          detail::refuse_object_bytes(size);
        } catch (boost::container::length_error const&) {  // a growth beyond all of the memory
          detail::refuse_object_bytes(size);
        }
      }));
}

namespace detail {

template <class T>
inline constexpr bool is_handle<SharedObject<T>> = true;

template <class T>
struct StdCodec<SharedObject<T>> {
  using Parts = Types<>;
  static constexpr std::size_t least = sizeof(std::uint64_t);

  static void save(Sink& out, SharedObject<T> const& object) { save_resource(out, object.memory_); }
  static void load(Source& in, SharedObject<T>& object) {
    object.memory_ = load_resource_or_null<ObjectMemory>(in, typeid(T));
  }
};

}  // namespace detail

}  // namespace procpool::inline v0_1
