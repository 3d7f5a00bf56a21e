// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// Two processes, each with a function of its own. The program waits for both.
//
//   p = multiprocessing.Process(target=f, args=(x,)); p.start()    procpool::Process p{f, x};
//   class Task(Process): def run(self): ...                        a struct with operator()()
//
// Their output is captured, so that the lines of the two do not mix.

#include <iostream>
#include <procpool.hpp>
#include <string>

void cpu_bound_task(std::string const& name, long iterations) {
  std::cout << "Process " << name << ": Starting CPU-bound task...\n";
  long result = 0;
  for (long i = 0; i < iterations; ++i) result = (result + i * i) % 1000;  // the sum has 21 digits
  std::cout << "Process " << name << ": Finished. Result (partial): " << result << '\n';
}

int main() {
  std::cout << "Main process: Starting child processes.\n";
  procpool::ProcessOptions const captured{.output = procpool::Output::capture};

  // Both start here, and run side by side.
  procpool::Process p1{captured, cpu_bound_task, "One", 10'000'000};
  procpool::Process p2{captured, cpu_bound_task, "Two", 10'000'000};

  p1.join();
  p2.join();
  std::cout << p1.output() << p2.output() << "Main process: All child processes finished.\n";
}
