#!/usr/bin/env python3
# SPDX-FileCopyrightText: The procpool authors
# SPDX-License-Identifier: BSL-1.0
"""check.py FOLDER [DOCUMENT]: FOLDER/fwd.hpp declares each public type of the headers in FOLDER, and includes nothing.
The tables of the document have a row for each of them.

A public type is one that is defined at the beginning of a line in the namespace procpool, and not in an inner one
but this_task.
"""
import pathlib
import re
import sys

# Constrained by a concept, or named by nobody: `auto` takes them.
NOT_DECLARED = {"AsCompleted", "Stream"}
# Of no use without its definition, which is all that it is.
NOT_DECLARED |= {"Keep", "Saturating"}

NAMESPACE = re.compile(r"namespace (?:procpool::inline v0_1)?(?:::)?([\w:]*) ?\{")
TYPE = re.compile(r"(class|struct|enum class) (?:\[\[nodiscard\]\] )?(?:PROCPOOL_API )?(\w+)(?: final)?(?: :.*)?(?: \{.*)?$")


def types(path):
    """The public types that the header defines, or declares, each with its keyword."""
    inner = []
    for number, line in enumerate(path.read_text().splitlines()):
        if match := NAMESPACE.match(line):
            inner.append((match[1], number))
        elif line.startswith("}  // namespace") or line == "}" and inner and number <= inner[-1][1] + 2:
            inner.pop()
        elif inner and all(name in ("", "this_task") for name, _ in inner):
            if match := TYPE.match(line.rstrip(";")):
                yield match[2], match[1]


def rows(document):
    """The types that the first cells of tables name. The tables of types have three columns."""
    tables = re.findall(r"^\| type \|.*\n\|[-|]+\|\n((?:\|.*\n)*)", document.read_text(), re.M)
    return {name for table in tables for row in table.splitlines() for name in re.findall(r"`(\w+)`", row.split("|")[1])}


def main():
    folder = pathlib.Path(sys.argv[1])
    forward = folder / "fwd.hpp"
    declared = dict(types(forward))
    includes = re.findall(r"^#include (.*)$", forward.read_text(), re.M)
    failures = [f"{forward}: includes {name}" for name in includes]
    defined = {}
    for path in sorted(folder.glob("*.hpp")):
        if path == forward:
            continue
        for name, keyword in types(path):
            defined[name] = path
            if name not in NOT_DECLARED and declared.get(name) != keyword:
                failures.append(f"{path}: {keyword} {name} is not in fwd.hpp")
    failures += [f"{forward}: there is no {name}" for name in sorted(declared.keys() - defined.keys())]
    if len(sys.argv) > 2:
        named = rows(pathlib.Path(sys.argv[2]))
        failures += [f"{sys.argv[2]}: no row for {name}" for name in sorted(declared.keys() - named)]
        failures += [f"{sys.argv[2]}: a row for {name}, which is no public type" for name in sorted(named - declared.keys())]
    print(*failures, sep="\n")
    print(f"{len(failures)} failures, {len(declared)} types declared")
    return 1 if failures or not declared else 0


if __name__ == "__main__":
    sys.exit(main())
