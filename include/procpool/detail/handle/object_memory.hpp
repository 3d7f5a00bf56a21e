// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#pragma once

// ObjectMemory: one object with all its parts in a sealed memory file, behind SharedObject<T>. It is
// built once, in one process. Then every process that has it reads it in place.
//
// Any thread may call anything. The file lives as long as a descriptor or a mapping of any process,
// so a crash leaves nothing, neither while the object is built.
//
// Readers follow the offsets in the object. So the memory is taken only from a process that is
// trusted: see Resource::Sender.

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <typeinfo>
#include <vector>

#include <procpool/detail/export.hpp>
#include <procpool/detail/handle/resource.hpp>

namespace procpool::inline v0_1::os {
class Memfd;
class Mapping;
}  // namespace procpool::inline v0_1::os

namespace procpool::inline v0_1::detail {

class PROCPOOL_API ObjectMemory final : public Resource {
 public:
  // Calls build(memory), which returns the object that it has made in the memory. An exception of
  // `build` passes through. `bytes` are only address space: a page exists from its first write on.
  // Throws SetupError when there is no memory or no descriptor, std::invalid_argument for an object
  // elsewhere, SerializationError if a word in the memory is an address there.
  template <class T, class F>
  static std::shared_ptr<ObjectMemory> create(std::size_t bytes, F&& build) {
    return create(
        bytes, {typeid(T), sizeof(T)},
        [](void* context, std::span<std::byte> memory) -> void const* {
          T& made = (*static_cast<std::remove_reference_t<F>*>(context))(memory);
          return std::addressof(made);
        },
        std::addressof(build));
  }
  // As Resource::adopt. Takes the descriptors that it uses.
  static std::shared_ptr<Resource> adopt(std::uint64_t id, std::vector<os::UniqueFd>& descriptors);
  // See Resource::find. Throws SerializationError when the object is of another type.
  static std::shared_ptr<ObjectMemory> find(std::uint64_t id, std::type_info const& type);

  ~ObjectMemory() override;
  std::vector<int> descriptors() const override;

  void const* object() const noexcept { return object_; }
  // See SharedObject.
  std::optional<std::size_t> find_raw_pointer() const;

 private:
  struct ObjectType {
    std::type_info const& type;
    std::size_t bytes;
  };
  using Build = void const* (*)(void* context, std::span<std::byte> memory);

  ObjectMemory(std::uint64_t id, os::Memfd file, os::Mapping mapping);
  static std::shared_ptr<ObjectMemory> create(std::size_t bytes, ObjectType const& type,
                                              Build build, void* context);

  std::unique_ptr<os::Memfd> const file_;
  std::unique_ptr<os::Mapping> const mapping_;
  void const* const object_;
};

// std::length_error: the object needs more than so many bytes.
[[noreturn]] PROCPOOL_API void refuse_object_bytes(std::size_t bytes);

}  // namespace procpool::inline v0_1::detail
