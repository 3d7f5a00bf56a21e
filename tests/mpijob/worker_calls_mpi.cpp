// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// worker_calls_mpi init|abort, as a job of two processes: a program of MPI that has a local pool on
// each rank, and functions that use MPI in a worker. A worker is no member of the job: it is alone.

#include <mpi.h>
#include <stdlib.h>

#include <cstdio>
#include <string>
#include <string_view>

#include <procpool.hpp>

namespace {

// The number of processes that a worker sees, times ten, and its rank.
int place_of_worker() {
  int begun = 0;
  MPI_Initialized(&begun);
  if (begun == 0) MPI_Init(nullptr, nullptr);
  int rank = -1;
  int size = -1;
  MPI_Comm_rank(MPI_COMM_WORLD, &rank);
  MPI_Comm_size(MPI_COMM_WORLD, &size);
  MPI_Finalize();
  return 10 * size + rank;
}

int abort_job() {
  MPI_Init(nullptr, nullptr);
  MPI_Abort(MPI_COMM_WORLD, 3);
  return 0;
}

int twice(int x) { return 2 * x; }

#define CHECK(condition)                                                   \
  do {                                                                     \
    if (!(condition)) {                                                    \
      std::fprintf(stderr, "line %d: not so: %s\n", __LINE__, #condition); \
      MPI_Abort(MPI_COMM_WORLD, EXIT_FAILURE);                             \
    }                                                                      \
  } while (false)

}  // namespace

int main(int argc, char** argv) {
  std::string_view const call = argc == 2 ? argv[1] : "";
  MPI_Init(&argc, &argv);
  int rank = -1;
  int size = -1;
  MPI_Comm_rank(MPI_COMM_WORLD, &rank);
  MPI_Comm_size(MPI_COMM_WORLD, &size);
  CHECK(size == 2);
  {
    procpool::ProcessPool pool{1};
    if (call == "init") {
      int const place = pool.call<place_of_worker>();
      if (place != 10)
        std::fprintf(stderr, "a worker sees %d processes, and is rank %d\n", place / 10,
                     place % 10);
      CHECK(place == 10);
    } else {
      bool died = false;
      try {
        pool.call<abort_job>();
      } catch (procpool::WorkerDied const& error) {
        died = true;
      }
      CHECK(died);
    }
    CHECK(pool.call<twice>(21) == 42);
  }
  // Both are there.
  int sum = 0;
  MPI_Allreduce(&size, &sum, 1, MPI_INT, MPI_SUM, MPI_COMM_WORLD);
  CHECK(sum == 4);
  MPI_Finalize();
  if (rank == 0) std::puts("rank 0 is content");
  return 0;
}
