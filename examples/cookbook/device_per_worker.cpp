// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// A device per worker. The variable is there before anything of the program runs in the worker, as
// run times of devices want it, and a worker that replaces another one has the same device.

#include <cstdlib>
#include <iostream>
#include <map>
#include <procpool.hpp>
#include <ranges>
#include <string>

namespace {

std::map<std::string, std::string> variables_of(int worker) {
  return {{"CUDA_VISIBLE_DEVICES", std::to_string(worker)}};
}

// Static initialization reads it, as the library of a device may. In the program it is not set.
std::string const device = [] {
  char const* const value = std::getenv("CUDA_VISIBLE_DEVICES");
  return std::string(value != nullptr ? value : "none");
}();

std::string name_of_device() { return device; }

struct Frame {
  int number;
  std::string device;
};

Frame render(int number) {
  if (number == 5) std::abort();  // the driver does not like this one
  return {number, device};
}

}  // namespace

int main() {
  // As many workers as devices. Each has its device for itself.
  procpool::ProcessPool pool{
      {.workers = 3, .name = "renderer", .start = {.worker_environment = variables_of}}};

  int right = 0;
  for (auto const& outcome : pool.outcomes().imap<render>(std::views::iota(0, 30))) {
    if (outcome) {
      right += outcome->device == std::to_string(outcome.worker()) ? 1 : 0;
    } else {
      std::cout << "frame " << outcome.error().as<procpool::WorkerDied>()->element()
                << " took its worker down\n";
    }
  }
  std::cout << right << " frames on the device of their worker\n";

  // Also of the worker that has come in the place of the dead one.
  for (auto const& name : pool.on_each_worker<name_of_device>())
    std::cout << "device " << name << '\n';
}
