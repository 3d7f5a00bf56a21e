// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// A program that uses a pool during static initialisation, which in a worker must not start
// workers.

#include "common.hpp"

namespace {

struct Early {
  int result = 0;
  std::string refusal;
  Early() {
    try {
      procpool::ProcessPool pool{1};
      result = pool.call<programs::square>(5);
    } catch (procpool::SetupError const& error) {
      refusal = error.what();
    }
  }
};
Early const early;

}  // namespace

int main() {
  // In the program it may work or be refused; what must not happen is a worker in a worker in a
  // worker.
  programs::check(early.result == 25 || !early.refusal.empty(), "one of the two");
  procpool::ProcessPool pool{1};
  auto const refusal = [] { return early.refusal; };
  programs::check(!pool.call(refusal).empty(), "refused in the worker");
}
