#!/usr/bin/env python3
# SPDX-FileCopyrightText: The procpool authors
# SPDX-License-Identifier: BSL-1.0
"""check_options.py HEADER... -- DOCUMENT...: the tables of options are complete, and in the order of declaration.

Options are aggregates, and designated initializers have to be in the order of declaration. So each struct of options
in the headers has a table in the documents, whose first heading is its name in backquotes. The first cells of its rows
name all members, in that order. A cell may name several.
"""
import pathlib
import re
import sys

STRUCT = re.compile(r"^struct (\w*Options|Limits|Retries) \{\n(.*?)^\};", re.S | re.M)
MEMBER = re.compile(r"(?!friend|using|static|bool operator|\w+ bool operator).*?[\w>*] (\w+)\s*(?:\{.*\}|=.*)?", re.S)
TABLE = re.compile(r"^\| `(\w+)` \|.*\n\|[-|]+\|\n((?:\|.*\n)*)", re.M)


def main():
    end = sys.argv.index("--")
    declared = {}
    for header in map(pathlib.Path, sys.argv[1:end]):
        for name, body in STRUCT.findall(header.read_text()):
            statements = (statement.strip() for statement in re.sub(r"//.*", "", body).split(";"))
            declared[name] = [found[1] for statement in statements if (found := MEMBER.fullmatch(statement))]
    failures, tables = [], {}
    for document in map(pathlib.Path, sys.argv[end + 1:]):
        for name, rows in TABLE.findall(document.read_text()):
            if name not in declared:
                continue
            if name in tables:
                failures.append(f"{document}: {name} has two tables")
            tables[name] = [member for row in rows.splitlines() for member in re.findall(r"`(\w+)`", row.split("|")[1])]
    for name, members in declared.items():
        if not members:
            failures.append(f"{name} has no members that this script can read")
        elif name not in tables:
            failures.append(f"{name} has no table; its members are {', '.join(members)}")
        elif tables[name] != members:
            failures.append(f"{name} is declared as {', '.join(members)}, but its table has {', '.join(tables[name])}")
    for line in failures:
        print(line)
    print(f"{len(failures)} failures in {len(declared)} structs of options")
    return 1 if failures or not declared else 0


if __name__ == "__main__":
    sys.exit(main())
