// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#include "parent/live_view_writer.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <span>

#include "parent/core.hpp"
#include "protocol/live_view.hpp"

namespace procpool::inline v0_1::parent {
namespace {

// Of a label, and of the end of a worker, so much is shown.
constexpr std::size_t max_text = 200;

std::uint64_t nanoseconds(std::chrono::nanoseconds time) noexcept {
  return static_cast<std::uint64_t>(time.count());
}

protocol::LiveWorker live_worker(WorkerStats const& stats) {
  protocol::LiveWorker worker;
  worker.place = stats.index;
  worker.pid = stats.pid;
  worker.starts = stats.starts;
  worker.done = stats.done;
  worker.last_end = os::cut(stats.last_end, max_text);
  if (stats.running) {
    worker.runs = true;
    worker.task = stats.running->task;
    worker.element = stats.running->element;
    worker.label = os::cut(stats.running->label, max_text);
    worker.steps = stats.running->done;
    worker.all_steps = stats.running->total;
  }
  return worker;
}

protocol::LiveView live_view(Core const& core) {
  Stats const stats = core.stats();
  protocol::LiveView view;
  view.pool = core.name;
  view.time = nanoseconds(std::chrono::steady_clock::now().time_since_epoch());
  view.wanted = static_cast<std::uint32_t>(core.slots_are_dedicated() ? core.dedicated_workers()
                                                                      : core.wanted_workers());
  view.ready = stats.workers;
  view.queued = stats.queued;
  view.running = stats.running;
  view.done = stats.done;
  view.starts = stats.worker_starts;
  view.deaths = stats.worker_deaths;
  view.failed_starts = stats.failed_starts;
  view.retries = stats.retries;
  view.waited_mean = nanoseconds(stats.waited.mean());
  view.waited_most = nanoseconds(stats.waited.quantile(0.99));
  view.ran_mean = nanoseconds(stats.ran.mean());
  view.ran_most = nanoseconds(stats.ran.quantile(0.99));
  for (WorkerStats const& worker : core.worker_stats()) {
    // A free slot is no place of anybody.
    if (worker.pid == 0 && core.slots_are_dedicated()) continue;
    view.workers.push_back(live_worker(worker));
  }
  return view;
}

}  // namespace

LiveViewWriter::LiveViewWriter(Core const& core)
    : core_(core), file_(os::Memfd::create_growing(protocol::live_view_name)) {
  std::array<int, 2> ends{};
  if (::pipe2(ends.data(), O_CLOEXEC | O_NONBLOCK) != 0) {
    os::throw_errno("procpool could not make a pipe");
  }
  // Viewers open the end for writing themselves.
  os::UniqueFd const unused(ends[1]);
  requests_ = os::above_standard(os::UniqueFd(ends[0]));
  write_header(0, 0);
}

bool LiveViewWriter::asked() noexcept {
  std::array<std::byte, 4096> bytes;
  bool any = false;
  // A viewer that writes on and on is read no more than a full pipe.
  for (int i = 0; i < 16 && ::read(requests_.get(), bytes.data(), bytes.size()) > 0; ++i)
    any = true;
  return any;
}

void LiveViewWriter::write_header(std::uint64_t number, std::uint64_t size) {
  protocol::LiveViewHeader header;
  header.pid = ::getpid();
  header.request = requests_.get();
  header.number = number;
  header.size = size;
  file_.write_at(std::as_bytes(std::span(&header, 1)), 0);
}

void LiveViewWriter::answer() {
  if (!asked()) return;
  auto const bytes = encode(live_view(core_));
  write_header(number_ + 1, bytes.size());
  file_.write_at(bytes, protocol::live_view_offset);
  write_header(number_ += 2, bytes.size());
}

}  // namespace procpool::inline v0_1::parent
