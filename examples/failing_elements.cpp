// What a call over a range does when elements fail: three policies, and outcomes one by one.

#include <iostream>
#include <procpool.hpp>
#include <stdexcept>
#include <string>
#include <vector>

int parse(std::string const& text) { return std::stoi(text); }

int main() {
  procpool::ProcessPool pool{2};
  std::vector<std::string> const texts{"1", "2", "three", "4", "five"};

  // As a loop would: the first failure by index is thrown, and nothing behind it begins any more.
  try {
    pool.map<parse>(texts);
  } catch (std::invalid_argument const& error) {
    auto const& origin = dynamic_cast<procpool::Origin const&>(error);
    std::cout << "element " << origin.element << " failed\n";
  }

  // All are run, and all failures are told.
  try {
    pool.with({.on_error = procpool::OnError::collect}).map<parse>(texts);
  } catch (procpool::ElementErrors const& errors) {
    for (auto const& [element, error] : errors.failures()) {
      std::cout << texts[element] << " is no number\n";
    }
  }

  // Nothing is thrown: a value or an error for each.
  int sum = 0;
  for (auto const& outcome : pool.try_map<parse>(texts)) {
    if (outcome.ok()) sum += outcome.value();
  }
  std::cout << "the others add up to " << sum << '\n';

  // A stream goes on behind a failure.
  auto stream = pool.imap<parse>(texts);
  int good = 0;
  for (auto it = stream.begin(); it != stream.end(); ++it) {
    try {
      good += *it > 0;
    } catch (std::invalid_argument const&) {
    }
  }
  std::cout << good << " good ones\n";
}
