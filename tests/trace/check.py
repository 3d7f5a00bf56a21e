#!/usr/bin/env python3
# SPDX-FileCopyrightText: The procpool authors
# SPDX-License-Identifier: BSL-1.0

"""check.py PROGRAM: the trace of PROGRAM, which is tests/programs/traced.cpp, is what a viewer needs.

It is read with Python's own reader of JSON, which is a strict one: each element once, on a row with a name, deaths
where tasks died, and a label with quotation marks and characters beyond ASCII."""
import collections
import json
import os
import pathlib
import subprocess
import sys
import tempfile

TASKS = 200
LABEL = 'say "ü" \\'


def read(path):
    return json.loads(path.read_text(encoding="utf-8") + "]")  # which the format leaves out


def check(holds, what):
    if not holds:
        sys.exit(f"wrong: {what}")


def check_tasks(events):
    rows = {event["tid"]: event["args"]["name"] for event in events if event["name"] == "thread_name"}
    seen = collections.Counter()
    outcomes = {}
    for event in events:
        check({"ph", "pid", "tid", "ts", "name"} <= event.keys(), f"an event lacks something: {event}")
        if event["ph"] != "X":
            continue
        check(event["name"] == LABEL, f"a task is called {event['name']}")
        check(rows[event["tid"]] in ("outer/0", "outer/1"), f"a row is called {rows[event['tid']]}")
        check(event["dur"] >= 0 and event["args"]["waited_us"] >= 0, f"a time is negative: {event}")
        for element in range(event["args"]["element"], event["args"]["element"] + event["args"]["elements"]):
            seen[element] += 1
            outcomes[element] = event["args"]["outcome"]
    check(seen == collections.Counter(range(TASKS)), "each element is there once")
    for element, outcome in outcomes.items():
        wanted = {17: "died", 18: "exception"}.get(element % 50, "value")
        check(outcome == wanted, f"element {element} ended with {outcome}")
    deaths = [event for event in events if event["name"] == "worker_died"]
    check(len(deaths) == TASKS // 50 and all(death["args"]["signal"] == 9 for death in deaths), f"deaths: {deaths}")
    waiting = [event["args"]["elements"] for event in events if event["ph"] == "C"]
    check(waiting and waiting[-1] == 0, f"what waits: {waiting[-3:]}")


def main():
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / "trace.json"
        traced = dict(os.environ, PROCPOOL_TRACE=str(path))
        subprocess.run([sys.argv[1], str(TASKS)], env=traced, check=True)
        check_tasks(read(path))
        # The file of an earlier program is written anew. Pools one after the other have the same file.
        subprocess.run([sys.argv[1], "two"], env=traced, check=True)
        names = {event["args"]["name"] for event in read(path) if event["name"] == "thread_name"}
        check(names == {"outer", "outer/0", "second", "second/0"}, f"rows: {names}")
        check(os.listdir(folder) == ["trace.json"], f"files: {os.listdir(folder)}")
    print(f"{TASKS} elements")


if __name__ == "__main__":
    main()
