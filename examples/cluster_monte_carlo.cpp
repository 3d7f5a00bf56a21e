// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// A simulation on all machines of an MPI job, or on this one:
//
//     cluster_monte_carlo
//     mpiexec -n 4 cluster_monte_carlo
//
// Both print the same, to the last bit, because each path has random numbers of its own. The code has a
// bug: it kills its worker now and then. What was lost is run again. It is built with PROCPOOL_MPI=ON.

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <exception>
#include <iomanip>
#include <iostream>
#include <procpool.hpp>
#include <procpool/mpi.hpp>
#include <random>

namespace {

struct Market {
  double price, strike, rate, volatility, years;
  int steps;
};

// The pay-off of an option on the mean price over one random path.
double payoff(long, Market const& market) {
  static int paths = 0;  // of this worker
  if (++paths == 1500) std::abort();
  std::mt19937_64 random = procpool::this_task::random();  // the stream of this path
  std::normal_distribution<double> normal;
  double const step = market.years / market.steps;
  double price = market.price, sum = 0;
  for (int i = 0; i < market.steps; ++i) {
    price *= std::exp((market.rate - market.volatility * market.volatility / 2) * step +
                      market.volatility * std::sqrt(step) * normal(random));
    sum += price;
  }
  return std::exp(-market.rate * market.years) * std::max(sum / market.steps - market.strike, 0.0);
}

double add(double a, double b) { return a + b; }

}  // namespace

int main() try {
  constexpr long paths = 16'000;
  Market const market{
      .price = 100, .strike = 100, .rate = 0.03, .volatility = 0.25, .years = 1, .steps = 32};
  procpool::ProcessPool pool{{.seed = 42, .engine = procpool::mpi()}};
  // Floating-point sums depend on the slices, so their number is fixed.
  double const sum = pool.with({.slices = 64, .retries = {.times = 20}})
                         .parallelize_reduce<payoff, add>(0L, paths, 0.0, market);
  std::cerr << pool.size() << " workers\n";
  std::cout << std::setprecision(17) << "the option is worth " << sum / paths << '\n';
  return 0;
} catch (std::exception const& error) {
  std::cerr << "cluster_monte_carlo: " << error.what() << '\n';
  return 1;
}
