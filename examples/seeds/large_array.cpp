// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// The module `parallelize` has a switch, write_to_file, because large results came back slowly:
// each was pickled, pushed through a pipe and unpickled. Here a large array goes through shared
// memory, as one block, and no switch is needed. The file that this compares with is what the
// switch did.

#include <chrono>
#include <cstdio>
#include <iostream>
#include <procpool.hpp>
#include <span>
#include <string>
#include <vector>

std::vector<double> expand(std::span<int const> seeds) {
  std::vector<double> large(seeds.size() << 20);  // 8 MiB for each seed
  for (std::size_t i = 0; i < large.size(); ++i)
    large[i] = static_cast<double>(seeds[i >> 20]) + 0.5;
  return large;
}

double through_a_file(std::vector<double> const& values) {
  std::FILE* const file = std::tmpfile();
  if (file == nullptr) return 0;
  auto const begin = std::chrono::steady_clock::now();
  std::vector<double> back(values.size());
  bool const done =
      std::fwrite(values.data(), sizeof(double), values.size(), file) == values.size() &&
      std::fseek(file, 0, SEEK_SET) == 0 &&
      std::fread(back.data(), sizeof(double), back.size(), file) == back.size();
  std::fclose(file);
  std::chrono::duration<double> const took = std::chrono::steady_clock::now() - begin;
  return done ? took.count() : 0;
}

int main() {
  std::vector<int> const seeds{0, 1, 2, 3, 4, 5, 6, 7, 8, 9};
  procpool::ProcessPool pool{2};
  auto const [values, slices, elapsed] = pool.parallelize_timed<expand>(seeds);

  bool right = values.size() == seeds.size() << 20;
  for (std::size_t i = 0; i < values.size(); ++i)
    right &= values[i] == static_cast<double>(i >> 20) + 0.5;
  std::cout << values.size() * sizeof(double) / (1 << 20) << " MiB of results, "
            << (right ? "every one right" : "but not the right ones") << '\n';

  std::chrono::nanoseconds longest{};
  for (auto const& slice : slices) longest = std::max(longest, slice.took);
  std::clog << "made in " << longest / std::chrono::milliseconds(1) << " ms, here after "
            << elapsed / std::chrono::milliseconds(1) << " ms; the way through a file alone takes "
            << static_cast<int>(1000 * through_a_file(values)) << " ms\n";
  return right ? 0 : 1;
}
