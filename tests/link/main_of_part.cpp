// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// The program only calls into its library; the entry hook comes from the program's link.

bool part_works();

int main() { return part_works() ? 0 : 1; }
