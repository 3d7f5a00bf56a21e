// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// expect: it takes another number of them
#include <procpool.hpp>
int half(int x);
void use() { procpool::Process process{half, 1, 2}; }
