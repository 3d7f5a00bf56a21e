// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// The main of a fuzz target where there is no libFuzzer: runs it once with each file that is named,
// or that lies in a folder that is named. With --seeds FOLDER it writes the seeds there instead.

#include <algorithm>
#include <exception>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <iterator>
#include <string>
#include <string_view>

#include "fuzz/fuzz.hpp"

namespace {

namespace files = std::filesystem;

void write_seeds(files::path const& folder) {
  files::create_directories(folder);
  int number = 0;
  for (fuzz::Bytes const& seed : fuzz::seeds()) {
    std::ofstream file(folder / ("seed_" + std::to_string(number++)), std::ios::binary);
    file.write(reinterpret_cast<char const*>(seed.data()),
               static_cast<std::streamsize>(seed.size()));
  }
}

// The memory is no larger than the file, so that a sanitizer sees a read past its end.
void replay(files::path const& path) {
  std::ifstream file(path, std::ios::binary);
  std::string const text{std::istreambuf_iterator<char>(file), {}};
  std::cout << path.filename().string() << std::endl;  // flushed: it may be the last
  fuzz::Bytes bytes(text.size());
  std::memcpy(bytes.data(), text.data(), text.size());
  fuzz::run(bytes);
}

}  // namespace

int main(int count, char** arguments) {
  std::span<char*> const words(arguments, static_cast<std::size_t>(count));
  if (words.size() == 3 && std::string_view(words[1]) == "--seeds") {
    write_seeds(words[2]);
    return 0;
  }
  int replayed = 0;
  for (fuzz::Bytes const& seed : fuzz::seeds()) {
    fuzz::run(seed);
    ++replayed;
  }
  for (char const* const word : words.subspan(1)) {
    if (!files::is_directory(word)) {
      replay(word);
      ++replayed;
      continue;
    }
    std::vector<files::path> all;
    for (auto const& entry : files::directory_iterator(word)) all.push_back(entry.path());
    std::ranges::sort(all);
    for (files::path const& path : all) replay(path);
    replayed += static_cast<int>(all.size());
  }
  std::cout << replayed << " inputs\n";
  return replayed == 0 ? 1 : 0;
}
