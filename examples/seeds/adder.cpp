// A caveat of all process pools: the object that a member function is called on travels to the
// worker as a copy. What the copy learns there, the object here never hears of. What shall come
// back must be returned.

#include <chrono>
#include <iostream>
#include <procpool.hpp>
#include <vector>

struct Explained {
  int a, b, sum;
  double seconds;  // what to do instead: the time is part of the result
};

struct Adder {
  std::vector<Explained> results;
  // Changed by a const member function, hence mutable. Where the function is not const, procpool
  // refuses to compile the call, and says that the change would be lost.
  mutable std::vector<double> times;

  Explained explain_sum(int a, int b) const {
    auto const start = std::chrono::steady_clock::now();
    int const sum = a + b;
    std::chrono::duration<double> const time = std::chrono::steady_clock::now() - start;
    times.push_back(time.count());  // in the worker's copy
    return {a, b, sum, time.count()};
  }

  void add(std::vector<int> const& as, std::vector<int> const& bs) {
    procpool::ProcessPool pool{3};
    results = pool.map(procpool::bind_front<&Adder::explain_sum>(*this), as, bs);
  }
};

int main() {
  std::vector<int> const as{1, 2, 3};
  std::vector<int> const bs{4, 5, 6};
  Adder adder;
  adder.add(as, bs);

  char const* separator = "[";
  for (auto const& [a, b, sum, seconds] : adder.results) {
    std::cout << separator << "{'a': " << a << ", 'b': " << b << ", 'a+b': " << sum << "}";
    separator = ", ";
  }
  std::cout << "]\n";

  std::cout << '[';
  for (double const time : adder.times) std::cout << time << ' ';
  std::cout << "]\n";  // empty: the member was not changed here

  int returned = 0;
  for (auto const& result : adder.results) returned += result.seconds >= 0;
  std::cout << "times that were returned: " << returned << '\n';
}
