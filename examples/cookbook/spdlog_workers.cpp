// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// spdlog in a program and in its workers. What a worker logs, by code that knows nothing of pools,
// comes out of the program's own logger, also the line just before a crash.

#include <spdlog/sinks/base_sink.h>
#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <csignal>
#include <memory>
#include <mutex>
#include <procpool.hpp>
#include <ranges>

namespace {

// The levels have the same order. spdlog has `critical` above ours.
procpool::LogLevel to_pool(spdlog::level::level_enum level) {
  return static_cast<procpool::LogLevel>(std::min(level, spdlog::level::err));
}
spdlog::level::level_enum to_spdlog(procpool::LogLevel level) {
  return static_cast<spdlog::level::level_enum>(level);
}

// In a worker: sends lines to the program.
class PoolSink final : public spdlog::sinks::base_sink<std::mutex> {
  void sink_it_(spdlog::details::log_msg const& message) override {
    procpool::log(to_pool(message.level), {message.payload.data(), message.payload.size()});
  }
  void flush_() override {}
};

void use_pool_sink() {
  spdlog::set_default_logger(std::make_shared<spdlog::logger>("", std::make_shared<PoolSink>()));
}

// Code that logs as it always has.
void import_record(int number) {
  spdlog::info("record {} is imported", number);
  if (number == 2) {
    spdlog::critical("record {} has no end", number);
    std::raise(SIGSEGV);
  }
}

// In the program.
void log_event(procpool::Event const& event) {
  if (event.kind == procpool::EventKind::task_logged) {
    spdlog::log(to_spdlog(*event.level), "{}/{}: {}", event.label, *event.element, event.text);
  } else if (event.kind == procpool::EventKind::worker_died) {
    spdlog::error("{}/{}: the worker died", event.label, *event.element);
  }
}

}  // namespace

int main() {
  spdlog::set_default_logger(spdlog::stdout_logger_mt("program"));
  spdlog::set_pattern("%l: %v");

  procpool::PoolOptions options;
  options.workers = 1;  // so that the lines of this program have one order
  options.start.initializer = procpool::bound<use_pool_sink>();
  options.on_event = log_event;
  options.log = [](std::string_view) {};  // the events have it all
  procpool::ProcessPool pool{options};

  int imported = 0;
  auto const records = std::views::iota(0, 5);
  for (auto const& done : pool.with({.label = "import"}).outcomes().map<import_record>(records)) {
    imported += done ? 1 : 0;
  }
  pool.join();
  spdlog::info("{} records are imported", imported);
}
