// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#include "support/observed.hpp"  // first

#include "worker_process.hpp"

#include <sys/prctl.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstring>
#include <utility>
#include <vector>

#include <procpool/detail/engine/run.hpp>
#include <procpool/detail/handle/shared_memory.hpp>

#include "channel/worker_end.hpp"

namespace procpool::steps {
namespace {

class TrialWorker {
 public:
  using End = channel::WorkerEnd;
  using Run = detail::Run;

  TrialWorker(End& end, EventLog& event_log, Scenario const& scenario)
      : end_(end), event_log_(event_log), scenario_(scenario) {
    if (scenario.names_memory) named_.push_back(detail::SharedMemory::create(1, 64));
  }

  void loop() {
    while (end_.wait()) {
      channel::InboxKind const kind = end_.header().kind;
      bool const chunk =
          kind == channel::InboxKind::chunk || kind == channel::InboxKind::internal_chunk;
      if (chunk) run_chunk();
      end_.finish_frame();
    }
  }

 private:
  // As the worker does: in runs of fixed size, or element by element. Up to what was revoked.
  void run_chunk() {
    channel::InboxHeader const& chunk = end_.header();
    std::uint64_t const end = chunk.serial + chunk.count;
    bool const fixed = scenario_.block != 0 && chunk.kind == channel::InboxKind::chunk;
    for (std::uint64_t serial = chunk.serial; serial < end;) {
      Run run = end_.start_run(serial, fixed ? chunk.count : 1, task_words_);
      bool const thrown = fixed ? !run_fixed(run) : !run_one(run);
      if (thrown) {
        std::uint64_t const element = element_of(run);
        end_.append_thrown(run, result_);
        ++event_log_.ended.at(element);
      }
      serial = run.next();
      if (!end_.end_run(run)) return;
    }
  }

  // False: the next element has thrown.
  bool run_fixed(Run& run) {
    std::uint64_t const end = run.elements().end;
    end_.reserve(run, scenario_.result);
    run.elements().claimed_at_once = scenario_.block;
    // As many as the frame has room for, regardless of the clock.
    std::uint64_t const most = channel::inline_limit(ring_bytes) / scenario_.result;
    run.elements().end =
        std::min({run.elements().end + scenario_.block - 1, end, run.next() + most});
    while (run.begin()) {
      std::uint64_t const element = element_of(run);
      if (!call(element, run.next())) return false;
      std::memcpy(run.result(), result_.data(), scenario_.result);
      run.done();
      ++event_log_.ended.at(element);
    }
    return true;
  }

  bool run_one(Run& run) {
    if (!run.begin()) return true;
    std::uint64_t const element = element_of(run);
    bool const value = call(element, run.next());
    if (scenario_.retires == element) end_.retire();
    if (!value) return false;
    end_.append_value(run, result_, !scenario_.fixed, named_);
    ++event_log_.ended.at(element);
    return true;
  }

  std::uint64_t element_of(Run const& run) const {
    return end_.header().element + (run.next() - end_.header().serial);
  }

  // The element's code. False: it throws.
  bool call(std::uint64_t element, std::uint64_t serial) {
    std::uint64_t const place = serial - end_.header().serial;
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
    Logger::at(stage);
  }

  End& end_;
  EventLog& event_log_;
  Scenario const& scenario_;
  std::vector<std::byte> result_;
  detail::Resource::List named_;
  std::atomic<std::uint64_t> running_{0};
  std::atomic<std::uint64_t> index_{0};
  std::atomic<bool> abandoned_{false};
  detail::RunWords const task_words_{nullptr, nullptr, nullptr, &running_, &index_, &abandoned_};
};

}  // namespace

void live(EventLog& event_log, Scenario const& scenario, os::Memfd const& inbox,
          os::Memfd const& outbox, os::Event const& event, int control,
          os::Event const& about_to_stop) {
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);  // if the test is ended
  {
    TrialWorker::End end(inbox, outbox, ring_bytes, os::Event(event.duplicate()),
                         os::UniqueFd(control));
    Logger::arm(event_log, about_to_stop);
    TrialWorker(end, event_log, scenario).loop();
    Logger::disarm();
  }
  ::_exit(0);
}

}  // namespace procpool::steps
