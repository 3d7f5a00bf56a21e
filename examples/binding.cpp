// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// Callables beyond plain functions: arguments that stay the same for all elements, objects that are
// called, and member functions. A lambda with captures cannot travel: what it captured has no names
// that could be written down. These are the ways out.

#include <cmath>
#include <iostream>
#include <procpool.hpp>
#include <vector>

double polynomial(double a, double b, double x) { return a * x + b; }
double power(double x, int exponent) { return std::pow(x, exponent); }

// A plain functor travels with its members.
struct Scale {
  double factor;
  double operator()(double x) const { return factor * x; }
};

struct Line {
  double slope;
  double offset;
  double at(double x) const { return slope * x + offset; }
};

int main() {
  procpool::ProcessPool pool{2};
  std::vector<double> const xs{1, 2, 3};
  bool right = true;

  // The first arguments bound, the last ones bound.
  right &= pool.map(procpool::bind_front(polynomial, 2.0, 1.0), xs) == std::vector<double>{3, 5, 7};
  right &= pool.map(procpool::bind_back(power, 2), xs) == std::vector<double>{1, 4, 9};

  // An object with operator(), and a const member function of an object that travels with it.
  right &= pool.map(Scale{10}, xs) == std::vector<double>{10, 20, 30};
  right &=
      pool.map(procpool::bind_front<&Line::at>(Line{3, 1}), xs) == std::vector<double>{4, 7, 10};

  // A lambda whose captures are plain values, by your word.
  double const offset = 5;
  right &= pool.map(procpool::by_value([offset](double x) { return x + offset; }), xs) ==
           std::vector<double>{6, 7, 8};

  // A lambda without captures.
  right &= pool.map([](double x) { return x - 1; }, xs) == std::vector<double>{0, 1, 2};

  std::cout << (right ? "all as bound\n" : "something is wrong\n");
  return right ? 0 : 1;
}
