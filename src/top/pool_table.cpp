// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#include "top/pool_table.hpp"

#include <algorithm>
#include <array>
#include <cstdio>
#include <utility>

#include "os/text.hpp"

namespace procpool::inline v0_1::top {
namespace {

using protocol::LiveView;
using protocol::LiveWorker;

std::string one_digit(double value) {
  std::array<char, 64> text{};
  std::snprintf(text.data(), text.size(), "%.1f", value);
  return text.data();
}

std::string memory_text(std::uint64_t bytes) {
  constexpr double step = 1024;
  constexpr std::array units{"K", "M", "G", "T"};
  double value = static_cast<double>(bytes) / step;
  std::size_t unit = 0;
  for (; value >= step && unit + 1 < units.size(); ++unit) value /= step;
  return one_digit(value) + units.at(unit);
}

std::string right(std::string text, std::size_t width) {
  if (text.size() < width) text.insert(0, width - text.size(), ' ');
  return text;
}

constexpr std::size_t place_width = 5;
constexpr std::size_t pid_width = 9;
constexpr std::size_t cpu_width = 7;
constexpr std::size_t memory_width = 9;
constexpr std::size_t done_width = 13;
constexpr std::size_t rate_width = 11;
constexpr std::size_t starts_width = 8;

std::string columns_of(std::array<std::string, 7> const& texts) {
  constexpr std::array widths{place_width, pid_width,  cpu_width,   memory_width,
                              done_width,  rate_width, starts_width};
  std::string line;
  for (std::size_t i = 0; i < texts.size(); ++i) line += right(texts.at(i), widths.at(i));
  return line + "  ";
}

}  // namespace

std::string duration_text(std::chrono::nanoseconds time) {
  struct Unit {
    double length;
    char const* name;
  };
  constexpr std::array units{Unit{1e9 * 3600, " h"}, Unit{1e9 * 60, " min"}, Unit{1e9, " s"},
                             Unit{1e6, " ms"},       Unit{1e3, " us"},       Unit{1, " ns"}};
  auto const length = static_cast<double>(time.count());
  for (Unit const& unit : units) {
    if (length >= unit.length) return one_digit(length / unit.length) + unit.name;
  }
  return "0 s";
}

std::string number_text(std::uint64_t number) {
  std::string text = std::to_string(number);
  for (std::size_t at = text.size(); at > 3;) text.insert(at -= 3, 1, ',');
  return text;
}

void PoolTable::update(LiveView view, Usages usages) {
  std::map<Element, std::uint64_t> seen;
  for (LiveWorker const& worker : view.workers) {
    if (!worker.runs) continue;
    Element const element{worker.place, worker.pid, worker.task, worker.element};
    auto const known = seen_.find(element);
    seen.emplace(element, known == seen_.end() ? view.time : known->second);
  }
  seen_ = std::move(seen);
  before_ = std::move(now_);
  now_ = Moment{std::move(view), std::move(usages)};
}

std::chrono::nanoseconds PoolTable::passed() const {
  if (!before_ || now_->view.time <= before_->view.time) return {};
  return std::chrono::nanoseconds(now_->view.time - before_->view.time);
}

std::string PoolTable::rate(std::uint64_t now, std::uint64_t before) const {
  std::chrono::duration<double> const time = passed();
  if (time.count() <= 0 || now < before) return "";
  return number_text(static_cast<std::uint64_t>(static_cast<double>(now - before) / time.count()));
}

std::string PoolTable::work_of(LiveWorker const& worker) const {
  if (worker.pid == 0)
    return worker.last_end.empty() ? "no worker" : "no worker: " + worker.last_end;
  if (!worker.runs) return "idle";
  std::string text = worker.label.empty() ? "" : '"' + worker.label + "\": ";
  text += "element " + number_text(worker.element) + " of call " + std::to_string(worker.task);
  auto const since = seen_.find({worker.place, worker.pid, worker.task, worker.element});
  if (since != seen_.end() && since->second < now_->view.time) {
    text += ", for " + duration_text(std::chrono::nanoseconds(now_->view.time - since->second));
  }
  if (worker.all_steps) {
    text += ", " + number_text(worker.steps) + " of " + number_text(*worker.all_steps);
  } else if (worker.steps != 0) {
    text += ", " + number_text(worker.steps) + " steps";
  }
  return text;
}

std::string PoolTable::line_of(LiveWorker const& worker) const {
  std::string cpu;
  std::string memory;
  std::string elements;
  if (auto const usage = now_->usages.find(worker.pid); usage != now_->usages.end()) {
    memory = memory_text(usage->second.resident);
    if (passed().count() > 0) {
      auto const before = before_->usages.find(worker.pid);
      if (before != before_->usages.end()) {
        auto const used = usage->second.processor - before->second.processor;
        cpu = one_digit(100.0 * static_cast<double>(used.count()) /
                        static_cast<double>(passed().count()));
      }
    }
  }
  if (before_) {
    auto const before = std::ranges::find(before_->view.workers, worker.place, &LiveWorker::place);
    if (before != before_->view.workers.end()) elements = rate(worker.done, before->done);
  }
  return columns_of({std::to_string(worker.place),
                     worker.pid == 0 ? "-" : std::to_string(worker.pid), cpu, memory,
                     number_text(worker.done), elements, number_text(worker.starts)}) +
         work_of(worker);
}

std::vector<std::string> PoolTable::lines() const {
  if (!now_) return {};
  LiveView const& view = now_->view;
  std::string head = "pool \"" + view.pool + "\"  " + number_text(view.ready) + " of " +
                     number_text(view.wanted) + " workers  queued " + number_text(view.queued) +
                     "  running " + number_text(view.running) + "  done " + number_text(view.done);
  if (before_) head += "  " + rate(view.done, before_->view.done) + "/s";
  auto const times = [](std::uint64_t mean, std::uint64_t most) {
    return duration_text(std::chrono::nanoseconds(mean)) +
           " (99 %: " + duration_text(std::chrono::nanoseconds(most)) + ')';
  };
  std::string counts = "  started " + number_text(view.starts) + "  died " +
                       number_text(view.deaths) + "  failed starts " +
                       number_text(view.failed_starts) + "  retries " + number_text(view.retries);
  if (view.ran_mean != 0 || view.waited_mean != 0) {
    counts += "  waited " + times(view.waited_mean, view.waited_most) + "  ran " +
              times(view.ran_mean, view.ran_most);
  }
  std::vector<std::string> lines{
      std::move(head), std::move(counts),
      columns_of({"PLACE", "PID", "CPU %", "MEMORY", "DONE", "PER S", "STARTS"}) + "NOW"};
  for (LiveWorker const& worker : view.workers) lines.push_back(line_of(worker));
  for (std::string& line : lines) line = os::one_line(line);
  return lines;
}

}  // namespace procpool::inline v0_1::top
