#!/usr/bin/env python3
# SPDX-FileCopyrightText: The procpool authors
# SPDX-License-Identifier: BSL-1.0
"""reference_filter.py HEADER: the header as Doxygen is to read it, for docs/Doxyfile.

Doxygen 1.9 does not know inline namespaces in the short form. Names that have one meaning everywhere need no comment
of their own: defaulted functions, members that the standard library's concepts ask for, and an overload behind one
that has a comment. They get a standard one here, so that Doxygen misses only comments that somebody has to write.
"""
import re
import sys

NAMES = r"operator(?:=|==|\*|->|\+\+)|begin|end|size|empty|data"
TYPES = re.compile(r"\s*using (?:value_type|element_type|error_type|difference_type|iterator_concept|iterator) =")
CONVENTION = re.compile(rf"(?:^|[\s&*])(?:{NAMES})\(")
GUIDE = re.compile(r"(\w+)\(.*\) -> \1<")
FUNCTION = re.compile(r"^(?:  )?(?!\s)(?!return|if|for|while|static_assert|throw)[\w:<>,&*\[\]\s.]*?(~?\w+|operator[^\s(]+)\(")


def main():
    lines = open(sys.argv[1]).read().replace("\nnamespace procpool::inline v0_1", "\nnamespace procpool").split("\n")
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
