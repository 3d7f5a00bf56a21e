# SPDX-FileCopyrightText: The procpool authors
# SPDX-License-Identifier: BSL-1.0

"""The same as efficiency.cpp, by mpi4py.futures: mpiexec -n 3 python3 -m mpi4py.futures efficiency.py. One process
hands the tasks out, and two work."""
import time

from mpi4py.futures import MPIPoolExecutor

WORKERS = 2
SECONDS = 1


def burn(microseconds):
    end = time.thread_time() + microseconds * 1e-6
    while time.thread_time() < end:
        pass


def main():
    with MPIPoolExecutor() as pool:
        list(pool.map(burn, [100] * 200))
        for microseconds in 1000, 100:
            tasks = int(SECONDS * WORKERS * 1e6 / microseconds)
            for system, size in ("mpi4py.futures", 1), ("mpi4py.futures, chunks of 20 ms", 20000 // microseconds):
                begin = time.perf_counter()
                list(pool.map(burn, [microseconds] * tasks, chunksize=size))
                took = time.perf_counter() - begin
                print(f"{system}\t{microseconds}\t{100 * tasks * microseconds * 1e-6 / (took * WORKERS):.1f}", flush=True)


if __name__ == "__main__":
    main()
