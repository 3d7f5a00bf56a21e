// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#pragma once

// The command line of every measuring program:
//   PROGRAM CASE ROUNDS [--system NAME] [--slice MILLISECONDS]
//   PROGRAM --list
// A case is one function for one system; both name it. Files of a program add theirs by static
// objects.

#include <functional>
#include <string>
#include <vector>

#include "support/measure.hpp"

namespace bench {

struct Case {
  std::string name;
  std::string system;
  std::string unit;
  std::function<void(Measure const&)> run;
};

std::vector<Case>& cases();

struct Add {
  Add(std::string name, std::string system, std::string unit,
      std::function<void(Measure const&)> run) {
    cases().push_back({std::move(name), std::move(system), std::move(unit), std::move(run)});
  }
};

int run_program(int argc, char** argv);

}  // namespace bench
