// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// What a task throws arrives where its result is asked for: standard exceptions as themselves,
// which also know where they came from, and everything else as RemoteError with its type and text.

#include <iostream>
#include <procpool.hpp>
#include <stdexcept>
#include <string>

struct Overheated {
  int degrees;
};

int run(std::string const& what) {
  if (what == "range") throw std::out_of_range{"index 7 of 5"};
  if (what == "mine") throw Overheated{451};
  if (what == "number") throw 42;
  return std::stoi(what);  // throws std::invalid_argument for what is no number
}

int main() {
  procpool::ProcessPool pool{2};
  int seen = 0;

  try {
    pool.call<run>("range");
  } catch (std::out_of_range const& error) {
    auto const* const origin = dynamic_cast<procpool::Origin const*>(&error);
    std::cout << "std::out_of_range: " << error.what() << '\n';
    seen += origin != nullptr && origin->pid > 0;
  }

  try {
    pool.call<run>("seven");
  } catch (std::logic_error const& error) {  // a base class catches as well
    std::cout << "std::logic_error: " << error.what() << '\n';
    ++seen;
  }

  for (char const* const what : {"mine", "number"}) {
    try {
      pool.call<run>(what);
    } catch (procpool::RemoteError const& error) {
      std::cout << "RemoteError: " << error.what() << '\n';
      ++seen;
    }
  }

  std::cout << "a value: " << pool.call<run>("7") << '\n';
  return seen == 4 ? 0 : 1;
}
