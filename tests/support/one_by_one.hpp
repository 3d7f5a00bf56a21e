// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#pragma once

// A worker's end whose elements are runs of one: begin() claims one, and append_value() or
// append_thrown() answers it. For tests that play the worker.

#include <atomic>
#include <cstdint>
#include <optional>
#include <span>

#include "channel/worker_end.hpp"

namespace procpool::channel::inline PROCPOOL_SYNC_BUILD {

class OneByOne : public WorkerEnd {
 public:
  using WorkerEnd::WorkerEnd;

  // The words of a run that are the task's.
  detail::RunWords task_words() {
    return {nullptr, nullptr, nullptr, &running_, &index_, &abandoned_};
  }

  // False: the element was revoked, and so was the rest of the frame.
  bool begin(std::uint64_t serial) {
    run_.emplace(start_run(serial, 1, task_words()));
    return run_->begin() || end_run(*run_);
  }
  void append_value(std::uint64_t serial, std::span<std::byte const> value, bool length_first,
                    detail::Resource::List const& named = {}) {
    answer(serial, [&] { WorkerEnd::append_value(*run_, value, length_first, named); });
  }
  void append_thrown(std::uint64_t serial, std::span<std::byte const> exception) {
    answer(serial, [&] { WorkerEnd::append_thrown(*run_, exception); });
  }

 private:
  template <class Append>
  void answer(std::uint64_t serial, Append const& append) {
    // Also without begin().
    if (!run_ || !run_->begun() || run_->next() != serial)
      run_.emplace(start_run(serial, 1, task_words()));
    append();
    end_run(*run_);
  }

  std::optional<detail::Run> run_;
  std::atomic<std::uint64_t> running_{0};
  std::atomic<std::uint64_t> index_{0};
  std::atomic<bool> abandoned_{false};
};

}  // namespace procpool::channel::inline PROCPOOL_SYNC_BUILD
