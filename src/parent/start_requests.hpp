// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#pragma once

// StartRequests: the calls of ProcessPool::start() that wait until enough workers are ready. Each is a
// task of the pool's own with one element, which no worker gets.
//
// Pure: no lock, no I/O, no clock. The core guards them with its mutex, and ends the tasks that it
// takes out. Only add() needs memory.

#include <algorithm>
#include <cstddef>
#include <iterator>
#include <list>
#include <memory>
#include <utility>

#include <procpool/detail/engine/task.hpp>

namespace procpool::inline v0_1::parent {

class StartRequests {
 public:
  struct StartRequest {
    std::shared_ptr<detail::Task> task;
    std::size_t workers;
  };
  using List = std::list<StartRequest>;

  void add(std::shared_ptr<detail::Task> task, std::size_t workers) {
    waiting_.push_back({std::move(task), workers});
  }
  bool any() const noexcept { return !waiting_.empty(); }
  // How many workers shall be there. `most`: those of the pool.
  std::size_t workers(std::size_t most) const noexcept {
    std::size_t workers = 0;
    for (StartRequest const& one : waiting_) workers = std::max(workers, one.workers);
    return std::min(workers, most);
  }
  // Takes out those that have what they wait for. `most`: workers of the pool, which may have become
  // fewer than one waits for.
  List take_done(std::size_t ready, std::size_t most) noexcept {
    return take_if([=](StartRequest const& one) { return ready >= std::min(one.workers, most); });
  }
  List take_all() noexcept { return std::exchange(waiting_, List()); }
  // Empty: it was taken out before.
  List take(detail::Task const& task) noexcept {
    return take_if([&task](StartRequest const& one) { return one.task.get() == &task; });
  }

 private:
  template <class Taken>
  List take_if(Taken const& taken) noexcept {
    List out;
    for (auto one = waiting_.begin(); one != waiting_.end();) {
      auto const next = std::next(one);
      if (taken(*one)) out.splice(out.end(), waiting_, one);
      one = next;
    }
    return out;
  }

  List waiting_;
};

}  // namespace procpool::inline v0_1::parent
