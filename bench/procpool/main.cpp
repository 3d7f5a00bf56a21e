// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// procpool_bench: all that is measured of procpool comes from this one program, which is linked as
// a user's would be. Its pools have default options, but two workers where a number is compared.

#include "support/program.hpp"

int main(int argc, char** argv) { return bench::run_program(argc, argv); }
