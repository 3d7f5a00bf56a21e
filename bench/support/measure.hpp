// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#pragma once

// Measure: how much a case shall do, and where its values go: one JSON line each on standard
// output. Witness: sees the process that made each result, and refuses our own. One thread.

#include <sys/types.h>
#include <unistd.h>

#include <cstdint>
#include <cstdio>
#include <set>
#include <stdexcept>
#include <string>

namespace bench {

class Measure {
 public:
  Measure(std::string name, std::string system, std::string unit, int rounds, double slice)
      : case_(std::move(name)),
        system_(std::move(system)),
        unit_(std::move(unit)),
        rounds_(rounds),
        slice_(slice) {}

  int rounds() const noexcept { return rounds_; }
  // How long one value should be measured, in seconds.
  double slice() const noexcept { return slice_; }
  // Once through everything, no matter what comes out: for tests.
  bool tiny() const noexcept { return slice_ < 0.01; }

  void report(double value) const {
    std::printf(R"({"case": "%s", "system": "%s", "unit": "%s", "value": %.9g})"
                "\n",
                case_.c_str(), system_.c_str(), unit_.c_str(), value);
    std::fflush(stdout);
  }

 private:
  std::string case_;
  std::string system_;
  std::string unit_;
  int rounds_;
  double slice_;
};

class Witness {
 public:
  void saw(pid_t pid) {
    if (pid == last_) return;  // mostly
    if (pid <= 0 || pid == parent_) throw std::logic_error("a result was made in this process");
    last_ = pid;
    pids_.insert(pid);
  }
  std::size_t processes() const noexcept { return pids_.size(); }

 private:
  pid_t const parent_ = getpid();
  pid_t last_ = 0;
  std::set<pid_t> pids_;
};

// A result that carries its maker and a number of up to 40 bits.
constexpr int maker_shift = 40;
inline std::uint64_t sign(pid_t maker, std::uint64_t number) noexcept {
  return static_cast<std::uint64_t>(maker) << maker_shift | number;
}
inline pid_t maker_of(std::uint64_t result) noexcept {
  return static_cast<pid_t>(result >> maker_shift);
}
inline std::uint64_t number_of(std::uint64_t result) noexcept {
  return result & ((std::uint64_t{1} << maker_shift) - 1);
}

// What the maps of integers compute.
inline std::uint64_t polynomial(std::uint64_t x) noexcept { return x * x + x + 1; }

}  // namespace bench
