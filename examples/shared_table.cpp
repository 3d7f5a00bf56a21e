// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// A value that all tasks need: shared once, it travels once to each worker and is decoded once
// there, however many elements use it. As a plain argument it would travel with every element.

#include <cstddef>
#include <iostream>
#include <procpool.hpp>
#include <ranges>
#include <string>
#include <utility>
#include <vector>

struct Prices {
  std::string currency;
  std::vector<double> each;
};

struct Order {
  std::size_t item;
  int pieces;
};

// A function needs to know nothing of sharing: where it takes `Prices const&`, a handle will do.
double cost(Order const& order, Prices const& prices) {
  return order.pieces * prices.each[order.item];
}

// A functor may hold the handle.
struct Discounted {
  procpool::Shared<Prices> prices;
  double factor;
  double operator()(Order const& order) const { return factor * cost(order, *prices); }
};

int main() {
  procpool::ProcessPool pool{2};
  std::vector<double> each(1'000'000);
  for (std::size_t i = 0; i < each.size(); ++i) each[i] = static_cast<double>(i % 100);
  auto const prices = pool.share(Prices{"EUR", std::move(each)});

  std::vector<Order> orders;
  for (std::size_t i = 0; i < 1000; ++i) orders.push_back({997 * i, 2});

  double sum = 0;
  for (double const one : pool.map(procpool::bind_back(cost, prices), orders)) sum += one;
  std::cout << sum << ' ' << prices->currency << '\n';

  double less = 0;
  for (double const one : pool.map(Discounted{prices, 0.5}, orders)) less += one;
  std::cout << less << ' ' << prices->currency << " for friends\n";

  // As an argument of its own, for one call.
  std::cout << pool.call<cost>(Order{42, 1}, prices) << " for item 42\n";
}
