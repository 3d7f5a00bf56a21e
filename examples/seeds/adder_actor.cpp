// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// The third remedy for the caveat in adder.cpp: the object does not travel at all. It lives in a
// process of its own, and the calls go to it. So they run one after the other: this is for state,
// and not for speed.

#include <chrono>
#include <iostream>
#include <procpool.hpp>
#include <utility>
#include <vector>

struct Explained {
  int a, b, sum;
};

class Adder {
 public:
  Explained explain_sum(int a, int b) {
    auto const start = std::chrono::steady_clock::now();
    Explained const result{a, b, a + b};
    std::chrono::duration<double> const time = std::chrono::steady_clock::now() - start;
    times_.push_back(time.count());  // in the only object that there is
    return result;
  }
  std::vector<double> times() const { return times_; }

 private:
  std::vector<double> times_;
};

int main() {
  procpool::ProcessPool pool{3};
  auto adder = pool.actor<Adder>();
  std::vector<procpool::Future<Explained>> results;
  for (auto const& [a, b] : std::vector<std::pair<int, int>>{{1, 4}, {2, 5}, {3, 6}}) {
    results.push_back(adder.call<&Adder::explain_sum>(a, b));
  }

  char const* separator = "[";
  for (auto& result : results) {
    auto const [a, b, sum] = result.get();
    std::cout << separator << "{'a': " << a << ", 'b': " << b << ", 'a+b': " << sum << "}";
    separator = ", ";
  }
  auto const times = adder.call<&Adder::times>().get();
  std::cout << "]\n" << times.size() << " times\n";

  for (double const time : times) std::clog << time << " s\n";  // differ each time
}
