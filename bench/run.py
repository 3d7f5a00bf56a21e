# SPDX-FileCopyrightText: The procpool authors
# SPDX-License-Identifier: BSL-1.0

"""Runs the measurements: in each round, for each case, ours and then each peer takes its turn. Called by
scripts/bench, which builds the programs; see README.md here for the cases."""
import argparse
import shutil
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
from runner import plots, results
from runner.programs import OURS, Failed, adopt_orphans, discover

QUICK_CASES = ["roundtrip_hot", "submit_throughput", "map_chunk1", "map_200k_ints", "efficiency_2us",
               "efficiency_20us", "result_256MiB", "start_2", "start_64", "recover"]
QUICK_SYSTEMS = [OURS, "multiprocessing.Pool", "ProcessPoolExecutor"]
QUICK_SECONDS = 38  # a round that would end later is not begun
DISTURBED = .05  # of the machine, by others


def parse(words):
    parser = argparse.ArgumentParser(prog="scripts/bench", description=__doc__)
    parser.add_argument("--build", type=Path, required=True, help=argparse.SUPPRESS)
    parser.add_argument("--quick", action="store_true", help="ten cases beside Python's library, within 50 s")
    parser.add_argument("--case", nargs="+", default=[], metavar="NAME", help="only these cases")
    parser.add_argument("--system", nargs="+", default=[], metavar="NAME", help="only these systems")
    parser.add_argument("--rounds", type=int, metavar="N", help="how often each takes its turn (5; with --quick 3)")
    parser.add_argument("--plots", type=Path, metavar="FOLDER", help="also copies the plots there")
    parser.add_argument("--list", action="store_true", help="the cases and systems that can be measured here")
    parser.add_argument("--markdown", action="store_true", help="prints the table as Markdown")
    parser.add_argument("--patience", type=float, default=0, metavar="SECONDS",
                        help="so long, turns that others disturbed by their load are taken again")
    parser.add_argument("--check", action="store_true", help="each case once in a tiny form; no figures (for ctest)")
    return parser.parse_args(words)


def choose(programs, arguments):
    """(offer, program) for each case and system that is wanted, grouped by case, ours first."""
    chosen = []
    for program in programs:
        for offer in program.offers():
            if arguments.quick and not (offer.case in QUICK_CASES and (
                    offer.system in QUICK_SYSTEMS or offer.system.startswith("raw"))):
                continue
            if arguments.case and offer.case not in arguments.case:
                continue
            if arguments.system and offer.system not in arguments.system:
                continue
            chosen.append((offer, program))
    cases = list(dict.fromkeys(offer.case for offer, _ in chosen))
    if arguments.quick:
        cases.sort(key=QUICK_CASES.index)
    chosen.sort(key=lambda pair: cases.index(pair[0].case))
    for name in {*arguments.case} - {*cases}:
        sys.exit(f"bench: no such case here: {name} (scripts/bench --list)")
    for case in cases:
        units = {offer.unit for offer, _ in chosen if offer.case == case}
        assert len(units) == 1, f"{case} has units {units}"
    return chosen


def say(words):
    print(f"bench: {words}", file=sys.stderr, flush=True)


def check(chosen):
    failures = 0
    for offer, program in chosen:
        try:
            program.run(offer, 1, 1, 60)
        except Failed as failure:
            say(f"{offer.case}, {offer.system}: {failure}")
            failures += 1
    print(f"{len(chosen)} measurements tried, {failures} failed")
    return 1 if failures else 0


def measure(chosen, arguments, measured):
    rounds = arguments.rounds or (3 if arguments.quick else 5)
    values, slice_ms, timeout = (1, 60, 15) if arguments.quick else (2, 200, 120)
    begin, left_out = time.monotonic(), set()
    turns = disturbed = 0
    patience = arguments.patience
    for number in range(rounds):
        if arguments.quick and number and (time.monotonic() - begin) * (number + 1) / number > QUICK_SECONDS:
            say(f"only {number} rounds, to end in time")
            break
        for offer, program in chosen:
            if offer in left_out:
                continue
            print(f"\rround {number + 1} of {rounds}: {offer.case}, {offer.system}\033[K", end="", file=sys.stderr,
                  flush=True) if sys.stderr.isatty() else None
            while True:
                start = time.monotonic()
                try:
                    got, foreign = program.run(offer, values, slice_ms, timeout)
                except Failed as failure:
                    say(f"left out: {offer.case}, {offer.system}: {failure}")
                    left_out.add(offer)
                    break
                if foreign > DISTURBED and patience > 0:
                    time.sleep(1)
                    patience -= time.monotonic() - start
                    continue
                turns, disturbed = turns + 1, disturbed + (foreign > DISTURBED)
                measured.add(offer.case, offer.system, offer.unit, got)
                break
        measured.write(arguments.build / "results.json")  # so far
    if sys.stderr.isatty():
        print("\r\033[K", end="", file=sys.stderr)
    if disturbed:
        say(f"in {disturbed} of {turns} turns other programs used more than {DISTURBED:.0%} of the machine")


def main():
    arguments = parse(sys.argv[1:])
    arguments.build = arguments.build.resolve()
    adopt_orphans()
    programs, missing = discover(arguments.build, arguments.quick)
    for line in missing:
        say(f"left out: {line}")
    chosen = choose(programs, arguments)
    if arguments.list:
        for offer, _ in chosen:
            print(f"{offer.case:20} {offer.unit:8} {offer.system}")
        return 0
    if arguments.check:
        return check(chosen)
    measured = results.Results()
    try:
        measure(chosen, arguments, measured)
    except KeyboardInterrupt:
        say("stopped; this is what was measured until then")
        measured.write(arguments.build / "results.json")
    rows = sorted(measured.rows(), key=lambda row: [offer.case for offer, _ in chosen].index(row["case"]))
    lines = results.table(rows)
    print(results.as_markdown(lines) if arguments.markdown else results.as_text(lines))
    for plot in plots.draw(rows, arguments.build):
        if arguments.plots:
            arguments.plots.mkdir(parents=True, exist_ok=True)
            shutil.copy(plot, arguments.plots)
    return 0


if __name__ == "__main__":
    sys.exit(main())
