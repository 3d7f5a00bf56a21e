// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// The handles in an item of a queue or of a pipe: bytes that name them, and descriptors, from a
// process that sends what it likes. They arrive as what they are, or the item is refused; either way
// no descriptor is left.

#include <algorithm>
#include <new>

#include "fuzz/descriptors.hpp"
#include "handle/item_handles.hpp"

namespace {

namespace detail = procpool::detail;

// As handle/item_handles.cpp writes them.
struct Entry {
  std::uint64_t id;
  std::uint32_t kind;
  std::uint32_t descriptors;
  std::uint64_t parts;
};

constexpr std::uint8_t rarely = 16;

detail::Bytes item_of(fuzz::Input& in) {
  auto const copy = [](std::span<std::byte const> bytes) {
    return detail::Bytes(bytes.begin(), bytes.end());
  };
  if (in.take() % 4 == 3) return copy(in.rest());
  detail::Bytes item = copy(in.take_bytes(in.take() % 32));
  std::uint64_t count = in.take() % 8;
  for (std::uint64_t i = 0; i < count; ++i) {
    Entry entry{};
    entry.id = fuzz::any_id(in);
    entry.kind = in.take() % 7;
    std::uint8_t const descriptors = in.take();
    entry.descriptors = descriptors % rarely == 15 ? in.take<std::uint32_t>() : descriptors % 4;
    std::uint8_t const parts = in.take();
    entry.parts = parts % rarely == 15 ? in.take<std::uint64_t>() : parts % 3;
    detail::append(item, &entry, sizeof entry);
  }
  if (in.take() % rarely == 15) count = in.take<std::uint64_t>();
  detail::append(item, &count, sizeof count);
  return item;
}

}  // namespace

void fuzz::run(std::span<std::byte const> input) {
  NoDescriptorIsLeft const none_is_left;
  Input in(input);
  auto came = descriptors(in);
  detail::Bytes item = item_of(in);
  std::size_t const before = item.size();
  try {
    auto const handles = procpool::handle::adopt_handles(item, std::move(came));
    require(item.size() <= before - sizeof(std::uint64_t), "what names them is taken off");
    require(handles.size() * sizeof(Entry) <= before, "each has an entry");
    for (auto const& handle : handles) {
      require(handle->id() != 0, "an empty handle has no resource");
      use(*handle);
    }
  } catch (procpool::SerializationError const&) {
  } catch (procpool::SetupError const&) {
  }
}

std::vector<fuzz::Bytes> fuzz::seeds() {
  auto const number = [](int value) { return static_cast<std::uint8_t>(value); };
  std::vector<Bytes> all;
  // Each living one: its descriptors, its id, its kind.
  constexpr std::uint32_t kinds[Living::count] = {2, 3, 4, 5, 1};
  constexpr int counts[Living::count] = {1, 3, 3, 3, 0};
  for (std::size_t i = 0; i < Living::count; ++i) {
    all.push_back(Output()
                      .put(number(static_cast<int>(4 * i)))
                      .put(number(0))
                      .put(number(4))
                      .put(std::uint32_t{7})
                      .put(number(1))
                      .put(number(static_cast<int>(3 * i)))
                      .put(number(static_cast<int>(kinds[i])))
                      .put(number(counts[i]))
                      .put(number(0))
                      .put(number(0))
                      .take());
  }
  // The shared value, whose file is among the descriptors of any kind.
  all.push_back(Output()
                    .put(number(4 + 1))
                    .put(number(8))
                    .put(number(4))
                    .put(number(0))
                    .put(number(0))
                    .put(number(1))
                    .put(number(12))
                    .put(number(1))
                    .put(number(1))
                    .put(number(0))
                    .put(number(0))
                    .take());
  // A queue that nobody knows, and raw bytes.
  all.push_back(Output()
                    .put(number(4 + 1))
                    .put(number(7))
                    .put(std::uint16_t{8})
                    .put(std::uint16_t{4096})
                    .put(number(1))
                    .put(number(0))
                    .put(number(0))
                    .put(number(1))
                    .put(number(0))
                    .put(number(0))
                    .put(number(1))
                    .put(number(1))
                    .put(number(3))
                    .put(number(1))
                    .put(number(0))
                    .put(number(0))
                    .take());
  all.push_back(Output().put(number(1)).put(number(3)).put(std::uint64_t{0}).take());
  all.push_back(Output().put(number(1)).put(number(3)).put(~std::uint64_t{0}).take());
  return all;
}
