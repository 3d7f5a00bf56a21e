#!/usr/bin/env python3
# SPDX-FileCopyrightText: The procpool authors
# SPDX-License-Identifier: BSL-1.0
"""What a user pays at compile time: CPU seconds and memory of the compiler, as medians.

    scripts/bench --compile [--compiler g++] [--rounds 5]

The sources are compiled in turn, in each round one after the other, each by a process of its own:
`<procpool.hpp>` alone, the README's first program at -O0 and at -O2, and for comparison the standard
headers that the README's program includes itself and oneTBB's shortest program, if it is installed.
CPU time is user and system time of the compiler and its children.
"""

import argparse
import os
import pathlib
import re
import statistics
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent

TBB = """#include <tbb/parallel_for.h>
#include <vector>
int main() {
  std::vector<double> values(1000, 1.5);
  tbb::parallel_for(std::size_t{0}, values.size(), [&](std::size_t i) { values[i] *= 2; });
  return values[7] == 3 ? 0 : 1;
}
"""


def first_program():
    return re.search(r"```cpp\n(.*?)```", (ROOT / "README.md").read_text(), re.S).group(1)


def cases():
    readme = first_program()
    std = "".join(line + "\n" for line in readme.splitlines()
                  if line.startswith("#include") and "procpool" not in line)
    syntax = ["-fsyntax-only"]
    return [
        ("an empty source", "", syntax),
        ("<procpool.hpp>", "#include <procpool.hpp>\n", syntax),
        ("README's first program, -O0", readme, ["-c", "-O0"]),
        ("README's first program, -O2", readme, ["-c", "-O2"]),
        ("  its own standard headers", std, syntax),
        ("oneTBB's first program, -O2", TBB, ["-c", "-O2"]),
    ]


def compile_once(compiler, source, flags, folder):
    """CPU seconds and MB, or None if it does not compile."""
    path = folder / "source.cpp"
    path.write_text(source)
    command = [compiler, "-std=c++20", f"-I{ROOT / 'include'}", *flags, str(path)]
    if "-c" in flags:
        command += ["-o", str(folder / "source.o")]
    child = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    _, status, usage = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode != 0:
        return None
    return usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1000


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--compiler", default="g++")
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()

    results = {}
    with tempfile.TemporaryDirectory() as name:
        for _ in range(options.rounds):
            for case, source, flags in cases():
                result = compile_once(options.compiler, source, flags, pathlib.Path(name))
                results.setdefault(case, []).append(result)

    version = subprocess.run([options.compiler, "--version"], capture_output=True, text=True)
    print(f"{version.stdout.splitlines()[0]}, {options.rounds} rounds, medians\n")
    print(f"{'':<32}{'CPU s':>8}{'spread':>15}{'MB':>8}")
    failed = False
    for case, values in results.items():
        if None in values:
            skipped = "TBB" in case
            failed = failed or not skipped
            print(f"{case:<32}{'not installed' if skipped else 'does not compile':>23}")
            continue
        seconds = sorted(value[0] for value in values)
        spread = f"{seconds[0]:.2f} to {seconds[-1]:.2f}"
        memory = max(value[1] for value in values)
        print(f"{case:<32}{statistics.median(seconds):>8.2f}{spread:>15}{memory:>8.0f}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
