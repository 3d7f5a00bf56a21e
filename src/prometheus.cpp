// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// The text format has all samples of a metric behind each other, so each metric goes through all pools.
// Numbers are written by to_chars, which no locale changes.
#include <procpool/prometheus.hpp>

#include <array>
#include <charconv>
#include <chrono>
#include <concepts>
#include <cstdint>
#include <map>
#include <set>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include <procpool/pool.hpp>

#include "os/text.hpp"

namespace procpool::inline v0_1 {
namespace {

struct Sampled {
  std::string labels{};  // pool="..."
  Stats stats{};
  std::vector<WorkerStats> workers{};
};

template <class T>
std::string number(T value) {
  std::array<char, 32> text{};
  auto const [end, error] = std::to_chars(text.data(), text.data() + text.size(), value);
  return {text.data(), end};
}

double seconds(std::chrono::nanoseconds time) {
  return std::chrono::duration<double>(time).count();
}

class Text {
 public:
  explicit Text(std::vector<Sampled> const& pools) : pools_(pools) {}

  template <class T>
  void metric(std::string_view name, std::string_view type, std::string_view help,
              T Stats::* member) {
    head(name, type, help);
    for (Sampled const& pool : pools_) sample(name, pool.labels, number(pool.stats.*member));
  }

  template <std::invocable<WorkerStats const&> Value>
  void of_workers(std::string_view name, std::string_view type, std::string_view help,
                  Value const& value) {
    head(name, type, help);
    for (Sampled const& pool : pools_) {
      for (WorkerStats const& worker : pool.workers) {
        sample(name, pool.labels + ",worker=\"" + number(worker.index) + '"',
               number(value(worker)));
      }
    }
  }

  // Each fourth power of two is enough for a reader: 1 us to 18 minutes.
  void histogram(std::string_view name, std::string_view help, Histogram Stats::* member) {
    head(name, "histogram", help);
    std::string const base(name);
    for (Sampled const& pool : pools_) {
      Histogram const& all = pool.stats.*member;
      std::uint64_t below = 0;
      std::size_t bucket = 0;
      for (int bit = 10; bit <= 40; bit += 2) {
        std::chrono::nanoseconds const bound{std::int64_t{1} << bit};
        while (Histogram::bound(bucket) <= bound) below += all.count(bucket++);
        sample(base + "_bucket", pool.labels + ",le=\"" + number(seconds(bound)) + '"',
               number(below));
      }
      sample(base + "_bucket", pool.labels + ",le=\"+Inf\"", number(all.count()));
      sample(base + "_sum", pool.labels, number(seconds(all.sum())));
      sample(base + "_count", pool.labels, number(all.count()));
    }
  }

  std::string take() { return std::move(text_); }

 private:
  void head(std::string_view name, std::string_view type, std::string_view help) {
    text_.append("# HELP ").append(name).append(" ").append(help).append("\n");
    text_.append("# TYPE ").append(name).append(" ").append(type).append("\n");
  }
  void sample(std::string_view name, std::string_view labels, std::string_view value) {
    text_.append(name).append("{").append(labels).append("} ").append(value).append("\n");
  }

  std::vector<Sampled> const& pools_;
  std::string text_;
};

// Names that differ may be written alike.
std::string written_name(ProcessPool const& pool) { return os::one_line(pool.name()); }

std::vector<Sampled> sampled(std::vector<ProcessPool const*> const& pools) {
  std::set<std::string> taken;
  for (ProcessPool const* const pool : pools) {
    if (pool == nullptr) {
      throw std::invalid_argument("procpool: prometheus_text() was given a null pointer");
    }
    taken.insert(written_name(*pool));
  }
  std::vector<Sampled> all;
  std::map<std::string, int> named;
  for (ProcessPool const* const pool : pools) {
    std::string const own = written_name(*pool);
    std::string name = own;
    int& times = named[own];
    // A name with a number may be another pool's own.
    if (++times != 1) {
      while (!taken.insert(name = own + "#" + std::to_string(times)).second) ++times;
    }
    all.push_back({"pool=" + os::quoted(name), pool->stats(), pool->worker_stats()});
  }
  return all;
}

}  // namespace

std::string prometheus_text(std::vector<ProcessPool const*> const& pools) {
  auto const all = sampled(pools);
  Text text(all);
  auto const counter = [&text](std::string_view name, std::string_view help, auto member) {
    text.metric(name, "counter", help, member);
  };
  auto const gauge = [&text](std::string_view name, std::string_view help, auto member) {
    text.metric(name, "gauge", help, member);
  };
  counter("procpool_elements_submitted_total", "Elements that were accepted.", &Stats::submitted);
  counter("procpool_elements_done_total", "Elements that have ended, in whatever way.",
          &Stats::done);
  gauge("procpool_elements_queued", "Elements that were accepted and have not begun.",
        &Stats::queued);
  gauge("procpool_elements_running", "Elements that run.", &Stats::running);
  counter("procpool_messages_total", "Messages to workers, with one chunk or several short ones.",
          &Stats::records);
  counter("procpool_retries_total", "Attempts that failed and were followed by another.",
          &Stats::retries);
  gauge("procpool_workers", "Workers that are ready.", &Stats::workers);
  counter("procpool_worker_starts_total", "Workers that were started, replacements included.",
          &Stats::worker_starts);
  counter("procpool_worker_deaths_total", "Ends of workers that the pool had not asked for.",
          &Stats::worker_deaths);
  counter("procpool_failed_starts_total", "Workers that ended before their first element.",
          &Stats::failed_starts);
  counter("procpool_workers_timed_out_total",
          "Workers that were ended because an element exceeded its timeout.",
          &Stats::workers_timed_out);
  counter("procpool_workers_cancelled_total",
          "Workers that were ended because a running element was cancelled.",
          &Stats::workers_cancelled);
  counter("procpool_workers_recycled_total",
          "Workers that were replaced by max_tasks, recycle_above or recycle_after.",
          &Stats::workers_recycled);
  counter("procpool_workers_left_idle_total", "Workers that left by idle_timeout.",
          &Stats::workers_left_idle);
  counter("procpool_workers_resized_total", "Workers that left by resize.",
          &Stats::workers_resized);
  gauge("procpool_actors", "Actors that have a process, or get one.", &Stats::actors);
  counter("procpool_actor_restarts_total", "Processes that followed another one of their actor.",
          &Stats::actor_restarts);
  text.histogram("procpool_element_wait_seconds",
                 "Time of elements in the queue; of many short calls a sample.", &Stats::waited);
  text.histogram("procpool_element_run_seconds", "Time that elements ran.", &Stats::ran);
  text.of_workers("procpool_worker_elements_total", "counter",
                  "Elements that ended at this place, in whatever way.",
                  [](WorkerStats const& worker) { return worker.done; });
  text.of_workers("procpool_worker_busy_seconds_total", "counter",
                  "Time that elements ran at this place.",
                  [](WorkerStats const& worker) { return seconds(worker.busy); });
  text.of_workers("procpool_worker_process_starts_total", "counter",
                  "Workers that were started at this place.",
                  [](WorkerStats const& worker) { return worker.starts; });
  text.of_workers("procpool_worker_up", "gauge", "1 if there is a worker at this place.",
                  [](WorkerStats const& worker) { return worker.pid == 0 ? 0 : 1; });
  return text.take();
}

std::string prometheus_text(ProcessPool const& pool) {
  return prometheus_text(std::vector<ProcessPool const*>{&pool});
}

}  // namespace procpool::inline v0_1
