// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// Fortran from before threads: its state lies in a COMMON block, so that a process has one model.
// Each worker has a model of its own, and a STOP ends one element.

#include <cmath>
#include <iostream>
#include <procpool.hpp>
#include <vector>

extern "C" {
void setup_(double const* meals);
void start_(double const* rabbits, double const* foxes, double const* growth);
void advanc_(double const* step);
double answer_();
}

namespace {

// Once in each worker: what all elements have in common.
void prepare(double meals) { setup_(&meals); }

// Rabbits after ten seasons. An element finds what the one before has left in the COMMON block, so it
// sets all else that it depends on.
double season(double growth) {
  constexpr double rabbits = 40, foxes = 9, step = 0.001;
  start_(&rabbits, &foxes, &growth);
  for (int i = 0; i < 10'000; ++i) advanc_(&step);
  return answer_();
}

}  // namespace

int main() {
  procpool::PoolOptions options;
  options.workers = 2;
  options.start.initializer = procpool::bound<prepare>(0.02);
  options.output.mode = procpool::Output::drop;  // gfortran prints the STOP
  procpool::ProcessPool pool{options};

  std::vector<double> const rates{0.1, 0.4, 9000, 0.8};
  auto rate = rates.begin();
  for (auto const& outcome : pool.outcomes().imap<season>(rates)) {
    std::cout << "rate " << *rate++ << ": ";
    if (outcome) {
      std::cout << std::lround(*outcome) << " rabbits\n";
    } else if (auto const* died = outcome.error().as<procpool::WorkerDied>()) {
      std::cout << "STOP " << died->exit_status().value_or(-1) << '\n';
    }
  }
}
