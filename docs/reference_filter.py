#!/usr/bin/env python3
# SPDX-FileCopyrightText: The procpool authors
# SPDX-License-Identifier: BSL-1.0
"""reference_filter.py HEADER: the header as Doxygen is to read it, for docs/Doxyfile.

Doxygen 1.9 does not know inline namespaces in the short form. Names that have one meaning everywhere need no comment
of their own: defaulted functions, members that the standard library's concepts ask for, and an overload behind one
that has a comment. They get a standard one here, so that Doxygen misses only comments that somebody has to write.

Private members are left out: Doxygen 1.9 links to lists of them that it does not make. The operations, which
ProcessPool inherits from templates in detail/operations, are shown as members of its own.
"""
import pathlib
import re
import sys

NAMES = r"operator(?:=|==|\*|->|\+\+)|begin|end|size|empty|data"
TYPES = re.compile(r"\s*using (?:value_type|element_type|error_type|difference_type|iterator_concept|iterator) =")
CONVENTION = re.compile(rf"(?:^|[\s&*])(?:{NAMES})\(")
GUIDE = re.compile(r"(\w+)\(.*\) -> \1<")
FUNCTION = re.compile(r"^(?:  )?(?!\s)(?!return|if|for|while|static_assert|throw)[\w:<>,&*\[\]\s.]*?(~?\w+|operator[^\s(]+)\(")
OPERATIONS = re.compile(r"^class \w*Operations \{\n.*?^ public:\n(.*?)^ private:", re.S | re.M)


def read(header):
    text = header.read_text()
    if header.name == "pool.hpp":
        detail = header.parent / "detail/operations"
        operations = "".join(OPERATIONS.search((detail / f"{name}.hpp").read_text())[1] for name in
                             ("operations", "stream_operations", "slice_operations", "worker_operations"))
        text = re.sub(r"^class PROCPOOL_API ProcessPool .*?(?=^ private:)", lambda match: match[0] + operations, text,
                      flags=re.S | re.M)
    return text


def main():
    lines = read(pathlib.Path(sys.argv[1])).replace("\nnamespace procpool::inline v0_1", "\nnamespace procpool").split("\n")
    out, documented, private = [], None, False
    for line in lines:
        if re.match(r"class .*{$", line):
            out.append(line)
            private = True
            continue
        if re.match(r" \w+:$|};", line):
            private = line == " private:"
        if private:
            out.append("")
            continue
        function = FUNCTION.match(line.replace("decltype(auto)", "auto"))
        name = function[1] if function else None
        begin = len(out)
        while begin and re.match(r"\s*(template <|requires)", out[begin - 1]):
            begin -= 1
        commented = "///<" in line or begin and out[begin - 1].lstrip().startswith("///")
        if commented:
            documented = name or documented
        elif re.match(r"^  (?:  )?\S", line) and (TYPES.match(line) or CONVENTION.search(line) or "default;" in line):
            out.insert(begin, "/// As of any such type.")
        elif GUIDE.match(line):
            out.insert(begin, "/// Deduces the type from the arguments of a constructor.")
        elif name and name == documented:
            out.insert(begin, "/// As the one above.")
        out.append(line)
    print("\n".join(out))


if __name__ == "__main__":
    main()
