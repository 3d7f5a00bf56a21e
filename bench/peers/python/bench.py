# SPDX-FileCopyrightText: The procpool authors
# SPDX-License-Identifier: BSL-1.0

"""The Python peers: bench.py CASE ROUNDS [--system NAME] [--slice MS], or bench.py --list.

The same cases, shapes and lines as the C++ programs; see bench/README.md."""
import json
import multiprocessing
import os
import random
import signal
import statistics
import sys
import threading
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import pools
import work
from measure import (MIB, PARENT, BusyCores, Measure, calibrate, check_map, children, cpu_seconds, fill,
                     median_of_slice, now, roundtrips, saw, tasks_for_slice)

CASES = {}  # (case, system) -> (unit, function of Measure)


# ---- cases. Each is made for a peer; `case` enters it in the table.

def case(name, unit, *peers):
    def enter(function):
        for peer in peers:
            CASES[name, peer.name] = unit, lambda measure, peer=peer: function(measure, peer)
        return function
    return enter


LIBRARY = [pools.Pool, pools.Executor]
ALL = list(LIBRARY)
PROCESSES = [] if pools.in_mpi() else [pools.Processes(method) for method in ("fork", "spawn", "forkserver")]
if pools.in_mpi():
    LIBRARY, ALL = [], [pools.Mpi]
elif pools.importable("joblib"):
    ALL.append(pools.Loky)


@case("roundtrip_hot", "us", *ALL)
def roundtrip_hot(measure, peer):
    pool = peer(2)
    roundtrips(measure, lambda: saw(pool.call(work.empty)))
    pool.close()


@case("roundtrip_parked", "us", *ALL)
def roundtrip_parked(measure, peer):
    pool = peer(2)
    for _ in range(4):
        pool.call(work.empty)
    for _ in range(measure.rounds):
        values = []
        for _ in range(2 if measure.tiny else 15):
            time.sleep(.02)
            begin = now()
            saw(pool.call(work.empty))
            values.append((now() - begin) * 1e6)
        measure.report(statistics.median(values))
    pool.close()


@case("busy_roundtrip", "us", *ALL)
def busy_roundtrip(measure, peer):
    others = BusyCores()
    try:
        roundtrip_hot(measure, peer)
    finally:
        others.end()


def submit_and_get(pool, tasks):
    for handle in [pool.submit(work.empty) for _ in range(tasks)]:
        saw(pool.result(handle))


@case("submit_throughput", "tasks/s", *ALL)
def submit_throughput(measure, peer):
    pool = peer(2)
    tasks = tasks_for_slice(measure, lambda tasks: submit_and_get(pool, tasks), 64)
    for _ in range(measure.rounds):
        begin = now()
        submit_and_get(pool, tasks)
        measure.report(tasks / (now() - begin))
    pool.close()


def map_one_by_one(pool, tasks):
    for pid in pool.map(work.empty, range(tasks), 1):
        saw(pid)


@case("map_chunk1", "tasks/s", *ALL)
def map_chunk1(measure, peer):
    pool = peer(2)
    tasks = tasks_for_slice(measure, lambda tasks: map_one_by_one(pool, tasks), 64)
    for _ in range(measure.rounds):
        begin = now()
        map_one_by_one(pool, tasks)
        measure.report(tasks / (now() - begin))
    pool.close()


@case("map_200k_ints", "tasks/s", *ALL)
def map_200k_ints(measure, peer):
    pool = peer(2)
    inputs = range(2_000 if measure.tiny else 200_000)

    def once():
        begin = now()
        results = pool.map(work.polynomial, inputs)
        seconds = now() - begin
        check_map(results)
        return len(inputs) / seconds

    fill(pool, 2)
    median_of_slice(measure, once)
    pool.close()


def add_efficiency(us):
    @case(f"efficiency_{us}us", "%", *ALL)
    def efficiency(measure, peer):
        pool = peer(2)
        one = calibrate(lambda: work.spin(us * 1000), us * 1000)

        def run(tasks):
            for pid in pool.map(work.spin, [us * 1000] * tasks):
                saw(pid)

        tasks = tasks_for_slice(measure, run, 64)
        for _ in range(measure.rounds):
            begin = now()
            run(tasks)
            measure.report(100 * one * tasks / 2 / (now() - begin))
        pool.close()


for us in (2, 20, 200):
    add_efficiency(us)


def add_skew(where, position):
    @case(f"skew_{where}", "%", *ALL)
    def skew(measure, peer):
        element = 50_000
        pool = peer(2)
        durations = [element] * (20 if measure.tiny else 2000)
        durations[position * (len(durations) - 1) // 2] *= 1000
        one = calibrate(lambda: work.spin(element), element)
        best = max(element * 1e-6, (one * (len(durations) - 1) + element * 1e-6) / 2)
        pool.map(work.spin, [element] * 100)
        for _ in range(measure.rounds):
            begin = now()
            for pid in pool.map(work.spin, durations):
                saw(pid)
            measure.report(100 * best / (now() - begin))
        pool.close()


for position, where in enumerate(("first", "middle", "last")):
    add_skew(where, position)


@case("busy_cpu", "us", *LIBRARY)
def busy_cpu(measure, peer):
    element = 20_000
    others = BusyCores()
    try:
        pool = peer(2)

        def run(tasks):
            for pid in pool.map(work.burn, [element] * tasks):
                saw(pid)

        tasks = tasks_for_slice(measure, run, 64)
        for _ in range(measure.rounds):
            begin = cpu_seconds(others.pids)
            run(tasks)
            measure.report((cpu_seconds(others.pids) - begin) / tasks * 1e6 - element / 1e3)
        pool.close()
    finally:
        others.end()


def add_argument(name, size):
    @case(f"argument_{name}", "us", *ALL)
    def argument(measure, peer):
        if measure.tiny and size > MIB:
            return measure.report(0)
        pool = peer(2)
        array = work.new_array(size)
        expected = work.sum_of_pages(array)

        def call():
            pid, total = pool.call(work.look_at, array)
            saw(pid)
            if total != expected:
                raise RuntimeError("the array arrived changed")

        roundtrips(measure, call)
        pool.close()


for name, size in (("8B", 8), ("1KiB", 1 << 10), ("16KiB", 16 << 10), ("128KiB", 128 << 10), ("1MiB", MIB),
                   ("16MiB", 16 * MIB), ("128MiB", 128 * MIB), ("1GiB", 1024 * MIB)):
    add_argument(name, size)


# ---- queues between processes

class Queue:
    name = "multiprocessing.Queue"

    def __init__(self):
        self.queue = multiprocessing.Queue(1024)
        self.put, self.get = self.queue.put, self.queue.get


class SimpleQueue:
    name = "multiprocessing.SimpleQueue"

    def __init__(self):
        self.queue = multiprocessing.SimpleQueue()
        self.put, self.get = self.queue.put, self.queue.get


QUEUES = [] if pools.in_mpi() else [Queue, SimpleQueue]
ITEM, LAST = bytes(64), bytes([1] * 64)


def produce(queue, orders):
    while True:
        for _ in range(orders.recv() - 1):
            queue.put(ITEM)
        queue.put(LAST)


def consume(queue, ends):
    while True:
        if queue.get() == LAST:
            ends.put(os.getpid())


def add_items(producers, consumers):
    @case(f"items_{producers}x{consumers}", "items/s", *QUEUES)
    def items(measure, peer):
        queue, ends = peer(), multiprocessing.SimpleQueue()
        orders = [multiprocessing.Pipe(False) for _ in range(producers)]
        workers = [multiprocessing.Process(target=consume, args=(queue, ends), daemon=True) for _ in range(consumers)]
        workers += [multiprocessing.Process(target=produce, args=(queue, order[0]), daemon=True) for order in orders]
        for worker in workers:
            worker.start()

        def run(count):
            for order in orders:
                order[1].send(count // producers)
            for _ in range(producers):
                saw(ends.get())

        tasks = tasks_for_slice(measure, run, 256)
        for _ in range(measure.rounds):
            begin = now()
            run(tasks)
            measure.report(tasks / (now() - begin))
        for worker in workers:
            worker.kill()
            worker.join()


def send_back(there, back):
    while True:
        there.get()
        back.put(os.getpid())


add_items(1, 1)
add_items(2, 2)


@case("items_roundtrip", "us", *QUEUES)
def items_roundtrip(measure, peer):
    there, back = peer(), peer()
    worker = multiprocessing.Process(target=send_back, args=(there, back), daemon=True)
    worker.start()

    def call():
        there.put(ITEM)
        saw(back.get())

    roundtrips(measure, call)
    worker.kill()
    worker.join()


# ---- pipes between processes

class Pipe:
    name = "multiprocessing.Pipe"


PIPES = [] if pools.in_mpi() else [Pipe]


def answer_items(end):
    while True:
        if end.recv() == LAST:
            end.send(os.getpid())


def with_answers(use):
    here, there = multiprocessing.Pipe()
    worker = multiprocessing.Process(target=answer_items, args=(there,), daemon=True)
    worker.start()
    use(here)
    worker.kill()
    worker.join()


@case("pipe_items", "items/s", *PIPES)
def pipe_items(measure, _):
    def use(end):
        def run(count):
            for _ in range(count - 1):
                end.send(ITEM)
            end.send(LAST)
            saw(end.recv())

        tasks = tasks_for_slice(measure, run, 256)
        for _ in range(measure.rounds):
            begin = now()
            run(tasks)
            measure.report(tasks / (now() - begin))

    with_answers(use)


@case("pipe_roundtrip", "us", *PIPES)
def pipe_roundtrip(measure, _):
    def use(end):
        def call():
            end.send(LAST)
            saw(end.recv())

        roundtrips(measure, call)

    with_answers(use)


PAYLOAD = ALL + ([pools.JoblibParallel] if pools.Loky in ALL and work.numpy else [])


@case("argument_256MiB", "GB/s", *PAYLOAD)
def argument_256(measure, peer):
    pool = peer(2)
    pool.call(work.empty)
    size = MIB if measure.tiny else 256 * MIB
    for _ in range(measure.rounds):
        array = work.new_array(size)
        begin = now()
        pid, total = pool.call(work.look_at, array)
        seconds = now() - begin
        saw(pid)
        if total != work.sum_of_pages(array):
            raise RuntimeError("the array arrived changed")
        measure.report(size / 1e9 / seconds)
    pool.close()


@case("result_256MiB", "GB/s", *ALL)
def result_256(measure, peer):
    pool = peer(2)
    pool.call(work.empty)
    size = MIB if measure.tiny else 256 * MIB
    for _ in range(measure.rounds):
        begin = now()
        array, pid, making = pool.call(work.make_array, size)
        seconds = now() - begin
        saw(pid)
        if work.sum_of_pages(array) != -(-size // 4096):
            raise RuntimeError("the array arrived changed")
        measure.report(size / 1e9 / (seconds - making))
    pool.close()


def add_queue(most):
    @case(f"queue_{most}", "us", *ALL)
    def queues(measure, peer):
        queue = min(most, 100) if measure.tiny else most
        pool = peer(2)
        submit_and_get(pool, 64)
        repeats = 1 if measure.tiny else max(1, 1000 // queue)
        for _ in range(measure.rounds):
            begin = now()
            for _ in range(repeats):
                submit_and_get(pool, queue)
            measure.report((now() - begin) * 1e6 / queue / repeats)
        pool.close()


for exponent in range(6):  # a million would take a minute and more
    add_queue(10 ** exponent)


def add_workers(workers):
    @case(f"workers_{workers}", "us", *LIBRARY)
    def many(measure, peer):
        pool = peer(workers)
        fill(pool, workers)
        tasks = tasks_for_slice(measure, lambda tasks: map_one_by_one(pool, tasks), 64)
        for _ in range(measure.rounds):
            begin = now()
            map_one_by_one(pool, tasks)
            measure.report((now() - begin) * 1e6 / tasks)
        pool.close()


for exponent in range(7):
    add_workers(2 ** exponent)


def add_start(workers, peers):
    @case(f"start_{workers}", "ms", *peers)
    def start(measure, peer):
        for _ in range(measure.rounds):
            begin = now()
            pool = peer(workers)
            fill(pool, workers)
            pool.close()
            measure.report((now() - begin) * 1e3)


add_start(2, [peer for peer in ALL if peer is not pools.Mpi])  # mpirun starts those
add_start(64, LIBRARY)  # loky does not end with 64 workers


@case("process_1", "ms", *PROCESSES)
def process_1(measure, peer):
    in_a_row = 2 if measure.tiny else 5 if peer.slow else 20
    peer.run(1)
    for _ in range(measure.rounds):
        begin = now()
        for _ in range(in_a_row):
            saw(peer.run(1)[0])
        measure.report((now() - begin) * 1e3 / in_a_row)


@case("process_64", "ms", *PROCESSES)
def process_64(measure, peer):
    count = 4 if measure.tiny else 64
    peer.run(1)
    for _ in range(measure.rounds):
        begin = now()
        pids = peer.run(count)
        measure.report((now() - begin) * 1e3)
        for pid in pids:
            saw(pid)
        if len(set(pids)) != count:
            raise RuntimeError("not every call had a process of its own")


@case("recover", "ms", *[peer for peer in ALL if peer is not pools.Mpi])  # mpirun ends everything
def recover(measure, peer):
    pool = peer(1)
    last = pool.call(work.empty)
    for _ in range(measure.rounds):
        begin = now()
        handle = pool.submit(work.die)
        if peer is not pools.Pool:  # this executor is broken now, with all that it held; here is another
            try:
                pool.result(handle)
            except Exception:
                pass
            pool.close()
            pool = peer(1)
        pid = pool.call(work.empty)
        measure.report((now() - begin) * 1e3)
        saw(pid)
        if pid == last:
            raise RuntimeError("the worker lives")
        last = pid
    if peer is pools.Pool:  # it would wait for the lost tasks for ever
        pool.pool.terminate()
    else:
        pool.close()


@case("kills_4000", "%", *LIBRARY)
def kills(measure, peer):
    """How many of 4,000 tasks of 2 ms have ended with their value after 10 s at most; 4 s of work."""
    tasks = 40 if measure.tiny else 4000
    for round_number in range(measure.rounds):
        pool = peer(2)
        fill(pool, 2)
        victims = list(pool.pool._pool if peer is pools.Pool else pool.pool._processes.values())
        handles = [pool.submit(work.sleep_for_2ms, x) for x in range(tasks)]
        chance, begin, right, broken = random.Random(round_number), now(), 0, False
        limit = .5 if measure.tiny else 10
        while not broken and now() - begin < limit:
            time.sleep(chance.uniform(.02, .05))
            if peer is pools.Pool:
                victims = pool.pool._pool
            alive = [worker for worker in list(victims) if worker.is_alive()]
            if alive:
                os.kill(chance.choice(alive).pid, signal.SIGKILL)
            ready = (lambda h: h.ready()) if peer is pools.Pool else (lambda h: h.done())
            broken = all(ready(handle) for handle in handles)
        for x, handle in enumerate(handles):
            try:
                value = handle.get(0) if peer is pools.Pool else handle.result(0)
                right += value & (1 << work.MAKER_SHIFT) - 1 == x * x + x + 1
            except Exception:
                pass
        measure.report(100 * right / tasks)
        if peer is pools.Pool:
            ender = threading.Thread(target=pool.pool.terminate, daemon=True)
            ender.start()
            ender.join(5)
        else:
            pool.pool.shutdown(wait=False, cancel_futures=True)


@case("idle_cpu", "%", *LIBRARY)
def idle_cpu(measure, peer):
    pool = peer(2)
    for _ in range(measure.rounds):
        fill(pool, 2)
        time.sleep(.01)
        begin, used = now(), cpu_seconds()
        time.sleep(.02 if measure.tiny else 1)
        measure.report(100 * (cpu_seconds() - used) / (now() - begin))
    pool.close()


@case("memory_64", "MiB", *LIBRARY)
def memory_64(measure, peer):
    """Private pages, and those of unnamed shared memory."""
    workers = 2 if measure.tiny else 64
    for _ in range(measure.rounds):
        pool = peer(workers)
        fill(pool, workers)
        pool.map(work.polynomial, range(100_000))
        total = 0
        for pid in children():
            with open(f"/proc/{pid}/smaps_rollup") as file:
                for line in file:
                    if line.startswith(("Private_Clean:", "Private_Dirty:")):
                        total += int(line.split()[1])
        measure.report(total / 1024 / workers)
        pool.close()


class Value:
    name = "multiprocessing.Value"


@case("with_lock", "ns", Value)
def with_lock(measure, _):
    value = multiprocessing.Value("Q")
    calls = 1000 if measure.tiny else 200_000
    for _ in range(measure.rounds):
        begin = now()
        for _ in range(calls):
            with value.get_lock():
                value.value += 1
        measure.report((now() - begin) * 1e9 / calls)


def leave(status):
    """Ends what children there are, by their ids, and goes: a pool that hangs is not waited for."""
    sys.stdout.flush()
    for pid in children():
        try:
            os.kill(pid, signal.SIGKILL)
        except OSError:
            pass
    os._exit(status)


def main():
    if sys.argv[1:] == ["--list"]:
        for (name, system), (unit, _) in CASES.items():
            print(json.dumps({"case": name, "system": system, "unit": unit}))
        return
    name, rounds = sys.argv[1], int(sys.argv[2])
    options = dict(zip(sys.argv[3::2], sys.argv[4::2]))
    found = [(key, value) for key, value in CASES.items()
             if key[0] == name and options.get("--system", key[1]) == key[1]]
    if not found:
        sys.exit(f"no such case: {name}")
    status = 0
    try:
        for (_, system), (unit, function) in found:
            function(Measure(name, system, unit, rounds, float(options.get("--slice", 200)) / 1000))
    except BaseException as error:
        print(f"{name}: {type(error).__name__}: {error}", file=sys.stderr)
        status = 1
    if status == 0 and name != "kills_4000":  # that one leaves pools that would hang
        return
    leave(status)


if __name__ == "__main__":
    main()
