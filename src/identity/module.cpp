// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// Functions by module, through dl_iterate_phdr. Any thread. Locks: the caches' mutex is taken
// before the loader's lock and never the other way round, and it is not held while a module is
// opened, because static constructors may come back here. A crash leaves nothing.
#include "identity/module.hpp"

#include <dlfcn.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstring>
#include <functional>
#include <memory>
#include <stdexcept>
#include <unordered_map>

#include <procpool/detail/engine/mutex.hpp>

#include "identity/elf_file.hpp"
#include "identity/images.hpp"
#include "os/text.hpp"

namespace procpool::inline v0_1::identity {
namespace {

// A cache that forgets everything when a module came or went: an address may mean something else.
template <class Key, class Value, class Hash = std::hash<Key>>
class UntilModulesChange {
 public:
  std::optional<Value> find(Key const& key) {
    Generation const now = generation();
    detail::Lock const lock(mutex_);
    if (now != generation_) {
      entries_.clear();
      generation_ = now;
      return std::nullopt;
    }
    auto const found = entries_.find(key);
    return found == entries_.end() ? std::nullopt : std::optional<Value>(found->second);
  }

  // `seen` is the generation in which the value was true.
  void insert(Key const& key, Value const& value, Generation seen) {
    detail::Lock const lock(mutex_);
    if (seen == generation_) entries_.insert_or_assign(key, value);
  }

 private:
  detail::Mutex mutex_;
  Generation generation_ PROCPOOL_GUARDED_BY(mutex_);
  std::unordered_map<Key, Value, Hash> entries_ PROCPOOL_GUARDED_BY(mutex_);
};

// Never destroyed: pools that are globals may still ask while the program ends.
auto& located() {
  static auto& cache = *new UntilModulesChange<void const*, CodeRef>;
  return cache;
}

// The images as they are now. Kept until modules come or go: a process that is forked later has
// them.
std::shared_ptr<std::vector<Image> const> current_images() {
  struct Kept {
    detail::Mutex mutex;
    std::shared_ptr<std::vector<Image> const> images PROCPOOL_GUARDED_BY(mutex);
    Generation since PROCPOOL_GUARDED_BY(mutex);
  };
  static auto& kept = *new Kept;
  Generation const now = generation();
  {
    detail::Lock const lock(kept.mutex);
    if (kept.images && kept.since == now) return kept.images;
  }
  Generation seen;
  auto images = std::make_shared<std::vector<Image> const>(all_images(seen));
  detail::Lock const lock(kept.mutex);
  kept.images = images;
  kept.since = seen;
  return images;
}

struct RefHash {
  std::size_t operator()(CodeRef const& ref) const noexcept {
    return ref.module.hash() ^ (static_cast<std::size_t>(ref.offset) * 0x9E3779B97F4A7C15U);
  }
};

auto& resolved() {
  static auto& cache = *new UntilModulesChange<CodeRef, void*, RefHash>;
  return cache;
}

std::string hex_number(std::uint64_t value) {
  std::string digits;
  do digits.insert(digits.begin(), "0123456789abcdef"[value % 16]);
  while ((value /= 16) != 0);
  return "0x" + digits;
}

[[noreturn]] void throw_replaced(CodeRef const& ref, BuildId const& here) {
  throw std::runtime_error("procpool: the module " + ref.path +
                           " was replaced on disk since this program started (the program has " +
                           ref.module.text() + ", the worker has " + here.text() + ")");
}

[[noreturn]] void throw_unopened(CodeRef const& ref, std::string const& why) {
  throw std::runtime_error("procpool: the worker could not open the module " + ref.path + " (" +
                           ref.module.text() + "): " + why);
}

void* code_in(Image const& image, CodeRef const& ref) {
  if (!image.executable_at(ref.offset)) {
    throw std::runtime_error("procpool: offset " + hex_number(ref.offset) +
                             " is not in the executable part of the module " + ref.path + " (" +
                             ref.module.text() + ")");
  }
  return reinterpret_cast<void*>(image.base + static_cast<std::uintptr_t>(ref.offset));
}

// The image with this identity, rather under the same path when there are copies; else null.
Image const* find_image(std::vector<Image> const& images, CodeRef const& ref) {
  Image const* found = nullptr;
  for (Image const& image : images) {
    if (image.id != ref.module) continue;
    if (image.path == ref.path) return &image;
    if (found == nullptr) found = &image;
  }
  return found;
}

Image const* find_path(std::vector<Image> const& images, std::string const& path) {
  auto const found = std::ranges::find(images, path, &Image::path);
  return found == images.end() ? nullptr : &*found;
}

std::atomic<bool> met_stale{false};

// This process has another build in the place of one that it could open, had it not that.
bool has_stale(std::vector<Image> const& images, CodeRef const& ref) {
  if (ref.module.kind() == BuildId::Kind::none || find_image(images, ref) != nullptr ||
      find_path(images, ref.path) == nullptr) {
    return false;
  }
  ElfFile const file(ref.path.c_str());
  return file && file.build() == ref.module;
}

void* find_or_open(CodeRef const& ref) {
  if (ref.module.kind() == BuildId::Kind::none) {
    throw std::runtime_error("procpool: the module " + ref.path +
                             " has neither a build-id nor a file that tells which build it is");
  }
  auto images = current_images();
  if (Image const* image = find_image(*images, ref)) return code_in(*image, ref);
  if (Image const* other = find_path(*images, ref.path)) {
    // Relaxed: asked by the thread that comes here, afterwards.
    if (has_stale(*images, ref)) met_stale.store(true, std::memory_order_relaxed);
    throw_replaced(ref, other->id);
  }
  // A static program could try, and would get a second C library with every module.
  if (!images->front().has_loader) {
    throw std::runtime_error("procpool: the module " + ref.path + " (" + ref.module.text() +
                             ") is not part of this worker, which is statically linked and cannot "
                             "open modules");
  }
  // Before anything of it can run: its constructors do so inside dlopen.
  if (!ref.path.starts_with('/')) throw_unopened(ref, "its path is not absolute");
  {
    ElfFile const file(ref.path.c_str());
    if (!file) throw_unopened(ref, std::strerror(errno));
    if (BuildId const there = file.build(); there != ref.module) throw_replaced(ref, there);
  }
  void* const handle = ::dlopen(ref.path.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (handle == nullptr) {
    char const* const why = ::dlerror();
    throw_unopened(ref, why != nullptr ? why : "no reason");
  }
  images = current_images();
  Image const* const image = find_image(*images, ref);
  if (image == nullptr) {  // replaced just then
    Image const* const opened = find_path(*images, ref.path);
    BuildId const here = opened != nullptr ? opened->id : BuildId{};
    ::dlclose(handle);
    throw_replaced(ref, here);
  }
  return code_in(*image, ref);  // the handle is kept for ever: the code must stay
}

}  // namespace

BuildId BuildId::from_note(std::span<std::byte const> note) noexcept {
  BuildId id;
  if (note.empty()) return id;
  for (std::size_t i = 0; i < note.size(); ++i) id.bytes_[i % max_bytes] ^= note[i];
  id.length_ = static_cast<std::uint8_t>(std::min(note.size(), max_bytes));
  id.kind_ = Kind::note;
  return id;
}

BuildId BuildId::from_file(std::uint64_t device, std::uint64_t inode, std::uint64_t size,
                           std::uint64_t nanoseconds) noexcept {
  std::array<std::uint64_t, 4> const words{device, inode, size, nanoseconds};
  static_assert(sizeof words == max_bytes);
  BuildId id;
  std::memcpy(id.bytes_.data(), words.data(), sizeof words);
  id.length_ = max_bytes;
  id.kind_ = Kind::file;
  return id;
}

std::optional<BuildId> BuildId::from_parts(std::uint8_t kind,
                                           std::span<std::byte const> bytes) noexcept {
  BuildId id;
  bool const good = kind == static_cast<std::uint8_t>(Kind::none)   ? bytes.empty()
                    : kind == static_cast<std::uint8_t>(Kind::note) ? !bytes.empty()
                    : kind == static_cast<std::uint8_t>(Kind::file) ? bytes.size() == max_bytes
                                                                    : false;
  if (!good || bytes.size() > max_bytes) return std::nullopt;
  std::ranges::copy(bytes, id.bytes_.begin());
  id.length_ = static_cast<std::uint8_t>(bytes.size());
  id.kind_ = static_cast<Kind>(kind);
  return id;
}

std::string BuildId::hex() const {
  std::string text;
  for (std::byte const b : bytes()) {
    text += "0123456789abcdef"[std::to_integer<unsigned>(b) >> 4];
    text += "0123456789abcdef"[std::to_integer<unsigned>(b) & 15U];
  }
  return text;
}

std::string BuildId::text() const {
  switch (kind_) {
    case Kind::note: return "build-id " + hex();
    case Kind::file: return "file identity " + hex();
    case Kind::none: break;
  }
  return "an unknown build";
}

std::size_t BuildId::hash() const noexcept {
  // FNV-1a.
  std::uint64_t value = 14695981039346656037U ^ static_cast<std::uint64_t>(kind_);
  for (std::byte const b : bytes()) {
    value = (value ^ std::to_integer<std::uint64_t>(b)) * 1099511628211U;
  }
  return static_cast<std::size_t>(value);
}

CodeRef locate(void const* code) {
  if (auto known = located().find(code)) return *std::move(known);
  Generation seen;
  std::optional<Image> const image = image_around(code, seen);
  auto const address = reinterpret_cast<std::uintptr_t>(code);
  if (!image || !image->executable_at(address - image->base)) {
    throw std::runtime_error("procpool: the address " + hex_number(address) +
                             " is not in the executable memory of any loaded module, so a worker "
                             "could not find the function");
  }
  CodeRef ref{image->id, address - image->base, image->path};
  located().insert(code, ref, seen);
  return ref;
}

void* resolve(CodeRef const& ref) {
  if (auto const known = resolved().find(ref)) return *known;
  Generation const before = generation();
  void* const code = find_or_open(ref);
  // Not remembered when it was opened just now; the next call does that.
  resolved().insert(ref, code, before);
  return code;
}

bool is_stale_here(CodeRef const& ref) { return has_stale(*current_images(), ref); }

bool met_stale_module() noexcept { return met_stale.load(std::memory_order_relaxed); }

std::optional<CodeRef> locate_data(void const* data, std::size_t bytes) {
  auto const address = reinterpret_cast<std::uintptr_t>(data);
  auto const images = current_images();
  for (Image const& image : *images) {
    if (!image.data_at(address - image.base, bytes)) continue;
    if (image.id.kind() == BuildId::Kind::none) return std::nullopt;
    return CodeRef{image.id, address - image.base, image.path};
  }
  return std::nullopt;
}

void const* find_data(CodeRef const& ref, std::size_t bytes) {
  if (ref.module.kind() == BuildId::Kind::none) return nullptr;
  auto const images = current_images();
  Image const* const image = find_image(*images, ref);
  if (image == nullptr || !image->data_at(ref.offset, bytes)) return nullptr;
  return reinterpret_cast<void const*>(image->base + static_cast<std::uintptr_t>(ref.offset));
}

bool is_constant(void const* address, std::size_t bytes) {
  auto const at = reinterpret_cast<std::uintptr_t>(address);
  return std::ranges::any_of(*current_images(), [&](Image const& image) {
    return image.constant_at(at - image.base, bytes);
  });
}

std::vector<LoadedModule> loaded_modules() {
  std::vector<LoadedModule> modules;
  // Held here: another thread may keep newer ones meanwhile.
  auto const images = current_images();
  for (Image const& image : *images) modules.push_back({image.path, image.id});
  return modules;
}

std::optional<std::string> first_difference(std::span<LoadedModule const> parent,
                                            std::span<LoadedModule const> worker,
                                            Programs programs) {
  if (parent.empty() || worker.empty()) return "procpool: a process without a main program";
  if (programs == Programs::same && parent.front().id != worker.front().id) {
    return "procpool: the worker runs another program (" +
           os::one_line(os::cut(worker.front().path, 4096)) + ", " + worker.front().id.text() +
           ") than the one that started it (" + parent.front().path + ", " +
           parent.front().id.text() + ")";
  }
  std::unordered_map<std::string_view, BuildId const*> theirs;
  for (LoadedModule const& module : worker.subspan(1)) theirs.emplace(module.path, &module.id);
  for (LoadedModule const& module : parent.subspan(1)) {
    auto const found = theirs.find(module.path);
    if (found == theirs.end() || *found->second == module.id) continue;
    return "procpool: the module " + module.path +
           " was replaced on disk since this program started (the program has " + module.id.text() +
           ", the worker has " + found->second->text() + ")";
  }
  return std::nullopt;
}

}  // namespace procpool::inline v0_1::identity
