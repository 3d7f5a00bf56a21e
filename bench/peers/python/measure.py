# SPDX-FileCopyrightText: The procpool authors
# SPDX-License-Identifier: BSL-1.0

"""What the cases of the Python peers are made of: Measure, the shapes of bench/support/shapes.hpp, and what /proc
says of the children."""
import json
import os
import resource
import signal
import statistics
import time

import work

now = time.perf_counter
PARENT = os.getpid()
MIB = 1 << 20


class Measure:
    def __init__(self, case, system, unit, rounds, slice_seconds):
        self.case, self.system, self.unit = case, system, unit
        self.rounds, self.slice = rounds, slice_seconds

    @property
    def tiny(self):
        return self.slice < .01

    def report(self, value):
        print(json.dumps({"case": self.case, "system": self.system, "unit": self.unit, "value": value}), flush=True)


def saw(pid):
    if pid == PARENT:
        raise RuntimeError("a result was made in this process")


def check_map(results):
    """Every one: right, and made elsewhere."""
    for x, result in enumerate(results):
        if result & (1 << work.MAKER_SHIFT) - 1 != x * x + x + 1:
            raise RuntimeError("a wrong result")
        saw(result >> work.MAKER_SHIFT)


def children(pid="self"):
    found = []
    try:
        for thread in os.listdir(f"/proc/{pid}/task"):
            with open(f"/proc/{pid}/task/{thread}/children") as file:
                found += [int(word) for word in file.read().split()]
    except OSError:
        pass
    return found


def descendants(pid="self"):
    return [one for child in children(pid) for one in [child, *descendants(child)]]


def cpu_seconds(ignored=()):
    own = resource.getrusage(resource.RUSAGE_SELF)
    total = own.ru_utime + own.ru_stime
    for pid in descendants():
        if pid in ignored:
            continue
        try:
            for thread in os.listdir(f"/proc/{pid}/task"):
                with open(f"/proc/{pid}/task/{thread}/schedstat") as file:
                    total += int(file.read().split()[0]) / 1e9
        except OSError:
            pass
    return total


class BusyCores:
    """While one lives, every core has a process that uses all it can get."""

    def __init__(self):
        self.pids = []
        for _ in range(os.cpu_count()):
            pid = os.fork()
            if pid == 0:
                while os.getppid() == PARENT:
                    for _ in range(10_000):
                        pass
                os._exit(0)
            self.pids.append(pid)

    def end(self):
        for pid in self.pids:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)


class Gathering:
    def __init__(self, expected):
        self.arrivals = os.memfd_create("gathering")
        self.gate = os.pipe()
        self.place = (PARENT, self.arrivals, *self.gate, expected)

    def end(self):
        for number in (self.arrivals, *self.gate):
            os.close(number)


def fill(pool, workers):
    """A task in each of so many workers at the same time."""
    gathering = Gathering(workers)
    pids = set(pool.map(work.meet, [gathering.place] * workers, 1))
    gathering.end()
    if len(pids) != workers or PARENT in pids:
        raise RuntimeError("not every worker had a task")


# ---- shapes, as in bench/support/shapes.hpp

def roundtrips(measure, call):
    begin = now()
    while now() - begin < measure.slice / 2:
        call()
    for _ in range(measure.rounds):
        calls, begin = 0, now()
        while True:
            call()
            calls += 1
            if now() - begin >= measure.slice:
                break
        measure.report((now() - begin) * 1e6 / calls)


def tasks_for_slice(measure, run, first):
    if measure.tiny:
        return first
    run(first)
    tasks = first
    while True:
        begin = now()
        run(tasks)
        if (now() - begin) * 2 > measure.slice:
            return tasks
        tasks *= 2


def median_of_slice(measure, once):
    for _ in range(measure.rounds):
        values, begin = [], now()
        while not values or now() - begin < measure.slice:
            values.append(once())
        measure.report(statistics.median(values))


def calibrate(call, nanoseconds):
    values = []
    for _ in range(min(2001, max(11, 20_000_000 // nanoseconds))):
        begin = time.perf_counter_ns()
        call()
        values.append(time.perf_counter_ns() - begin)
    return statistics.median(values) / 1e9
