#!/usr/bin/env python3
# SPDX-FileCopyrightText: The procpool authors
# SPDX-License-Identifier: BSL-1.0
"""random_structs.py SEED COUNT: writes a program of COUNT random structs to standard output.

The program sends random values of each there and back, holds every member against what was sent, and decodes
the beginnings of their messages, which must be refused. The same seed writes the same program. Compiled
and run by scripts/fuzz (target structs) with each compiler that is there.
"""

import random
import sys

SCALARS = ["bool", "char", "signed char", "short", "unsigned", "long", "std::uint64_t", "float", "double", "long double",
           "std::byte", "Colour", "Old", "char16_t", "std::chrono::milliseconds", "std::complex<float>"]
TEXTS = ["std::string", "std::u16string", "std::filesystem::path"]
KEYS = ["int", "std::string", "Colour", "std::pair<int, char>", "std::array<short, 2>"]
HASHED = ["int", "std::string", "std::uint64_t"]


class Structs:
    """The structs so far, and types of them. A type is a triple: its name, may it be copied, has it a default."""

    def __init__(self, rng):
        self.rng = rng
        self.known = [("Empty", True, True), ("Order", True, True), ("Packed", True, True)]

    def type(self, depth=0):
        rng = self.rng
        if depth >= 3 or rng.random() < 0.35:
            return (rng.choice(SCALARS + TEXTS), True, True)
        kind = rng.choice(["vector", "deque", "list", "forward_list", "array", "optional", "variant", "pair", "tuple", "map",
                           "set", "unordered", "unique", "shared", "struct", "struct", "struct", "bits", "sorted", "queue",
                           "no elements"])
        if kind == "struct":
            return rng.choice(self.known)
        if kind in ("map", "set", "unordered", "bits", "sorted", "queue"):
            return self.keyed(kind, depth)
        inner, copies, default = self.type(depth + 1)
        if copies and kind in ("array", "optional", "pair", "tuple", "variant", "unique", "shared") and rng.random() < 0.1:
            inner, default = f"{inner} const", False
        if kind in ("vector", "deque", "list", "forward_list"):
            return (f"std::{kind}<{inner}>", copies, True)
        if kind == "array":
            return (f"std::array<{inner}, {rng.choice([1, 2, 3, 17])}>", copies, default)
        if kind == "no elements":
            return (f"std::array<{inner}, 0>", True, True) if default else (f"std::optional<{inner}>", copies, True)
        if kind == "optional":
            return (f"std::optional<{inner}>", copies, True)
        if kind == "unique":
            return (f"std::unique_ptr<{inner}>", False, True)
        if kind == "shared":
            return (f"std::shared_ptr<{inner}>", True, True)
        others = [self.type(depth + 1) for _ in range(1 if kind == "pair" else rng.randint(0, 3))]
        names = ", ".join([inner] + [name for name, _, _ in others])
        every = all(c for _, c, _ in others)
        whole = all(d for _, _, d in others)
        if kind == "variant":
            return (f"std::variant<{names}>", copies and every, default)
        return (f"std::{kind}<{names}>", copies and every, default and whole)

    def keyed(self, kind, depth):
        rng = self.rng
        if kind == "bits":
            return (rng.choice(["std::vector<bool>", f"std::bitset<{rng.randint(1, 200)}>", "std::tuple<>", "std::monostate"]),
                    True, True)
        if kind == "sorted":
            return (rng.choice(["std::set<int, Order>", "std::map<int, char, Order>"]), True, True)
        if kind == "queue":
            return (f"std::priority_queue<int, std::vector<int>, {rng.choice(['std::less<int>', 'Order'])}>", True, True)
        if kind == "set":
            return (f"std::{rng.choice(['set', 'multiset'])}<{rng.choice(KEYS)}>", True, True)
        value, copies, _ = self.type(depth + 1)
        if kind == "map":
            return (f"std::{rng.choice(['map', 'multimap'])}<{rng.choice(KEYS)}, {value}>", copies, True)
        return (f"std::unordered_map<{rng.choice(HASHED)}, {value}>", copies, True)

    def struct(self, name):
        rng = self.rng
        lines, members, parts = [], [], []
        copies = default = True
        wide = rng.random() < 0.03
        for i in range(rng.randint(60, 104) if wide else rng.choice([0, 1, 1, 2, 3, 4, 5, 7, 9, 12, 16])):
            member = f"m{i}"
            members.append(member)
            if not wide and rng.random() < 0.08:
                of, width = rng.choice([("unsigned", 7), ("int", 5), ("bool", 1), ("std::uint64_t", 40)])
                lines.append(f"{of} {member} : {width};")
                parts.append(f"::make_bits<{of}, {width}>(random)")
                if rng.random() < 0.3:
                    lines.append("int : 0;")
                continue
            of, may_copy, has_default = self.type(2 if wide else 0)
            copies = copies and may_copy
            # A constant that can only be moved could not be moved out of its struct.
            const = "const " if may_copy and rng.random() < 0.08 else ""
            array = rng.choice(["[2]", "[1]", "[2][3]"]) if rng.random() < 0.08 else ""
            start = "{}" if has_default and rng.random() < 0.1 else ""
            default = default and has_default and (not const or start != "")
            where = "[[no_unique_address]] " if of == "Empty" and not array and rng.random() < 0.5 else ""
            lines.append(f"{where}{const}{of} {member}{array}{start};")
            one = f"::make<{of}>(random)"
            parts.append({"": one, "[1]": f"{{{one}}}", "[2]": f"{{{one}, {one}}}",
                          "[2][3]": f"{{{{{one}, {one}, {one}}}, {{{one}, {one}, {one}}}}}"}[array])
        print(f"struct {name} {{")
        for line in lines:
            print(f"  {line}")
        print("};")
        print(f"template <> struct Members<{name}> {{")
        print(f"  static constexpr std::size_t count = {len(members)};")
        print(f"  template <class Call> static auto with([[maybe_unused]] {name} const& value, Call call)"
              f" {{ return call({', '.join('value.' + m for m in members)}); }}")
        print(f"  static {name} make([[maybe_unused]] Random& random) {{ return {name}{{{', '.join(parts)}}}; }}")
        print("};")
        self.known.append((name, copies, default))


def main():
    seed, count = int(sys.argv[1]), int(sys.argv[2])
    print(f"// Written by random_structs.py {seed} {count}.")
    print('#include "fuzz/random_structs.hpp"')
    structs = Structs(random.Random(seed))
    for i in range(count):
        structs.struct(f"S{i}")
    print("int main() {")
    print(f"  Random random({seed});")
    for i in range(count):
        print(f"  check<S{i}>(\"S{i}\", random);")
    print("  return report();")
    print("}")


main()
