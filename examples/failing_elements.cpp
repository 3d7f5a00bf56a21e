// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

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

  // Nothing is thrown: a value or a failure for each.
  int sum = 0;
  for (auto const& outcome : pool.outcomes().map<parse>(texts)) {
    sum += outcome.value_or(0);
  }
  std::cout << "the others add up to " << sum << '\n';

  // A stream goes on behind a failure.
  int good = 0;
  for (auto const& outcome : pool.outcomes().imap<parse>(texts)) good += outcome ? 1 : 0;
  std::cout << good << " good ones\n";
}
