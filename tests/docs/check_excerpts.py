#!/usr/bin/env python3
# SPDX-FileCopyrightText: The procpool authors
# SPDX-License-Identifier: BSL-1.0
"""check_excerpts.py DOCUMENT...: blocks behind a line `<!-- from FILE -->` stand in that file, line for line.

FILE is a path from the folder in which this runs. An empty line of the block stands for any lines. Each block of C++ is
such an excerpt, a whole program (check_snippets.py), or an include by itself.
"""
import pathlib
import re
import sys

BLOCK = re.compile(r"^(<!-- from \S+ -->\n)?```cpp\n(.*?)^```", re.S | re.M)
WHOLE = re.compile(r"^(int main|TEST)\(|\A#include \S+\n\Z", re.M)
EXCERPT = re.compile(r"^<!-- from (\S+) -->\n```\w*\n(.*?)^```", re.S | re.M)


def main():
    count, failures = 0, 0
    for document in map(pathlib.Path, sys.argv[1:]):
        text = document.read_text()
        for block in BLOCK.finditer(text):
            if not block[1] and not WHOLE.search(block[2]):
                failures += 1
                print(f"{document}:{text.count(chr(10), 0, block.start()) + 1}: neither a program nor from a file")
        for excerpt in EXCERPT.finditer(text):
            source = pathlib.Path(excerpt[1]).read_text()
            for piece in excerpt[2].strip("\n").split("\n\n"):
                count += 1
                if piece + "\n" not in source:
                    failures += 1
                    line = text.count("\n", 0, excerpt.start()) + 1
                    print(f"{document}:{line}: not in {excerpt[1]}:\n{piece}")
    print(f"{failures} failures in {count} pieces")
    return 1 if failures or not count else 0


if __name__ == "__main__":
    sys.exit(main())
