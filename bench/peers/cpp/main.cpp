// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// The main of each program of peers; its cases are in the other files.

#include "support/program.hpp"

int main(int argc, char** argv) { return bench::run_program(argc, argv); }
