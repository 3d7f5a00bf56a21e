#!/usr/bin/env python3
# SPDX-FileCopyrightText: The procpool authors
# SPDX-License-Identifier: BSL-1.0
"""check_licence.py PATH...: every source file says whose it is and under which licence.

Files that cannot say it themselves are in REUSE.toml.
"""
import fnmatch
import sys
import tomllib
from pathlib import Path

LINES = ("SPDX-FileCopyrightText: The procpool authors", "SPDX-License-Identifier: BSL-1.0")
SUFFIXES = {".hpp", ".cpp", ".py", ".cmake", ".in", ".txt", ".pml", ".mutations", ".cjs", ".sh", ".yml", ".yaml", ""}
ELSEWHERE = [path for one in tomllib.loads(Path("REUSE.toml").read_text())["annotations"] for path in one["path"]]


def sources(path):
    if path.is_file():
        return [path]
    return [file for file in sorted(path.rglob("*"))
            if file.is_file() and file.suffix in SUFFIXES
            and not any(fnmatch.fnmatch(file.as_posix(), path) for path in ELSEWHERE)]


failures = 0
count = 0
for path in map(Path, sys.argv[1:]):
    for file in sources(path):
        count += 1
        head = file.read_text(encoding="utf-8").split("\n")[:6]
        if not all(any(line in one for one in head) for line in LINES):
            print(f"{file}: has not the two SPDX lines at its top")
            failures += 1
print(f"{failures} failures in {count} files")
sys.exit(1 if failures or count == 0 else 0)
