// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#pragma once

// Gathering: where the tasks of a pool wait until so many of them run at the same time, so that
// each is in a worker of its own. Its owner makes it; tasks in any process of the same user come to
// it by the owner's descriptors in /proc. It ends with its owner.

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <unistd.h>

#include <stdexcept>
#include <string>

namespace bench {

struct Place {  // travels to the tasks
  pid_t owner = 0;
  int arrivals = -1;
  int gate_read = -1;
  int gate_write = -1;
  int expected = 0;
};

class Gathering {
 public:
  explicit Gathering(int expected) {
    int gate[2];
    place_.owner = getpid();
    place_.arrivals = memfd_create("gathering", MFD_CLOEXEC);
    if (place_.arrivals < 0 || pipe2(gate, O_CLOEXEC) != 0) {
      throw std::runtime_error("no descriptors for a gathering");
    }
    place_.gate_read = gate[0];
    place_.gate_write = gate[1];
    place_.expected = expected;
  }
  Gathering(Gathering const&) = delete;
  Gathering& operator=(Gathering const&) = delete;
  ~Gathering() {
    close(place_.arrivals);
    close(place_.gate_read);
    close(place_.gate_write);
  }
  Place const& place() const noexcept { return place_; }

 private:
  Place place_;
};

// Blocks until as many are here as were expected. The last one opens the gate for all: a byte each.
inline void gather(Place const& place) {
  auto const open_one = [&](int descriptor, int flags) {
    auto const path = "/proc/" + std::to_string(place.owner) + "/fd/" + std::to_string(descriptor);
    int const opened = open(path.c_str(), flags | O_CLOEXEC);
    if (opened < 0) throw std::runtime_error("cannot open " + path);
    return opened;
  };
  int const arrivals = open_one(place.arrivals, O_WRONLY | O_APPEND);
  int const gate_read = open_one(place.gate_read, O_RDONLY);
  int const gate_write = open_one(place.gate_write, O_WRONLY);
  struct stat status{};
  bool good = write(arrivals, "x", 1) == 1 && fstat(arrivals, &status) == 0;
  if (good && status.st_size == place.expected) {
    std::string const keys(static_cast<std::size_t>(place.expected), 'k');
    good = write(gate_write, keys.data(), keys.size()) > 0;
  }
  char key = 0;
  good = good && read(gate_read, &key, 1) == 1;
  close(arrivals);
  close(gate_read);
  close(gate_write);
  if (!good) throw std::runtime_error("gathering failed");
}

}  // namespace bench
