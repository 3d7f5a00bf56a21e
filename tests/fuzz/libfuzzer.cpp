// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// What libFuzzer calls. Seeds are written by `target --seeds FOLDER`, as without it.

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>
#include <string_view>

#include "fuzz/fuzz.hpp"

extern "C" int LLVMFuzzerInitialize(int* count, char*** arguments) {
  std::span<char*> const words(*arguments, static_cast<std::size_t>(*count));
  if (words.size() != 3 || std::string_view(words[1]) != "--seeds") return 0;
  std::filesystem::create_directories(words[2]);
  int number = 0;
  for (fuzz::Bytes const& seed : fuzz::seeds()) {
    std::ofstream file(std::string(words[2]) + "/seed_" + std::to_string(number++),
                       std::ios::binary);
    file.write(reinterpret_cast<char const*>(seed.data()),
               static_cast<std::streamsize>(seed.size()));
  }
  std::exit(0);
}

extern "C" int LLVMFuzzerTestOneInput(std::uint8_t const* data, std::size_t size) {
  fuzz::run(std::as_bytes(std::span(data, size)));
  return 0;
}
