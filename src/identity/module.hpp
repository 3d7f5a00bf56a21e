// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#pragma once

// Functions by module: the address of a function in this process becomes (identity of its module,
// offset). Another process that runs the same build turns that back into an address. Addresses
// differ between processes; builds must not.
//
// Threat model: the other side may be an older or newer build, or name nonsense. Code that is not
// provably the same is refused with a sentence, as is an offset outside executable memory. Any
// thread may call anything. A crash leaves nothing; modules that resolve() opened stay open until
// the process ends.

#include <array>
#include <compare>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace procpool::inline v0_1::identity {

// The identity of a build of a module. Trivially copyable, without padding.
class BuildId {
 public:
  enum class Kind : std::uint8_t {
    none,  // equal only to itself: nothing is known
    note,  // the linker's build-id
    file,  // the file's device, inode, size and time, for a module without a build-id
  };

  static constexpr std::size_t max_bytes = 32;

  BuildId() noexcept = default;

  // Longer notes than max_bytes are folded.
  static BuildId from_note(std::span<std::byte const> note) noexcept;
  static BuildId from_file(std::uint64_t device, std::uint64_t inode, std::uint64_t size,
                           std::uint64_t nanoseconds) noexcept;
  // From bytes of another process; nothing if they are no identity.
  static std::optional<BuildId> from_parts(std::uint8_t kind,
                                           std::span<std::byte const> bytes) noexcept;

  Kind kind() const noexcept { return kind_; }
  std::span<std::byte const> bytes() const noexcept { return {bytes_.data(), length_}; }
  std::string hex() const;

  // For people: "build-id 12ab..." or "file identity 12ab...".
  std::string text() const;

  std::size_t hash() const noexcept;
  friend bool operator==(BuildId const&, BuildId const&) noexcept = default;

 private:
  std::array<std::byte, max_bytes> bytes_{};  // zero behind length_
  std::uint8_t length_ = 0;
  Kind kind_ = Kind::none;
};

struct CodeRef {
  BuildId module;
  std::uint64_t offset = 0;  // from the begin of the module
  std::string path;          // of the module's file: to open it, and for people

  friend bool operator==(CodeRef const&, CodeRef const&) = default;
};

// Returns the module of the code at this address. Answers are remembered until a module is loaded
// or unloaded. Throws std::runtime_error when the address is not in executable memory of a module.
CodeRef locate(void const* code);

// The address here of code that another process located there. Opens the module when it is not
// loaded yet, which runs its static constructors; its file is asked first which build it is. Throws
// std::runtime_error when the module is another build or cannot be opened, or when the offset is
// outside its executable memory.
void* resolve(CodeRef const& ref);

// This process has loaded another build of the module than the file has now, and that is the one of
// the reference: a new process could run the code. Opens nothing.
bool is_stale_here(CodeRef const& ref);

// True if resolve() has ever failed for that reason.
bool met_stale_module() noexcept;

// As locate(), for a variable of so many bytes. Nothing: it is not in the data of a loaded
// module.
std::optional<CodeRef> locate_data(void const* data, std::size_t bytes);

// The address here of a variable that another process located there; null when no module that is
// loaded has it. Opens nothing. That something lies there does not mean that it is what it is said
// to be.
void const* find_data(CodeRef const& ref, std::size_t bytes);

// True if so many bytes lie in memory of a loaded module that nothing can write.
bool is_constant(void const* address, std::size_t bytes);

struct LoadedModule {
  std::string path;
  BuildId id;
};

// Every loaded module, the main program first; the kernel's vdso is left out.
std::vector<LoadedModule> loaded_modules();

// A sentence about the first module that differs: the main programs must be the same, unless a helper
// runs the worker, and every file that both have loaded must be the same build. Modules that only one
// side has do not count.
enum class Programs { same, any };
std::optional<std::string> first_difference(std::span<LoadedModule const> parent,
                                            std::span<LoadedModule const> worker,
                                            Programs programs = Programs::same);

}  // namespace procpool::inline v0_1::identity

template <>
struct std::hash<procpool::identity::BuildId> {
  std::size_t operator()(procpool::identity::BuildId const& id) const noexcept { return id.hash(); }
};
