# SPDX-FileCopyrightText: The procpool authors
# SPDX-License-Identifier: BSL-1.0

"""Counts the instructions of an empty task, submitted, placed, executed and collected in one process, and
compares them with the figure recorded for this compiler: check.py PROGRAM COMPILER [--record]

Status 1: a tenth more than recorded. Status 77, which ctest calls skipped: no valgrind, or nothing
recorded for this compiler."""
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

RECORDED = Path(__file__).with_name("recorded.json")
SKIPPED = 77
FEW, MANY = 1_000, 3_000


def instructions(program, calls):
    ended = subprocess.run(["valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null", program, str(calls)],
                           capture_output=True, text=True)
    collected = re.search(r"Collected : (\d+)", ended.stderr)
    if ended.returncode != 0 or not collected:
        sys.exit(ended.stderr)
    return int(collected.group(1))


def main():
    program, compiler = sys.argv[1:3]
    if not shutil.which("valgrind"):
        print("skipped: valgrind is not installed; package: valgrind")
        return SKIPPED
    # The difference of two runs: what starts and ends the program is in both.
    count = (instructions(program, MANY) - instructions(program, FEW)) / (MANY - FEW)
    recorded = json.loads(RECORDED.read_text())
    if "--record" in sys.argv:
        RECORDED.write_text(json.dumps(recorded | {compiler: round(count)}, indent=2) + "\n")
    if compiler not in recorded and "--record" not in sys.argv:
        print(f"{count:.0f} instructions; skipped: nothing is recorded for {compiler}")
        return SKIPPED
    before = recorded.get(compiler, count)
    print(f"{count:.0f} instructions, {before:.0f} recorded for {compiler}")
    return 1 if count > before * 1.1 else 0


if __name__ == "__main__":
    sys.exit(main())
