// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// The command line of every measuring program; see program.hpp.

#include "support/program.hpp"

#include <cstdio>
#include <cstring>
#include <exception>
#include <optional>
#include <stdexcept>

namespace bench {

std::vector<Case>& cases() {
  static std::vector<Case> all;
  return all;
}

namespace {

int list() {
  for (auto const& one : cases()) {
    std::printf(R"({"case": "%s", "system": "%s", "unit": "%s"})"
                "\n",
                one.name.c_str(), one.system.c_str(), one.unit.c_str());
  }
  return 0;
}

int run(std::string const& name, int rounds, std::optional<std::string> const& system,
        double slice) {
  bool found = false;
  for (auto const& one : cases()) {
    if (one.name != name || (system && one.system != *system)) continue;
    found = true;
    one.run(Measure(one.name, one.system, one.unit, rounds, slice));
  }
  if (!found) throw std::invalid_argument("no such case: " + name);
  return 0;
}

}  // namespace

int run_program(int argc, char** argv) {
  try {
    if (argc == 2 && std::strcmp(argv[1], "--list") == 0) return list();
    if (argc < 3 || argc % 2 == 0) {
      throw std::invalid_argument("usage: CASE ROUNDS [--system NAME] [--slice MILLISECONDS]");
    }
    std::optional<std::string> system;
    double slice = 0.2;
    for (int i = 3; i < argc; i += 2) {
      std::string const word = argv[i];
      if (word == "--system") {
        system = argv[i + 1];
      } else if (word == "--slice") {
        slice = std::stod(argv[i + 1]) / 1000;
      } else {
        throw std::invalid_argument("unknown option " + word);
      }
    }
    return run(argv[1], std::stoi(argv[2]), system, slice);
  } catch (std::exception const& error) {
    std::fprintf(stderr, "%s: %s\n", argv[0], error.what());
    return 1;
  }
}

}  // namespace bench
