#pragma once

// The worker of a trial: a real process with the channel's real end, which runs the elements of a scenario
// and notes in the diary what it does. It dies where the diary says, and else leaves as a worker does.

#include <sys/prctl.h>
#include <unistd.h>

#include <cstring>
#include <utility>
#include <vector>

#include <procpool/detail/engine/run.hpp>

#include "channel/worker_end_body.hpp"
#include "scenario.hpp"

namespace procpool::steps {

// The argument of an element begins with its number, its result with this.
constexpr std::uint64_t answer_of(std::uint64_t element) { return 7 * element + 3; }

class WorkerProcess {
 public:
  using End = channel::BasicWorkerEnd<Told>;
  using Run = detail::BasicRun<Told>;

  WorkerProcess(End& end, EventLog& event_log, Scenario const& scenario)
      : end_(end), event_log_(event_log), scenario_(scenario) {}

  void loop() {
    while (end_.wait()) {
      channel::InboxKind const kind = end_.header().kind;
      bool const chunk = kind == channel::InboxKind::chunk || kind == channel::InboxKind::hook;
      end_.finish_frame(chunk && !run_chunk());
    }
  }

 private:
  bool run_chunk() {
    channel::InboxHeader const chunk = end_.header();
    for (std::uint64_t i = 0; i < chunk.count; ++i) {
      if (scenario_.block != 0 && chunk.kind == channel::InboxKind::chunk) {
        if (!run_all(chunk, i)) return false;
        if (i == chunk.count) break;
      }
      std::uint64_t const serial = chunk.serial + i;
      std::uint64_t const element = chunk.element + i;
      if (!end_.begin(serial)) return false;
      bool const value = call(element, serial, i);
      if (scenario_.retires == element) end_.retire();
      answer(serial, element, value);
    }
    return true;
  }

  // As many as a run takes, and again. False: the rest was taken back.
  bool run_all(channel::InboxHeader const& chunk, std::uint64_t& i) {
    while (i < chunk.count) {
      detail::RunWords words{};
      detail::RunPlace place{};
      end_.begin_run(chunk.serial + i, scenario_.result, words, place);
      words.running = &running_;
      words.index = &index_;
      words.abandoned = &abandoned_;
      place.index = chunk.element + i;
      place.arguments = end_.payload().data() + i * scenario_.argument;
      place.argument_step = scenario_.argument;
      place.block = scenario_.block;
      // As many as the record has room for, whatever the clock says of them.
      std::uint64_t const most = channel::inline_limit(ring_bytes) / scenario_.result;
      std::uint64_t const rest = chunk.serial + chunk.count - place.serial;
      place.end =
          std::min({place.end + scenario_.block - 1, place.serial + rest, place.serial + most});
      Run run(words, place);
      bool thrown = false;
      while (!thrown && run.begin()) {
        std::uint64_t const element = index_.load();
        if (call(element, run.next(), element - chunk.element)) {
          std::memcpy(run.result(), result_.data(), scenario_.result);
          run.done();
          ++event_log_.ended.at(element);
        } else {
          thrown = true;
        }
      }
      bool const kept = end_.end_run(run);
      i = run.next() - chunk.serial;
      if (thrown) {
        answer(run.next(), chunk.element + i, false);
        ++i;
      }
      if (!kept) return false;
    }
    return true;
  }

  // The element's code. False: it throws.
  bool call(std::uint64_t element, std::uint64_t serial, std::uint64_t place) {
    ++event_log_.begun.at(element);
    enter(Stage::loading);
    std::uint64_t argument = 0;
    std::memcpy(&argument, end_.payload().data() + place * scenario_.argument, sizeof argument);
    if (argument != element) ++event_log_.wrong;
    enter(Stage::running);
    if (scenario_.listens) {
      end_.listen(serial);
      if (end_.asked_to_stop(serial)) ++event_log_.asked;
    }
    while (scenario_.overruns == element) ::pause();
    enter(Stage::saving);
    std::uint64_t const value = answer_of(element);
    result_.assign(scenario_.result, static_cast<std::byte>(element));
    std::memcpy(result_.data(), &value, sizeof value);
    return scenario_.throws != element;
  }

  void enter(Stage stage) {
    end_.stage().store(static_cast<std::uint32_t>(stage), std::memory_order_relaxed);
    Told::at(stage);
  }

  void answer(std::uint64_t serial, std::uint64_t element, bool value) {
    if (value) {
      end_.append_value(serial, result_, !scenario_.fixed);
    } else {
      end_.append_thrown(serial, result_);
    }
    ++event_log_.ended.at(element);
  }

  End& end_;
  EventLog& event_log_;
  Scenario const& scenario_;
  std::vector<std::byte> result_;
  std::atomic<std::uint64_t> running_{0};
  std::atomic<std::uint64_t> index_{0};
  std::atomic<bool> abandoned_{false};
};

// The life of such a process.
[[noreturn]] inline void live(EventLog& event_log, Scenario const& scenario, os::Memfd const& inbox,
                              os::Memfd const& outbox, os::Event const& event, int control,
                              os::Event const& about_to_stop) {
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);  // should the test be ended
  {
    WorkerProcess::End end(inbox, outbox, ring_bytes, os::Event(event.duplicate()),
                           os::UniqueFd(control));
    Told::arm(event_log, about_to_stop);
    WorkerProcess(end, event_log, scenario).loop();
    Told::disarm();
  }
  ::_exit(0);
}

}  // namespace procpool::steps
