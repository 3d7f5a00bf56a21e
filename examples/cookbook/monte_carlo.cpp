// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// A simulation whose result does not depend on the number of workers, down to the last bit, and not
// on a crash in between either: each path has random numbers of its own.

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <iostream>
#include <procpool.hpp>
#include <random>

namespace {

struct Market {
  double price, strike, rate, volatility, years;
  int steps;
};

// The pay-off of an option on the mean price over one random path.
double payoff(long path, Market const& market, procpool::SharedValue<int> const& faults) {
  if (path == 7'000 && faults.fetch_add(1) == 0) std::abort();  // a fault that does not come again
  std::mt19937_64 random = procpool::this_task::random();       // the stream of this path
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

struct Answer {
  double value;
  std::uint64_t crashes;
};

Answer value_of(Market const& market, unsigned workers) {
  constexpr long paths = 8'000;
  procpool::ProcessPool pool{{.workers = workers, .seed = 42}};
  procpool::SharedValue<int> const faults;
  // Floating-point sums depend on the slices, so their number is fixed. A slice whose worker dies is
  // run again, with the same random numbers.
  double const sum = pool.with({.slices = 64, .retries = {.times = 2}})
                         .parallelize_reduce<payoff, add>(0L, paths, 0.0, market, faults);
  return {sum / paths, pool.stats().worker_deaths};
}

}  // namespace

int main() {
  Market const market{
      .price = 100, .strike = 100, .rate = 0.03, .volatility = 0.25, .years = 1, .steps = 32};
  Answer const alone = value_of(market, 1);
  std::cout << "the option is worth about " << std::lround(alone.value) << '\n';
  bool equal = true;
  for (unsigned const workers : {2U, 3U}) {
    auto const [value, crashes] = value_of(market, workers);
    equal = equal && value == alone.value;
    std::cout << workers << " workers, " << crashes << " crash: "
              << (value == alone.value ? "the same to the last bit" : "another result") << '\n';
  }
  return equal ? 0 : 1;
}
