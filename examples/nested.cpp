// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// A task may have a pool of its own. Its workers end with it: a crash in one is its pool's affair,
// and when the outer worker goes, however it goes, the inner ones go too.

#include <csignal>
#include <iostream>
#include <procpool.hpp>
#include <ranges>

int risky_square(int x) {
  if (x == 3) std::raise(SIGKILL);
  return x * x;
}

struct RowSum {
  int sum;
  int lost;
};

// Runs in a worker of the outer pool, and has two workers of its own.
RowSum sum_of_row(int first) {
  procpool::ProcessPool inner{2};
  RowSum row{0, 0};
  auto const numbers = std::views::iota(first, first + 4);
  for (auto const& outcome : inner.outcomes().map<risky_square>(numbers)) {
    if (outcome) {
      row.sum += *outcome;
    } else {
      ++row.lost;
    }
  }
  return row;
}

int main() {
  procpool::ProcessPool outer{2};
  auto const rows = outer.map<sum_of_row>(std::views::iota(0, 3) |
                                          std::views::transform([](int row) { return 4 * row; }));
  for (auto const& [sum, lost] : rows) {
    std::cout << "sum " << sum << ", lost " << lost << '\n';
  }
  return rows.size() == 3 && rows[0].lost == 1 && rows[1].lost == 0 && rows[2].lost == 0 ? 0 : 1;
}
