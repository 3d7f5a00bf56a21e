#!/usr/bin/env python3
# SPDX-FileCopyrightText: The procpool authors
# SPDX-License-Identifier: BSL-1.0
"""check_excerpts.py DOCUMENT...: blocks behind a line `<!-- from FILE -->` stand in that file, line for line.

FILE is a path from the folder in which this runs. An empty line of the block stands for any lines.
"""
import pathlib
import re
import sys

EXCERPT = re.compile(r"^<!-- from (\S+) -->\n```\w*\n(.*?)^```", re.S | re.M)


def main():
    count, failures = 0, 0
    for document in map(pathlib.Path, sys.argv[1:]):
        text = document.read_text()
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
