// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// Counts the words of many files, a task per file, and compares with the plain loop.
//
// With --hostile the function that counts dereferences null in every 50th file and aborts in every
// 77th. The job ends all the same: outcomes() gives each file its own outcome, a value or the reason
// why there is none, and the counts of all other files are right.

#include <chrono>
#include <exception>
#include <iostream>
#include <procpool.hpp>
#include <vector>

#include "word_count/report.hpp"
#include "word_count/words.hpp"

namespace {

Trap trap_for(std::size_t number, bool hostile) {
  if (!hostile) return Trap::none;
  if (number % 50 == 0) return Trap::null_dereference;
  return number % 77 == 0 ? Trap::abort : Trap::none;
}

std::vector<Job> make_jobs(Found const& found, bool hostile) {
  std::vector<Job> jobs;
  for (auto const& path : found.text_files) {
    jobs.push_back({path, trap_for(jobs.size() + 1, hostile)});
  }
  return jobs;
}

Tally plain_loop(std::vector<Job> const& jobs) {
  Tally tally;
  for (auto const& job : jobs) {
    if (job.trap == Trap::none) {  // this process would not survive the others
      tally.add(count_words(job));
    }
  }
  return tally;
}

Tally pooled(std::vector<Job> const& jobs, std::size_t workers, std::vector<Casualty>& casualties) {
  Tally tally;
  // The deaths are printed below, so the log of them is dropped.
  procpool::ProcessPool pool{{.workers = workers, .name = "word_count", .log = [](auto) {}}};
  std::size_t file = 0;
  // A stream: this process sums up the results while the workers read further files.
  for (auto&& outcome : pool.outcomes().imap<count_words>(jobs)) {
    if (outcome) {
      tally.add(*std::move(outcome));
    } else if (auto const* const died = outcome.error().as<procpool::WorkerDied>()) {
      casualties.push_back({file, *died});
    } else {
      outcome.error().rethrow();
    }
    ++file;
  }
  return tally;
}

double seconds_since(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

// Did exactly those files fail that were meant to?
bool as_planned(std::vector<Casualty> const& casualties, std::vector<Job> const& jobs) {
  auto casualty = casualties.begin();
  for (std::size_t file = 0; file < jobs.size(); ++file) {
    bool const failed = casualty != casualties.end() && casualty->file == file;
    if (failed != (jobs[file].trap != Trap::none)) return false;
    if (failed && (casualty++)->why.element() != file) return false;
  }
  return true;
}

}  // namespace

int main(int argc, char** argv) try {
  Options const options = parse(argc, argv);
  // Every file is read once here already, so neither contender has to wait for the disk.
  Found const found = find_text_files(options);
  print_found(found, options);
  if (found.text_files.empty()) return 1;
  auto const jobs = make_jobs(found, options.hostile);
  std::size_t const workers = options.workers.value_or(procpool::cpu_count());

  auto start = std::chrono::steady_clock::now();
  auto const expected = plain_loop(jobs);
  double const loop_seconds = seconds_since(start);

  start = std::chrono::steady_clock::now();
  std::vector<Casualty> casualties;
  auto const tally = pooled(jobs, workers, casualties);
  double const pool_seconds = seconds_since(start);

  if (!casualties.empty()) print_casualties(casualties, jobs);
  print_top(tally, 20);
  print_times(loop_seconds, pool_seconds, workers, casualties);

  if (tally != expected || !as_planned(casualties, jobs)) {
    std::cout << "WRONG: the pool's result is not the plain loop's\n";
    return 1;
  }
  std::cout << "The counts are those of the plain loop"
            << (options.hostile ? " over the files that are not trapped.\n" : ".\n");
  return 0;
} catch (std::exception const& error) {
  std::cerr << "word_count: " << error.what() << '\n';
  return 1;
}
