// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#include "trial.hpp"

#include <fcntl.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/wait.h>

#include <array>
#include <cstring>
#include <stdexcept>

#include <procpool/detail/handle/share.hpp>

#include "os/process.hpp"
#include "os/socket.hpp"
#include "worker_process.hpp"

namespace procpool::steps {
namespace {

using Clock = std::chrono::steady_clock;
using channel::ParentEnd;
using detail::OutcomeBlock;

constexpr std::chrono::seconds hard_limit{20};
// Of an element that overruns. The parent looks twice as often.
constexpr std::chrono::milliseconds deadline{2};

void nothing(detail::Operation&) {}

channel::OutboxWords const& words_of(os::RingMapping const& outbox) {
  return *reinterpret_cast<channel::OutboxWords const*>(outbox.control());
}

}  // namespace

Trial::Trial(Plan const& plan)
    : plan_(plan), scenario_(plan.scenario), event_log_(EventLog::make()) {
  event_log_->die = plan.die;
  event_log_->stop = plan.stop;
  event_log_->die_later = plan.die_later;
  make_work();
  start();
}

Trial::~Trial() {
  if (!gone_) {
    os::send_signal(pidfd_.get(), SIGKILL);
    ::waitpid(pid_, nullptr, 0);
  }
  ::munmap(event_log_, sizeof(EventLog));
}

void Trial::make_work() {
  auto const function = [this] {
    detail::Function made;
    made.code = nothing;
    made.argument_size = scenario_.argument;
    made.result_size = scenario_.fixed ? scenario_.result : 0;
    return made;
  };
  static detail::TaskControl const limited{.timeout = std::chrono::hours(1)};
  detail::TaskOptions options;
  if (scenario_.apart) options.control = &limited;
  task_ = std::make_shared<detail::Task>(function(), options);
  detail::Resource::List shares;
  for (std::size_t const bytes : scenario_.shares) {
    shares.push_back(detail::Share::create(detail::Bytes(bytes), {}, typeid(int)));
  }
  auto const add = [&](std::shared_ptr<detail::Task> const& task, std::uint64_t count) {
    detail::Bytes arguments(count * scenario_.argument);
    for (std::uint64_t i = 0; i < count; ++i) {
      std::uint64_t const element = elements_ + i;
      std::memcpy(arguments.data() + i * scenario_.argument, &element, sizeof element);
    }
    auto input = std::make_shared<parent::SharedInput>(
        detail::InputBuffer{elements_, count, std::move(arguments), {}, shares},
        scenario_.argument);
    waiting_.push_back({task, std::move(input), elements_, count});
    elements_ += count;
  };
  for (std::uint64_t const count : scenario_.chunks) add(task_, count);
  if (plan_.act == Act::put_more || plan_.act == Act::put_and_ask_to_leave) {
    add(task_, 1);
    more_ = std::move(waiting_.back());
    waiting_.pop_back();
  }
  if (scenario_.internal) {
    detail::TaskOptions internal;
    internal.internal = true;
    internal_ = std::make_shared<detail::Task>(function(), internal);
    add(internal_, 1);
  }
  states_.resize(elements_, State::waiting);
}

void Trial::start() {
  auto [ours, theirs] = os::socket_pair();
  auto end = std::make_unique<ParentEnd>(ring_bytes);
  outbox_.emplace(end->outbox(), channel::outbox_control_bytes, ring_bytes, os::Access::read_only);
  pid_ = ::fork();
  if (pid_ < 0) throw std::runtime_error("no process to be had");
  if (pid_ == 0) {
    ours.reset();
    live(*event_log_, scenario_, end->inbox(), end->outbox(), event_, theirs.release(),
         about_to_stop_);
  }
  pidfd_ = os::open_pidfd(pid_);
  end->forget_memory();
  slot_.open(std::move(end), std::move(ours), pid_);
}

void Trial::run() {
  put_what_can_be();
  auto const limit = Clock::now() + hard_limit;
  while (wrong_.empty()) {
    if (!leaving_ && all_ended()) {
      leaving_ = true;
      slot_.ask_to_leave();
    }
    if (scenario_.parent == Scenario::Parent::is_late) {
      wait_late(limit);
    } else {
      wait_for_input();
    }
    if (!wrong_.empty() || !look_at_worker()) break;
    collect();
    watch_deadline();
    if (Clock::now() > limit) {
      if (scenario_.overruns) wrong("blocked: the element that overruns is not ended");
      if (put_again_) wrong("blocked: there is no room");
    }
  }
  if (wrong_.empty()) reap();
  if (wrong_.empty()) judge();
}

// ---- the parent

void Trial::put_what_can_be() {
  put_again_ = false;
  while (!waiting_.empty() && !leaving_ && !slot_.marked_for_kill()) {
    Chunk& chunk = waiting_.front();
    bool const internal = chunk.task == internal_;
    if (let_go_ && !internal) {  // it begins nothing more
      waiting_.pop_front();
      continue;
    }
    bool others = false;
    for (State const state : states_) others |= state == State::given;
    if (others && (scenario_.one_by_one || internal)) return;
    std::uint64_t const first = chunk.first;
    std::uint64_t const end = first + chunk.count;
    Slot::Put const put = slot_.put(chunk);
    if (put != Slot::Put::sent) {
      // An outcome makes room, or its death is on the way. A worker that owes none notifies of no room.
      put_again_ = put == Slot::Put::full && !others;
      return;
    }
    for (std::uint64_t element = first; element < end; ++element) {
      State& state = states_.at(element);
      if (state != State::waiting) wrong("given though it was not waiting");
      state = State::given;
    }
    waiting_.pop_front();
  }
}

void Trial::wait_for_input() {
  std::uint32_t const number = ++sleeps_;
  bool news = false;
  if (scenario_.parent == Scenario::Parent::short_polls) {
    news = slot_.begin_short_poll(number);
  } else {
    slot_.park(number);
    news = slot_.news();
  }
  if (!news) {
    std::array<pollfd, 3> watched{
        {{event_.fd(), POLLIN, 0}, {about_to_stop_.fd(), POLLIN, 0}, {pidfd_.get(), POLLIN, 0}}};
    // A deadline is no notification.
    constexpr std::chrono::milliseconds soon{2};
    auto const limit = put_again_           ? soon
                       : scenario_.overruns ? deadline / 2
                                            : std::chrono::milliseconds(hard_limit);
    int const rung = ::poll(watched.data(), watched.size(), static_cast<int>(limit.count()));
    if (rung == 0 && put_again_) {
      put_what_can_be();
    } else if (rung == 0 && !scenario_.overruns) {
      wrong("blocked: no notification");
    }
  }
  slot_.unpark();
  event_.drain();
}

// The parent that does not look before the worker sleeps, dies or stops.
void Trial::wait_late(Clock::time_point limit) {
  auto const told = [this] {
    constexpr timespec briefly{0, 50'000};
    std::array<pollfd, 2> watched{{{about_to_stop_.fd(), POLLIN, 0}, {pidfd_.get(), POLLIN, 0}}};
    return ::ppoll(watched.data(), watched.size(), &briefly, nullptr) != 0;
  };
  while (words_of(*outbox_).parked.load() == 0) {
    if (told()) return;
    if (Clock::now() > limit) {
      wrong("blocked: the worker neither sleeps nor ends");
      return;
    }
  }
  // The reason of its sleep is collected now. The parent waits until the sleep has ended.
  std::uint32_t const sleep = words_of(*outbox_).parked.load();
  collect();
  if (!leaving_ && all_ended()) {
    leaving_ = true;
    slot_.ask_to_leave();
  }
  while (sleep != 0 && words_of(*outbox_).parked.load() == sleep) {
    if (told()) return;
    if (Clock::now() > limit) {
      wrong("blocked: the worker sleeps on");
      return;
    }
  }
}

bool Trial::look_at_worker() {
  if (about_to_stop_.drain() != 0) {
    if (::waitpid(pid_, &status_, WUNTRACED) != pid_) throw std::runtime_error("waitpid");
    if (!WIFSTOPPED(status_)) {
      gone_ = true;
      return false;
    }
    stopped_at_ = event_log_->last;
    steps_then_ = event_log_->steps;
    act();
    os::send_signal(pidfd_.get(), SIGCONT);
  }
  if (!os::exited(pidfd_.get())) return true;
  ::waitpid(pid_, &status_, 0);
  gone_ = true;
  return false;
}

// ---- the act while the worker is stopped

void Trial::act() {
  switch (plan_.act) {
    case Act::nothing: break;
    case Act::revoke_all: revoke(max_elements, false); break;
    case Act::revoke_one: revoke(1, false); break;
    case Act::revoke_again: revoke(max_elements, true); break;
    case Act::put_more:
      waiting_.push_front(std::move(*more_));
      put_what_can_be();
      break;
    case Act::cancel: cancel(); break;
    case Act::ask_to_stop:
      if (auto const running = slot_.running()) {
        asked_ = slot_.ask_to_stop(running->serial);
      }
      break;
    case Act::put_and_ask_to_leave:
      waiting_.push_front(std::move(*more_));
      put_what_can_be();
      [[fallthrough]];
    case Act::ask_to_leave:
      leaving_ = true;
      slot_.ask_to_leave();
      break;
    case Act::collect: collect(); break;
  }
}

void Trial::revoke(std::uint64_t elements, bool again) {
  again_ = again;
  Slot::Report report = slot_.revoke(elements);
  for (Chunk& chunk : report.returned) returned(std::move(chunk), again);
}

void Trial::cancel() {
  slot_.running();
  // A worker that stays undecided for this long counts as stopped, and not yet as stalled.
  ahead = std::chrono::milliseconds(500);
  auto const running = slot_.running();
  ahead = std::chrono::milliseconds(0);
  if (!running) return;
  if (running->task == task_) task_->mark_for_end();
  Slot::KillResult kill_result = slot_.mark_for_kill(
      {running->serial, std::make_exception_ptr(std::runtime_error("cancelled")), true});
  for (Chunk& chunk : kill_result.report.returned) returned(std::move(chunk), false);
  if (!kill_result.marked) return;
  marked_for_kill_ = true;
  victim_ = running->element;
  os::send_signal(pidfd_.get(), SIGKILL);
}

// As the dispatcher does: ends the element that has run too long, and no other.
void Trial::watch_deadline() {
  if (!scenario_.overruns || slot_.marked_for_kill()) return;
  auto const now = Clock::now();
  auto const running = slot_.running();
  if (!running || running->element != *scenario_.overruns || now - running->since < deadline) {
    return;
  }
  Slot::KillResult kill_result = slot_.mark_for_kill(
      {running->serial, std::make_exception_ptr(std::runtime_error("too late")), false});
  for (Chunk& chunk : kill_result.report.returned) returned(std::move(chunk), false);
  if (!kill_result.marked) return;
  marked_for_kill_ = overdue_ = true;
  victim_ = running->element;
  os::send_signal(pidfd_.get(), SIGTERM);
}

// ---- the outcomes

void Trial::collect() {
  accept(slot_.collect(), true);
  if (scenario_.retires && !let_go_ && slot_.retiring()) {
    let_go_ = true;
    revoke(max_elements, false);
  }
  put_what_can_be();
}

void Trial::accept(Slot::Report&& report, bool alive) {
  if (!report.bad.empty()) wrong("not believed: " + report.bad);
  for (Slot::Item const& item : report.items) answered(item.block);
  for (Chunk& chunk : report.returned) returned(std::move(chunk), alive && again_);
}

void Trial::answered(OutcomeBlock const& block) {
  auto bytes = block.payload.bytes();
  for (std::uint64_t i = 0; i < block.count; ++i) {
    std::uint64_t const element = block.first + i;
    bool const thrown = block.kind == OutcomeBlock::Kind::thrown;
    move(element, State::given, thrown ? State::thrown : State::value, "answered for");
    if (thrown != (scenario_.throws == element)) wrong("it threw, or did not");
    bool const names = block.resources && block.resources->size() == 1;
    if (names != scenario_.names_memory) wrong("it names what it does not, or lacks what it names");
    std::uint64_t length = scenario_.result;
    if (!thrown && !scenario_.fixed) {
      if (bytes.size() < sizeof length) return wrong("a result without its length");
      std::memcpy(&length, bytes.data(), sizeof length);
      bytes = bytes.subspan(sizeof length);
    }
    if (length != scenario_.result || bytes.size() < length)
      return wrong("a result of another size");
    std::uint64_t value = 0;
    std::memcpy(&value, bytes.data(), sizeof value);
    bool const whole =
        length == sizeof value || bytes[length - 1] == static_cast<std::byte>(element);
    if (value != answer_of(element) || !whole) wrong("the result of another element");
    bytes = bytes.subspan(length);
  }
  if (!bytes.empty()) wrong("bytes behind the last result");
}

void Trial::returned(Chunk&& chunk, bool again) {
  for (std::uint64_t i = 0; i < chunk.count; ++i) {
    move(chunk.first + i, State::given, again ? State::waiting : State::back, "returned");
    if (event_log_->begun.at(chunk.first + i) != 0) {
      wrong("element " + std::to_string(chunk.first + i) + " is returned though it had begun");
    }
  }
  if (again) waiting_.push_back(std::move(chunk));
}

void Trial::move(std::uint64_t element, State from, State to, char const* what) {
  State& state = states_.at(element);
  if (state != from) {
    wrong("element " + std::to_string(element) + " is " + what + " in state " +
          std::to_string(static_cast<int>(state)));
  }
  state = to;
}

bool Trial::all_ended() const {
  if (slot_.marked_for_kill()) return false;
  for (Chunk const& chunk : waiting_) {
    if (!let_go_ || chunk.task == internal_) return false;
  }
  for (State const state : states_) {
    if (state == State::given) return false;
  }
  return true;
}

// ---- the end

void Trial::reap() {
  died_ = WIFSIGNALED(status_) && WTERMSIG(status_) == SIGKILL;
  bool const termed = overdue_ && WIFSIGNALED(status_) && WTERMSIG(status_) == SIGTERM;
  if (!died_ && !termed && !(WIFEXITED(status_) && WEXITSTATUS(status_) == 0)) {
    wrong("the worker ended with status " + std::to_string(status_));
  }
  Slot::Death death = slot_.reap();
  if (!died_ && !termed && !death.report.returned.empty())
    wrong("the worker left though it had something");
  stage_ = static_cast<unsigned>(death.stage);
  if (!death.bad.empty()) wrong("not believed after the death: " + death.bad);
  accept(std::move(death.report), false);
  for (Chunk const& chunk : death.attributed) {
    attributions_ += static_cast<unsigned>(chunk.count);
    for (std::uint64_t i = 0; i < chunk.count; ++i) {
      move(chunk.first + i, State::given, State::attributed, "attributed");
    }
  }
  bool const marked = death.kill_reason.has_value();
  if (overdue_ && !marked) wrong("its deadline is not its outcome");
  if (marked && (attributions_ != 1 || !marked_for_kill_))
    wrong("marked for kill and not attributed");
  if (marked_for_kill_ && scenario_.block == 0) {
    State const end = states_.at(victim_);
    if ((end == State::attributed) != marked) wrong("attributed, and not by the kill reason");
    if (attributions_ == 1 && end != State::attributed)
      wrong("an element other than the marked one is attributed");
  }
}

void Trial::judge() {
  EventLog const& event_log = *event_log_;
  if (event_log.wrong != 0) wrong("an element had not its own argument");
  if (attributions_ > 1) wrong("several are attributed");
  if (attributions_ != 0 && !died_ && !overdue_) wrong("attributed without a death");
  for (std::uint64_t element = 0; element < elements_; ++element) {
    std::string const name = "element " + std::to_string(element);
    State const state = states_[element];
    unsigned const begun = event_log.begun.at(element);
    if (begun > 1) wrong(name + " began " + std::to_string(begun) + " times");
    switch (state) {
      case State::given: wrong(name + " is lost"); break;
      case State::waiting:
      case State::back:
        if (begun != 0) wrong(name + " had begun and counts as not begun");
        break;
      case State::value:
      case State::thrown:
        if (begun != 1) wrong(name + " is answered for and had not begun");
        break;
      case State::attributed:
        // An outcome that the channel got is published, or in the open frame.
        if (event_log.ended.at(element) != 0) wrong(name + " is attributed and had ended");
        break;
    }
  }
  // Stopped at the point before its look, it sees the request.
  if (asked_ && *stopped_at_ == point_of(SyncPoint::listening) && event_log.steps > steps_then_ &&
      event_log.asked == 0) {
    wrong("asked to stop, and it did not see that");
  }
  if (!died_) return;
  // Points at which exactly one element must be attributed, or none may be. (In a batched claim the
  // next one is claimed already.)
  unsigned const last = event_log.last;
  bool const undisturbed = plan_.act == Act::nothing && !scenario_.retires;
  bool const one = (last == point_of(SyncPoint::claimed) && undisturbed) ||
                   last == point_of(SyncPoint::begun) || last == point_of(SyncPoint::written) ||
                   last == point_of(SyncPoint::single_sent) ||
                   last == point_of(SyncPoint::resource_sent) ||
                   last == point_of(SyncPoint::single_written) || last >= point_of(Stage::starting);
  bool const none =
      last == point_of(SyncPoint::loaded) || last == point_of(SyncPoint::received) ||
      last == point_of(SyncPoint::withdrawn) || last == point_of(SyncPoint::frame_released) ||
      last == point_of(SyncPoint::single_marked) || last == point_of(SyncPoint::parked) ||
      last == point_of(SyncPoint::parked_to_retire) ||
      (last == point_of(SyncPoint::marked) && scenario_.block <= 1);
  if (one && attributions_ != 1)
    wrong("no element is attributed for a death at " + std::string(name_of(last)));
  if (none && attributions_ != 0 && scenario_.block <= 1) {
    wrong("an element is attributed for a death at " + std::string(name_of(last)));
  }
}

std::string Trial::kill_result() const {
  if (wrong_.empty()) return {};
  auto const moment = [](char const* what, Moment const& at) {
    if (at.time == 0) return std::string();
    return std::string(", ") + what + " at " + name_of(at.point) + " number " +
           std::to_string(at.time);
  };
  std::string text = scenario_.name + moment("death", plan_.die) + moment("stop", plan_.stop);
  if (plan_.stop.time != 0) text += std::string(" to ") + name_of(plan_.act);
  if (plan_.die_later != 0) text += ", death " + std::to_string(plan_.die_later) + " points later";
  return text + "; last point: " + name_of(event_log_->last) + ": " + wrong_;
}

}  // namespace procpool::steps
