// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// The machine's limit for large values: memcpy between warm memory in one process; and through warm
// shared memory, copied in by one process and out by the other.

#include <cstring>
#include <string>
#include <vector>

#include "peers/cpp/shared_memory.hpp"
#include "support/program.hpp"
#include "support/shapes.hpp"

namespace bench {
namespace {

void copy_here(Measure const& measure) {
  auto const bytes = payload_bytes(measure);
  std::vector<std::byte> const from(bytes, std::byte{1});
  std::vector<std::byte> to(bytes);
  measure_bandwidth(measure, bytes, [&] {
    auto const begin = now_ns();
    std::memcpy(to.data(), from.data(), bytes);
    asm volatile("" : : "r"(to.data()) : "memory");
    return seconds_since(begin);
  });
}

struct Words {
  alignas(128) std::atomic<std::uint32_t> wanted{0};
  alignas(128) std::atomic<std::uint32_t> made{0};
};

void copy_between(Measure const& measure) {
  auto const bytes = payload_bytes(measure);
  auto* const shared = static_cast<std::byte*>(map_shared(bytes));
  Shared<Words> words;
  Child const child([&] {
    std::vector<std::byte> const from(bytes, std::byte{1});
    for (std::uint32_t number = 1;; ++number) {
      while (words->wanted.load() != number) futex_wait(words->wanted, number - 1);
      std::memcpy(shared, from.data(), bytes);
      words->made.store(number);
      futex_wake(words->made);
    }
  });
  std::vector<std::byte> to(bytes);
  std::uint32_t number = 0;
  measure_bandwidth(measure, bytes, [&] {
    auto const begin = now_ns();
    words->wanted.store(++number);
    futex_wake(words->wanted);
    while (words->made.load() != number) futex_wait(words->made, number - 1);
    std::memcpy(to.data(), shared, bytes);
    asm volatile("" : : "r"(to.data()) : "memory");
    return seconds_since(begin);
  });
  munmap(shared, bytes);
}

Add const argument_here("argument_256MiB", "raw memcpy", "GB/s", copy_here);
Add const result_here("result_256MiB", "raw memcpy", "GB/s", copy_here);
Add const argument_between("argument_256MiB", "raw shared memory", "GB/s", copy_between);
Add const result_between("result_256MiB", "raw shared memory", "GB/s", copy_between);

[[maybe_unused]] bool const growth = [] {
  std::pair<char const*, std::size_t> const sizes[] = {
      {"8B", 8},     {"1KiB", 1 << 10},   {"16KiB", 16 << 10},   {"128KiB", 128 << 10},
      {"1MiB", MiB}, {"16MiB", 16 * MiB}, {"128MiB", 128 * MiB}, {"1GiB", 1024 * MiB}};
  for (auto const& [name, bytes] : sizes) {
    Add("argument_" + std::string(name), "raw memcpy", "us",
        [bytes = bytes](Measure const& measure) {
          if (measure.tiny() && bytes > MiB) {
            measure.report(0);
            return;
          }
          std::vector<std::byte> const from(bytes, std::byte{1});
          std::vector<std::byte> to(bytes);
          measure_roundtrip(measure, [&] {
            std::memcpy(to.data(), from.data(), bytes);
            asm volatile("" : : "r"(to.data()) : "memory");
          });
        });
  }
  return true;
}();

}  // namespace
}  // namespace bench
