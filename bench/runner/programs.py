# SPDX-FileCopyrightText: The procpool authors
# SPDX-License-Identifier: BSL-1.0

"""The measuring programs that are here, what they can measure, and what is missing."""
import ctypes
import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

BENCH = Path(__file__).resolve().parent.parent
OURS = "procpool"
# Debian's packages are seen by Debian's Python, whatever other Python stands first in PATH.
PYTHON = "/usr/bin/python3" if os.access("/usr/bin/python3", os.X_OK) else sys.executable


class Failed(Exception):
    pass


@dataclass(frozen=True)
class Offer:
    case: str
    system: str
    unit: str


@dataclass
class Program:
    command: list
    environment: dict = field(default_factory=dict)
    prefix: list = field(default_factory=list)  # of a run, not of --list

    def offers(self):
        return [Offer(**line) for line in self._lines(self.command + ["--list"], 30)]

    def run(self, offer, rounds, slice_ms, timeout):
        """The values, and how much CPU others used meanwhile, as a share of the machine."""
        before, own_before, begin = busy_seconds(), children_seconds(), time.monotonic()
        lines = self._lines(self.prefix + self.command + [
            offer.case, str(rounds), "--system", offer.system, "--slice", str(slice_ms)], timeout)
        reap_orphans()
        wall = time.monotonic() - begin
        foreign = (busy_seconds() - before) - (children_seconds() - own_before) - .03  # a tick or two per core
        for line in lines:
            if not isinstance(line.get("value"), (int, float)) or line != line | vars(offer):
                raise Failed(f"said {line}")
        if len(lines) != rounds:
            raise Failed(f"gave {len(lines)} values instead of {rounds}")
        return [float(line["value"]) for line in lines], foreign / wall / os.cpu_count()

    def _lines(self, command, timeout):
        environment = {**os.environ, **self.environment}
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                   text=True, env=environment, start_new_session=True)
        try:
            out, err = process.communicate(timeout=timeout)
        except BaseException as error:
            os.killpg(process.pid, signal.SIGKILL)  # a session of its own: all that it started
            process.communicate()
            if isinstance(error, subprocess.TimeoutExpired):
                raise Failed(f"took longer than {timeout} s") from None
            raise
        if process.returncode != 0:
            raise Failed(err.strip().splitlines()[-1] if err.strip() else f"status {process.returncode}")
        try:
            return [json.loads(line) for line in out.splitlines()]
        except ValueError:
            raise Failed(f"said what is not JSON: {out[:200]!r}") from None


def adopt_orphans():
    """What a program leaves behind becomes a child of this process, so that its CPU is counted as its own."""
    pr_set_child_subreaper = 36
    ctypes.CDLL(None).prctl(pr_set_child_subreaper, 1, 0, 0, 0)


def reap_orphans(seconds=3):
    """Waits for what was left behind; ends, by its id, what stays."""
    begin = time.monotonic()
    while True:
        try:
            if os.waitpid(-1, os.WNOHANG) == (0, 0):
                if time.monotonic() - begin > seconds:
                    for thread in os.listdir("/proc/self/task"):
                        for pid in Path(f"/proc/self/task/{thread}/children").read_text().split():
                            os.kill(int(pid), signal.SIGKILL)
                time.sleep(.005)
        except ChildProcessError:
            return


def busy_seconds():
    with open("/proc/stat") as file:
        words = [int(word) for word in file.readline().split()[1:9]]
    return (sum(words) - words[3] - words[4]) / os.sysconf("SC_CLK_TCK")


def children_seconds():
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def discover(build, quick):
    """The programs, ours first, and a line for each peer that is left out."""
    bench, missing = build / "bench", []
    programs = [Program([str(bench / "procpool_bench")]), Program([str(bench / "bench_raw")])]
    python = Program([PYTHON, str(BENCH / "peers/python/bench.py")])
    if quick:
        return [*programs, python], missing
    if not any(offer.case.startswith("micro_") for offer in programs[0].offers()):
        missing.append("the micro rows are not built: Google Benchmark; package: libbenchmark-dev")

    def compiled(name, what, package):
        if (bench / name).exists():
            programs.append(Program([str(bench / name)]))
        else:
            missing.append(f"{what} is not built; package: {package}")

    def module(name):
        return subprocess.run([PYTHON, "-c", f"import {name}"], capture_output=True).returncode == 0

    compiled("bench_message_queue", "boost::interprocess::message_queue", "libboost-dev")
    programs.append(python)
    if not module("joblib"):
        missing.append("joblib loky is not installed; package: python3-joblib")
    if not module("numpy"):
        missing.append("without numpy the Python peers are given bytes; package: python3-numpy")
    if shutil.which("mpirun") and module("mpi4py"):
        programs.append(Program(
            [PYTHON, "-m", "mpi4py.futures", str(BENCH / "peers/python/bench.py")],
            {"OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1", "OMPI_COMM_WORLD_SIZE": "3"},
            ["mpirun", "--oversubscribe", "-np", "3"]))
    else:
        missing.append("mpi4py.futures is not installed; packages: python3-mpi4py openmpi-bin")
    modules = build / "node/node_modules"
    if shutil.which("node") and modules.exists():
        programs.append(Program(["node", str(BENCH / "peers/node/bench.cjs")], {"PROCPOOL_BENCH_NODE": str(modules)}))
    else:
        missing.append("piscina and workerpool are not installed; node and npm, then scripts/bench --setup")
    compiled("bench_async", "std::async", "g++")
    compiled("bench_tbb", "oneTBB", "libtbb-dev")
    return programs, missing
