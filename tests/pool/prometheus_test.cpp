// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// The histograms of stats(), and stats() as the text of Prometheus: read by a parser that knows the rules
// of the format, and compared with the counters.

#include <gtest/gtest.h>

#include <charconv>
#include <chrono>
#include <cstdint>
#include <limits>
#include <map>
#include <procpool.hpp>
#include <set>
#include <sstream>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "support/gate.hpp"
#include "support/tasks.hpp"

namespace prometheus_test {
namespace {

using namespace std::chrono_literals;
using support::wait_at;
using tasks::after;
using tasks::crash;
using tasks::fail;
using tasks::square;

struct Adder {
  int add(int x) { return sum += x; }
  int sum = 0;
};

using Labels = std::map<std::string, std::string>;

// One text, as a server reads it. Everything that the format forbids is an exception.
class Exposition {
 public:
  explicit Exposition(std::string const& text) {
    if (!text.ends_with('\n')) throw std::runtime_error("the last line has no end");
    std::istringstream lines(text);
    for (std::string line; std::getline(lines, line);) read(line);
  }

  double value(std::string const& name, Labels const& labels) const {
    auto const found = samples_.find({name, labels});
    if (found == samples_.end()) throw std::runtime_error("no sample of " + name);
    return found->second;
  }
  std::map<std::pair<std::string, Labels>, double> const& samples() const { return samples_; }
  std::string type(std::string const& name) const { return types_.at(name); }

 private:
  void read(std::string_view line) {
    if (line.starts_with("# HELP ")) return;
    if (line.starts_with("# TYPE ")) {
      std::istringstream words{std::string(line.substr(7))};
      std::string name;
      std::string type;
      words >> name >> type;
      if (!types_.emplace(name, type).second) throw std::runtime_error(name + " comes twice");
      current_ = name;
      return;
    }
    std::size_t const brace = line.find('{');
    std::string const name(line.substr(0, brace));
    std::string base = name;
    if (type(current_) == "histogram") {
      for (std::string_view const part : {"_bucket", "_sum", "_count"}) {
        if (base == current_ + std::string(part)) base = current_;
      }
    }
    if (base != current_) throw std::runtime_error(name + " is not behind its type");
    if (type(current_) == "counter" && !name.ends_with("_total")) {
      throw std::runtime_error("a counter is called " + name);
    }
    std::size_t at = brace + 1;
    Labels labels;
    while (line.at(at) != '}') {
      std::size_t const equals = line.find('=', at);
      std::string const label(line.substr(at, equals - at));
      if (line.at(equals + 1) != '"') throw std::runtime_error("a label without quotation marks");
      std::string text;
      for (at = equals + 2; line.at(at) != '"'; ++at) {
        if (line.at(at) == '\\') {
          char const escaped = line.at(++at);
          if (escaped != '\\' && escaped != '"' && escaped != 'n') {
            throw std::runtime_error("a backslash before something else");
          }
          text += escaped == 'n' ? '\n' : escaped;
        } else {
          text += line.at(at);
        }
      }
      if (!labels.emplace(label, text).second) throw std::runtime_error("a label comes twice");
      if (line.at(++at) == ',') ++at;
    }
    std::string_view const number = line.substr(at + 2);
    double value = 0;
    auto const [end, error] = std::from_chars(number.data(), number.data() + number.size(), value);
    if (line.at(at + 1) != ' ' || error != std::errc() || end != number.data() + number.size()) {
      throw std::runtime_error("no number: " + std::string(line));
    }
    if (!samples_.emplace(std::pair(name, labels), value).second) {
      throw std::runtime_error("a sample comes twice: " + std::string(line));
    }
  }

  std::map<std::string, std::string> types_;
  std::string current_;
  std::map<std::pair<std::string, Labels>, double> samples_;
};

TEST(Histograms, SayHowLongElementsWaitedAndRan) {
  procpool::ProcessPool pool{1};
  pool.start().get();
  support::Gate gate;
  auto first = pool.submit<wait_at>(gate.path());
  std::vector<procpool::Future<int>> behind;
  for (int i = 0; i < 9; ++i) behind.push_back(pool.submit<square>(i));
  EXPECT_EQ(pool.stats().ran.count(), 0u);
  auto const begin = std::chrono::steady_clock::now();
  tasks::sleep_ms(20);  // so long at least, whatever the machine does
  auto const held = std::chrono::steady_clock::now() - begin;
  gate.open();
  first.get();
  for (auto& future : behind) future.get();
  auto const stats = pool.stats();
  EXPECT_EQ(stats.ran.count(), 10u);
  EXPECT_EQ(stats.waited.count(), 10u);
  // A tenth of them ran long, and the others waited for it.
  EXPECT_GE(stats.ran.quantile(1), held * 4 / 5);
  EXPECT_LT(stats.ran.quantile(0.5), stats.ran.quantile(1));
  EXPECT_GE(stats.waited.quantile(0.2), held * 4 / 5);
  EXPECT_GE(stats.waited.sum(), 9 * held);
  // What a worker never answered is not among them.
  EXPECT_THROW(pool.call<crash>(1), procpool::WorkerDied);
  EXPECT_THROW(pool.call<fail>(1), std::out_of_range);
  EXPECT_EQ(pool.stats().ran.count(), 11u);
  EXPECT_EQ(pool.stats().done, 12u);
}

TEST(Histograms, HaveEachElementOfAMapAndASampleOfManyCalls) {
  procpool::ProcessPool pool{2};
  pool.map<square>(tasks::numbers(20'000));
  EXPECT_EQ(pool.stats().ran.count(), 20'000u);
  EXPECT_EQ(pool.stats().waited.count(), 20'000u);
  constexpr std::uint64_t calls = 12'000;
  std::vector<procpool::Future<int>> futures;
  for (std::uint64_t i = 0; i < calls; ++i) futures.push_back(pool.submit<square>(2));
  for (auto& future : futures) future.get();
  EXPECT_EQ(pool.stats().ran.count(), 20'000u + calls);
  EXPECT_NEAR(static_cast<double>(pool.stats().waited.count()), 20'000.0 + calls, calls / 100.0);
}

TEST(Histograms, HaveActorsAndPoolsInThisProcess) {
  procpool::ProcessPool pool{1};
  auto actor = pool.actor<Adder>();
  EXPECT_EQ(actor.call<&Adder::add>(3).get(), 3);
  EXPECT_EQ(pool.stats().ran.count(), 1u);
  EXPECT_EQ(pool.stats().waited.count(), 1u);
  procpool::ProcessPool here{{.start = {.method = procpool::Start::in_process}}};
  here.map<after>(std::vector{2, 2, 2});
  EXPECT_EQ(here.stats().ran.count(), 3u);
  EXPECT_GE(here.stats().ran.sum(), 6ms);
  EXPECT_GE(here.stats().waited.sum(), 6ms);  // two of them behind others
}

TEST(Prometheus, HasEachCounter) {
  procpool::ProcessPool pool{{.workers = 2, .name = "images"}};
  pool.map<square>(tasks::numbers(1'000));
  EXPECT_THROW(pool.call<crash>(1), procpool::WorkerDied);
  procpool::CallOptions once_more;
  once_more.retries = {.times = 1, .also_on = procpool::thrown<std::out_of_range>()};
  EXPECT_THROW(pool.with(once_more).call<fail>(1), std::out_of_range);
  pool.join();
  auto const stats = pool.stats();
  Exposition const text(procpool::prometheus_text(pool));
  Labels const labels{{"pool", "images"}};
  auto const is = [&](std::string const& name, std::uint64_t value) {
    EXPECT_EQ(text.value("procpool_" + name, labels), static_cast<double>(value)) << name;
  };
  is("elements_submitted_total", 1'002);
  is("elements_done_total", 1'002);
  is("elements_queued", 0);
  is("elements_running", 0);
  is("messages_total", stats.records);
  is("retries_total", 1);
  is("workers", 0);
  is("worker_starts_total", stats.worker_starts);
  is("worker_deaths_total", 1);
  is("failed_starts_total", stats.failed_starts);
  is("workers_timed_out_total", 0);
  is("workers_cancelled_total", 0);
  is("workers_recycled_total", 0);
  is("workers_left_idle_total", 0);
  is("workers_resized_total", 0);
  is("actors", 0);
  is("actor_restarts_total", 0);
  for (std::string const worker : {"0", "1"}) {
    auto const of_worker = pool.worker_stats().at(worker == "1");
    Labels const both{{"pool", "images"}, {"worker", worker}};
    EXPECT_EQ(text.value("procpool_worker_elements_total", both),
              static_cast<double>(of_worker.done));
    EXPECT_EQ(text.value("procpool_worker_process_starts_total", both),
              static_cast<double>(of_worker.starts));
    EXPECT_EQ(text.value("procpool_worker_busy_seconds_total", both),
              std::chrono::duration<double>(of_worker.busy).count());
    EXPECT_EQ(text.value("procpool_worker_up", both), 0);
  }
}

TEST(Prometheus, HasHistogramsThatAddUp) {
  procpool::ProcessPool pool{{.workers = 1, .name = "slow"}};
  pool.map<after>(std::vector{0, 3, 9});
  auto const ran = pool.stats().ran;
  Exposition const text(procpool::prometheus_text(pool));
  for (std::string const name : {"procpool_element_run_seconds", "procpool_element_wait_seconds"}) {
    EXPECT_EQ(text.type(name), "histogram");
    double before = 0;
    double last_bound = 0;
    std::map<double, double> buckets;
    for (auto const& [sample, value] : text.samples()) {
      if (sample.first != name + "_bucket") continue;
      std::string const bound = sample.second.at("le");
      buckets[bound == "+Inf" ? std::numeric_limits<double>::infinity() : std::stod(bound)] = value;
    }
    EXPECT_EQ(buckets.size(), 17u);
    for (auto const& [bound, value] : buckets) {
      EXPECT_GE(value, before) << bound;
      EXPECT_GT(bound, last_bound);
      before = value;
      last_bound = bound;
    }
    EXPECT_EQ(before, 3);
    EXPECT_EQ(text.value(name + "_count", {{"pool", "slow"}}), 3);
  }
  EXPECT_EQ(text.value("procpool_element_run_seconds_sum", {{"pool", "slow"}}),
            std::chrono::duration<double>(ran.sum()).count());
  // 3 ms and 9 ms are longer than 2^20 ns.
  EXPECT_LE(
      text.value("procpool_element_run_seconds_bucket", {{"pool", "slow"}, {"le", "0.001048576"}}),
      1);
}

TEST(Prometheus, EscapesNamesAndTellsPoolsApart) {
  procpool::ProcessPool odd{{.workers = 1, .name = "a \"b\" \\ \xc3\xbc \xff"}};
  procpool::ProcessPool one{{.workers = 1, .name = "same"}};
  procpool::ProcessPool other{{.workers = 1, .name = "same"}};
  other.call<square>(2);
  Exposition const text(procpool::prometheus_text({&odd, &one, &other}));
  std::string const done = "procpool_elements_done_total";
  EXPECT_EQ(text.value(done, {{"pool", "a \"b\" \\ \xc3\xbc ?"}}), 0);
  EXPECT_EQ(text.value(done, {{"pool", "same"}}), 0);
  EXPECT_EQ(text.value(done, {{"pool", "same#2"}}), 1);
  EXPECT_THROW(static_cast<void>(procpool::prometheus_text({&one, nullptr})),
               std::invalid_argument);
  EXPECT_NO_THROW(
      Exposition(procpool::prometheus_text(std::vector<procpool::ProcessPool const*>{})));
}

TEST(Prometheus, TellsPoolsApartByWhatIsWritten) {
  auto const labels_of = [](std::vector<std::string> const& names) {
    std::vector<procpool::ProcessPool> pools;
    for (std::string const& name : names)
      pools.emplace_back(procpool::PoolOptions{.workers = 1, .name = name});
    std::vector<procpool::ProcessPool const*> all;
    for (auto const& pool : pools) all.push_back(&pool);
    Exposition const text(procpool::prometheus_text(all));  // no sample comes twice
    std::set<std::string> labels;
    for (auto const& [sample, value] : text.samples()) labels.insert(sample.second.at("pool"));
    return labels;
  };
  using Names = std::set<std::string>;
  EXPECT_EQ(labels_of({"a", "a#2", "a"}), (Names{"a", "a#2", "a#3"}));
  EXPECT_EQ(labels_of({"a", "a", "a#2", "a#2", "a"}), (Names{"a", "a#3", "a#2", "a#2#2", "a#4"}));
  EXPECT_EQ(labels_of({"b\xff", "b\xfe"}), (Names{"b?", "b?#2"}));
  EXPECT_EQ(labels_of({"b?#2", "b\xff", "b?"}), (Names{"b?#2", "b?", "b?#3"}));
}

}  // namespace
}  // namespace prometheus_test
