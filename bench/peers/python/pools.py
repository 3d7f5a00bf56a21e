# SPDX-FileCopyrightText: The procpool authors
# SPDX-License-Identifier: BSL-1.0

"""The Python peers behind one interface: call, submit, map with a chunk size, close."""
import concurrent.futures
import multiprocessing
import os

import work


def even_chunk(tasks, workers):
    """What multiprocessing.Pool chooses by itself; given to those that would send elements one by one."""
    return max(1, -(-tasks // (4 * workers)))


class Pool:
    name = "multiprocessing.Pool"

    def __init__(self, workers):
        self.pool = multiprocessing.Pool(workers)

    def call(self, function, argument=None):
        return self.pool.apply(function, (argument,))

    def submit(self, function, argument=None):
        return self.pool.apply_async(function, (argument,))

    def result(self, handle):
        return handle.get()

    def map(self, function, inputs, chunk=None):
        return self.pool.map(function, inputs, chunk)

    def close(self):
        self.pool.close()
        self.pool.join()


class Processes:
    """multiprocessing.Process: a process for each call, whose result comes through a pipe of its own."""

    def __init__(self, method):
        self.name = f"multiprocessing.Process ({method})"
        self.slow = method == "spawn"
        self.context = multiprocessing.get_context(method)

    def run(self, count):
        """The pids of so many processes at once, each from its own empty function, after the last has exited."""
        started = []
        for _ in range(count):
            ours, theirs = self.context.Pipe(duplex=False)
            process = self.context.Process(target=work.send_empty, args=(theirs,))
            process.start()
            theirs.close()
            started.append((process, ours))
        results = [ours.recv() for _, ours in started]
        for process, ours in started:
            process.join()
            ours.close()
        return results


class Executor:
    name = "ProcessPoolExecutor"

    def __init__(self, workers):
        self.workers = workers
        self.pool = self.make()

    def make(self):
        return concurrent.futures.ProcessPoolExecutor(self.workers)

    def call(self, function, argument=None):
        return self.pool.submit(function, argument).result()

    def submit(self, function, argument=None):
        return self.pool.submit(function, argument)

    def result(self, handle):
        return handle.result()

    def map(self, function, inputs, chunk=None):
        return list(self.pool.map(function, inputs, chunksize=chunk or even_chunk(len(inputs), self.workers)))

    def close(self):
        self.pool.shutdown()


class Loky(Executor):
    name = "joblib loky"

    def make(self):
        from joblib.externals.loky import ProcessPoolExecutor
        return ProcessPoolExecutor(self.workers)


class Mpi(Executor):
    name = "mpi4py.futures"

    def make(self):
        from mpi4py.futures import MPIPoolExecutor
        return MPIPoolExecutor(self.workers)


class JoblibParallel:
    """joblib.Parallel, which maps large arrays into the workers instead of sending them."""
    name = "joblib Parallel (memory map)"

    def __init__(self, workers):
        import joblib
        self.delayed = joblib.delayed
        self.parallel = joblib.Parallel(n_jobs=workers)
        self.parallel.__enter__()

    def call(self, function, argument=None):
        return self.parallel([self.delayed(function)(argument)])[0]

    def close(self):
        self.parallel.__exit__(None, None, None)


def importable(module):
    import importlib.util
    return importlib.util.find_spec(module) is not None


def in_mpi():
    return "OMPI_COMM_WORLD_SIZE" in os.environ
