// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// expect: cannot be called with these arguments
#include <procpool.hpp>
#include <string>
int eat(std::string&& text);
int use(procpool::ProcessPool& pool, procpool::Shared<std::string> const& text) {
  return pool.call<eat>(text);
}
