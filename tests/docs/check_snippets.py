#!/usr/bin/env python3
# SPDX-FileCopyrightText: The procpool authors
# SPDX-License-Identifier: BSL-1.0
"""check_snippets.py DOCUMENT... -- COMPILER OPTION...: whole programs in documents compile.

A whole program is a block of C++ that has a `main` or a test. Missing includes of <iostream> and <procpool.hpp> are
added.
"""
import pathlib
import re
import subprocess
import sys

BLOCK = re.compile(r"^```cpp\n(.*?)^```", re.S | re.M)


def programs(path):
    text = path.read_text()
    for block in BLOCK.finditer(text):
        code = block[1]
        if re.search(r"^(int main|TEST)\(", code, re.M):
            missing = [header for header in ("<iostream>", "<procpool.hpp>") if header not in code]
            yield text.count("\n", 0, block.start()) + 1, "".join(f"#include {header}\n" for header in missing) + code


def main():
    end = sys.argv.index("--")
    documents, compiler = map(pathlib.Path, sys.argv[1:end]), sys.argv[end + 1:]
    count = failures = 0
    for document in documents:
        for line, code in programs(document):
            count += 1
            if subprocess.run([*compiler, "-fsyntax-only", "-x", "c++", "-"], input=code, text=True).returncode:
                print(f"{document}:{line}: does not compile")
                failures += 1
    print(f"{failures} failures in {count} programs")
    return 1 if failures or not count else 0


if __name__ == "__main__":
    sys.exit(main())
