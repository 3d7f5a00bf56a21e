// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#pragma once

// The outcomes of futures whose pool is over.

#include <cstddef>
#include <ostream>
#include <procpool.hpp>
#include <vector>

namespace support {

struct Ends {
  std::size_t values = 0;
  std::size_t cancelled = 0;
  std::size_t died = 0;
  std::size_t threw = 0;
  std::size_t open = 0;  // not ready: what must never be
  bool operator==(Ends const&) const = default;
};

inline std::ostream& operator<<(std::ostream& out, Ends const& ends) {
  return out << ends.values << " values, " << ends.cancelled << " cancelled, " << ends.died
             << " died, " << ends.threw << " threw, " << ends.open << " open";
}

inline Ends ends_of(std::vector<procpool::Future<int>>& futures) {
  Ends ends;
  for (auto& future : futures) {
    if (!future.ready()) {
      ++ends.open;
      continue;
    }
    try {
      future.get();
      ++ends.values;
    } catch (procpool::TaskCancelled const&) {
      ++ends.cancelled;
    } catch (procpool::WorkerDied const&) {
      ++ends.died;
    } catch (...) {
      ++ends.threw;
    }
  }
  return ends;
}

}  // namespace support
