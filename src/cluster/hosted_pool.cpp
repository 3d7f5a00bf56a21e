// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#include "cluster/hosted_pool.hpp"

#include <algorithm>
#include <cstdlib>
#include <deque>
#include <exception>
#include <utility>

#include <procpool/cpu_count.hpp>
#include <procpool/detail/async/call_context.hpp>
#include <procpool/detail/engine/deadline.hpp>
#include <procpool/detail/handle/share.hpp>
#include <procpool/errors.hpp>

#include "cluster/failure_wire.hpp"
#include "engine/patience.hpp"
#include "entry/entry_hook.hpp"
#include "parent/local_engine.hpp"
#include "parent/worker_environment.hpp"
#include "protocol/function_registration.hpp"

namespace procpool::inline v0_1::cluster {

using detail::Lock;
using detail::OutcomeBlock;

namespace {

// Outcomes that came together travel together, up to so many bytes.
constexpr std::size_t max_block = std::size_t{256} << 10;

std::vector<identity::LoadedModule> modules_of(std::vector<Module> const& told) {
  std::vector<identity::LoadedModule> modules;
  for (Module const& module : told) {
    auto const id = identity::BuildId::from_parts(module.kind, module.id);
    if (id) modules.push_back({module.path, *id});
  }
  return modules;
}

}  // namespace

class HostedPool::Arrival final : public detail::Completion::Callback {
 public:
  Arrival(HostedPool& pool, std::uint64_t task) noexcept : pool_(pool), task_(task) {}
  void ended() noexcept override { pool_.note(task_); }

 private:
  HostedPool& pool_;  // ends after its engine, and the engine delivers nothing after its end
  std::uint64_t const task_;
};

HostedPool::HostedPool(Link& link, std::uint64_t session)
    : link_(link), conversation_(session), heard_(std::chrono::steady_clock::now()) {}

HostedPool::~HostedPool() {
  if (engine_) engine_->shutdown(End::kill, std::nullopt);
  for (std::thread& thread : ends_) thread.join();
}

// ---- from the client

void HostedPool::accept(Envelope const& envelope, TimePoint now) {
  heard_ = now;
  std::vector<detail::Bytes> messages;
  if (refused_) return;
  bool good = conversation_.accept(envelope, messages);
  for (detail::Bytes& bytes : messages) {
    if (refused_ || !good) break;
    good = receive(std::make_shared<detail::Bytes const>(std::move(bytes)));
  }
  if (!good) refuse("its client sent what cannot be");
}

void HostedPool::refuse(std::string const& reason) {
  refused_ = true;
  post(Refusal{reason});
}

bool HostedPool::receive(std::shared_ptr<detail::Bytes const> const& bytes) {
  auto const message = decode(*bytes);
  if (!message) return false;
  if (auto const* const hello = std::get_if<Hello>(&*message)) return greet(*hello);
  if (std::holds_alternative<Beat>(*message)) return true;
  if (auto const* const pool = std::get_if<EndPool>(&*message)) {
    end(pool->end);
    return true;
  }
  if (!engine_) return false;
  if (auto const* const chunk = std::get_if<ChunkMessage>(&*message)) return hold(*chunk, bytes);
  if (auto const* const task = std::get_if<Declare>(&*message)) return declare(*task);
  if (auto const* const value = std::get_if<Value>(&*message)) return add_value(*value);
  if (auto const* const grant = std::get_if<Grant>(&*message)) {
    for (std::uint64_t const serial : grant->serials) {
      auto const node = held_.extract(serial);
      if (!node || !begin(node.mapped())) return false;
    }
  } else if (auto const* const back = std::get_if<Withdraw>(&*message)) {
    withdraw(*back);
  } else if (auto const* const mark = std::get_if<Cut>(&*message)) {
    cut(*mark);
  } else if (auto const* const start = std::get_if<StartWorkers>(&*message)) {
    start_workers(*start);
  } else if (auto const* const task = std::get_if<Forget>(&*message)) {
    forget(task->task);
  } else if (auto const* const drop = std::get_if<DropValues>(&*message)) {
    for (std::uint64_t const id : drop->ids) values_.erase(id);
  } else {
    return false;
  }
  return true;
}

bool HostedPool::greet(Hello const& hello) {
  if (engine_ || !name_.empty()) return false;
  name_ = hello.host;
  beat_ = std::clamp(hello.beat, std::chrono::milliseconds(1), std::chrono::milliseconds(60'000));
  lost_after_ = std::max(hello.lost_after, beat_);
  if (hello.protocol != protocol_version || hello.byte_order != Hello::own_byte_order) {
    refuse("host " + name_ + " has another byte order or another version of procpool");
    return true;
  }
  auto const modules = modules_of(hello.modules);
  if (auto const difference = identity::first_difference(modules, identity::loaded_modules())) {
    refuse("host " + name_ + " runs another build than the client: " + *difference);
    return true;
  }
  try {
    auto options = decode_pool_options(hello.options);
    if (!options) return false;
    options_ = std::move(*options);
    PoolOptions& of_engine = options_.options;
    std::size_t const workers = hello.workers.value_or(parent::worker_count(of_engine));
    if (workers > detail::max_workers) return false;
    of_engine.start.environment.insert_or_assign(entry::host_variable, name_);
    of_engine.log = [this](std::string_view text) { push(Line{std::string(text)}); };
    // UCX, which may come with MPI, takes the signals of crashes for itself as it is loaded.
    constexpr char const* of_ucx = "UCX_ERROR_SIGNALS";
    if (std::getenv(of_ucx) == nullptr) of_engine.start.environment.try_emplace(of_ucx, "");
    if (of_engine.on_event) of_engine.on_event = [this](Event const& event) { tell(event); };
    if (workers != 0) {
      of_engine.workers = workers;
      engine_ = std::make_unique<LocalEngine>(of_engine);
    }
    post(Welcome{workers});
  } catch (std::exception const& error) {
    refuse("host " + name_ + ": " + error.what());
  }
  return true;
}

bool HostedPool::declare(Declare const& message) {
  if (tasks_.contains(message.task)) return false;
  HostedTask hosted;
  detail::Function function;
  protocol::FunctionRegistration registration;
  try {
    registration = protocol::decode_registration(message.registration);
  } catch (std::exception const& error) {
    refuse("host " + name_ + " lacks a function of the client: " + error.what());
    return true;
  }
  function.code = registration.code;
  function.argument_size = registration.argument_size;
  function.result_size = registration.result_size;
  function.returns_nothing = registration.returns_nothing;
  if (!registration.state.empty()) {
    function.state =
        std::make_shared<detail::Bytes const>(registration.state.begin(), registration.state.end());
  }
  if (!find_values(message.values, function.resources)) return false;
  auto context = std::make_shared<detail::CallContext>();
  detail::TaskControl& control = context->control;
  control.timeout = message.timeout;
  control.priority = message.priority;
  if (message.key) control.key = Key(*message.key);
  if (message.deadline) {
    control.deadline = detail::later(std::chrono::steady_clock::now(), *message.deadline);
  }
  control.label = detail::Label(message.label);
  control.on_each_worker = message.on_each_worker;
  detail::TaskOptions options;
  options.chunk = message.chunk;
  options.stream = true;
  options.detailed = true;
  options.context = context;
  options.control = &context->control;
  hosted.context = context;
  hosted.argument_size = function.argument_size;
  hosted.first_place = message.first_place;
  hosted.task = engine_->make_task(std::move(function), std::move(options));
  hosted.task->set_random(message.random);
  if (auto const mark = cuts_.extract(message.task)) {
    hosted.task->cancel_from(mark.mapped().from);
  }
  clients_.emplace(hosted.task->id(), message.task);
  tasks_.emplace(message.task, std::move(hosted));
  note(message.task);  // is told of its first block from then on
  return true;
}

void HostedPool::forget(std::uint64_t task) {
  cuts_.erase(task);
  auto const found = tasks_.find(task);
  if (found == tasks_.end()) return;
  clients_.erase(found->second.task->id());
  tasks_.erase(found);
}

bool HostedPool::add_value(Value const& message) {
  if (message.parts > message.bytes.size() / sizeof(std::uint64_t)) return false;
  detail::Bytes bytes;
  detail::append(bytes, message.bytes.data(), message.bytes.size());
  try {
    values_.insert_or_assign(
        message.id,
        detail::Share::adopt(message.id, detail::Payload(std::move(bytes)), message.parts));
  } catch (SerializationError const&) {  // a part that is not there
    return false;
  }
  return true;
}

bool HostedPool::find_values(std::vector<std::uint64_t> const& ids,
                             detail::Resource::List& found) const {
  for (std::uint64_t const id : ids) {
    auto const value = values_.find(id);
    if (value == values_.end()) return false;
    found.push_back(value->second);
  }
  return true;
}

bool HostedPool::hold(ChunkMessage const& message,
                      std::shared_ptr<detail::Bytes const> const& bytes) {
  Held held{bytes, message, std::chrono::steady_clock::now()};
  if (message.granted) return begin(held);
  return held_.emplace(message.serial, std::move(held)).second;
}

// The part of it that was not withdrawn.
bool HostedPool::begin(Held const& held) {
  ChunkMessage const& message = held.message;
  auto const found = tasks_.find(message.task);
  if (found == tasks_.end() || message.first < found->second.first_place) return false;
  HostedTask const& hosted = found->second;
  auto ends = ends_of(message.bytes, message.count, hosted.argument_size);
  if (!ends) return false;
  detail::InputBuffer input;
  input.first = message.first - hosted.first_place;
  input.count = message.count;
  detail::append(input.bytes, message.bytes.data(), message.bytes.size());
  input.ends = std::move(*ends);
  if (!find_values(message.values, input.resources)) return false;
  try {
    engine_->append(hosted.task, std::move(input), false);
  } catch (std::exception const&) {  // no worker can be had
    fail(message.task, message.first, message.count);
  }
  return true;
}

void HostedPool::withdraw(Withdraw const& message) {
  for (Withdraw::Part const& part : message.parts) {
    auto const held = held_.find(part.serial);
    if (held == held_.end()) continue;
    ChunkMessage& chunk = held->second.message;
    auto const task = tasks_.find(chunk.task);
    if (part.keep == 0 || part.keep >= chunk.count || task == tasks_.end()) {
      if (part.keep == 0) held_.erase(held);
      continue;
    }
    std::size_t const size = task->second.argument_size;
    auto const ends = ends_of(chunk.bytes, chunk.count, size);
    if (!ends) continue;  // told when it begins
    chunk.bytes = chunk.bytes.first(size != 0 ? part.keep * size : (*ends)[part.keep - 1]);
    chunk.count = part.keep;
  }
}

void HostedPool::cut(Cut const& message) {
  auto const found = tasks_.find(message.task);
  if (found == tasks_.end()) {
    cuts_.insert_or_assign(message.task, message);
    return;
  }
  auto const& task = found->second.task;
  if (message.ends_running) {
    task->mark_for_end();
    engine_->request_stop(task);
  } else {
    engine_->cancel_from(*task, message.from);
  }
}

void HostedPool::start_workers(StartWorkers const& message) {
  detail::Function nothing;
  nothing.returns_nothing = true;
  detail::TaskOptions options;
  options.internal = true;
  auto const task = std::make_shared<detail::Task>(std::move(nothing), std::move(options));
  try {
    engine_->start_workers(task, std::min<std::size_t>(message.workers, engine_->size()));
  } catch (std::exception const&) {
    return fail(message.task, 0, 1);
  }
  starts_.emplace(message.task, task);
  task->on_end(std::make_unique<Arrival>(*this, message.task));
}

// shutdown() blocks, and a stronger end may follow.
void HostedPool::end(End how) {
  if (!engine_) {
    Lock const lock(mutex_);
    ended_ = 0;
    return;
  }
  ends_.emplace_back([this, how] {
    Summary const summary = engine_->shutdown(how, std::nullopt);
    Lock const lock(mutex_);
    ended_ = summary.forced;
    link_.ring();
  });
}

// ---- from the engine

void HostedPool::note(std::uint64_t task) noexcept {
  {
    Lock const lock(mutex_);
    detail::patiently([&]() PROCPOOL_REQUIRES(mutex_) { arrived_.push_back(task); });
  }
  link_.ring();
}

void HostedPool::push(Message&& message) noexcept {
  detail::if_possible([&] {
    Lock const lock(mutex_);
    messages_.push_back(std::move(message));
  });
  link_.ring();
}

void HostedPool::tell(Event const& event) noexcept {
  detail::if_possible([&] {
    EventMessage message;
    message.kind = static_cast<std::uint32_t>(event.kind);
    message.time =
        std::chrono::duration_cast<std::chrono::nanoseconds>(event.time.time_since_epoch()).count();
    message.pool = event.pool;
    message.worker = event.worker;
    message.pid = event.pid;
    message.signal = event.signal;
    message.exit_status = event.exit_status;
    message.task = event.task;
    message.element = event.element;
    message.elements = event.elements;
    message.label = event.label;
    if (event.level) message.level = static_cast<std::uint32_t>(*event.level);
    message.text = event.text;
    message.missed = event.missed;
    push(std::move(message));
  });
}

// ---- to the client

// An outcome that the engine has not made.
void HostedPool::fail(std::uint64_t task, std::uint64_t first, std::uint64_t count) {
  Block block;
  OutcomeMessage& told = block.outcomes.emplace_back();
  told.task = task;
  told.first = first;
  told.count = count;
  told.kind = OutcomeMessage::Kind::failed;
  detail::Bytes const failure = encode_failure(std::current_exception());
  told.payload = failure;
  post(block);
}

void HostedPool::add(Block& block, std::uint64_t id, detail::Task& task, std::uint64_t first_place,
                     OutcomeBlock&& from, std::deque<OutcomeBlock>& kept) {
  OutcomeMessage& to = block.outcomes.emplace_back();
  to.task = id;
  to.first = from.first + first_place;
  to.count = from.count;
  to.kind = static_cast<OutcomeMessage::Kind>(from.kind);
  to.cancelled = from.cancelled;
  to.begun = from.begun;
  to.worker = from.worker;
  to.pid = from.pid;
  to.nanoseconds = from.nanoseconds;
  if (task.has_special_elements()) {
    for (std::uint64_t i = 0; i < from.count; ++i) {
      std::string text = task.take_output(from.first + i);
      if (!text.empty()) to.output.push_back({to.first + i, std::move(text)});
    }
  }
  bool const has_handles =
      from.resources && std::ranges::any_of(*from.resources, [](auto const& resource) {
        return resource->kind() != detail::Resource::Kind::value;
      });
  if (has_handles) {
    to.kind = OutcomeMessage::Kind::failed;
    to.begun = true;
    from.failure = std::make_exception_ptr(SerializationError(
        "procpool: the result has a handle, which exists on one machine only, and the workers of "
        "this pool are on several"));
  }
  if (to.kind == OutcomeMessage::Kind::failed) {
    to.payload = failures_.emplace_back(encode_failure(from.failure, task.id(), id));
  } else {
    // Few bytes lie in the payload itself.
    kept.push_back(std::move(from));
    to.payload = kept.back().payload.bytes();
  }
}

void HostedPool::collect(std::uint64_t id, Block& block, std::deque<OutcomeBlock>& kept) {
  if (auto const started = starts_.extract(id)) {
    add(block, id, *started.mapped(), 0, started.mapped()->take_only(), kept);
    return;
  }
  auto const found = tasks_.find(id);
  if (found == tasks_.end()) return;
  detail::Task& task = *found->second.task;
  for (;;) {
    for (OutcomeBlock& each : task.take()) {
      add(block, id, task, found->second.first_place, std::move(each), kept);
    }
    if (task.ended()) return;
    // Until something comes, of which the callback tells.
    if (task.call_at_block(std::nullopt, std::make_unique<Arrival>(*this, id))) return;
  }
}

HostedPool::TimePoint HostedPool::turn(TimePoint now) {
  std::vector<std::uint64_t> arrived;
  std::vector<Message> messages;
  std::optional<std::uint64_t> ended;
  {
    Lock const lock(mutex_);
    ended = ended_;  // before the outcomes: all that came until then are here
    arrived = std::exchange(arrived_, {});
    messages = std::exchange(messages_, {});
  }
  for (Message& message : messages) {
    if (auto* const event = std::get_if<EventMessage>(&message)) name_as_client(*event);
    post(message);
  }
  Block block;
  std::deque<OutcomeBlock> kept;
  auto const flush = [&] {
    if (!block.outcomes.empty()) post(block);
    block.outcomes.clear();
    kept.clear();
    failures_.clear();
  };
  for (std::uint64_t const task : arrived) {
    collect(task, block, kept);
    std::size_t size = 0;
    for (OutcomeMessage const& outcome : block.outcomes) size += outcome.payload.size();
    if (size >= max_block) flush();
  }
  flush();
  if (engine_ && now - told_ >= beat_) post_stats();
  if (ended && !said_ended_) {
    said_ended_ = true;
    if (engine_) post_stats();
    post(Ended{*ended});
  }
  if (now - sent_ >= beat_) conversation_.post(encode(Beat{}), Conversation::Lane::urgent);
  while (auto bytes = conversation_.next()) {
    link_.send(0, std::move(*bytes));
    sent_ = now;
  }
  return now + beat_;
}

void HostedPool::name_as_client(EventMessage& event) const {
  if (!event.task) return;
  auto const there = clients_.find(*event.task);
  if (there == clients_.end()) {  // of a start, or nobody waits for it any more
    event.task.reset();
    event.element.reset();
    return;
  }
  event.text = with_task(std::move(event.text), *event.task, there->second);
  event.task = there->second;
  if (event.element) *event.element += tasks_.at(there->second).first_place;
}

void HostedPool::post_stats() {
  told_ = std::chrono::steady_clock::now();
  Stats const stats = engine_->stats();
  StatsMessage message;
  message.records = stats.records;
  message.worker_starts = stats.worker_starts;
  message.worker_deaths = stats.worker_deaths;
  message.workers = stats.workers;
  message.timed_out = stats.workers_timed_out;
  message.cancelled = stats.workers_cancelled;
  message.recycled = stats.workers_recycled;
  message.left_idle = stats.workers_left_idle;
  message.failed_starts = stats.failed_starts;
  for (WorkerStats const& from : engine_->worker_stats()) {
    auto& to = message.places.emplace_back();
    to.pid = from.pid;
    to.starts = from.starts;
    to.done = from.done;
    to.busy = from.busy;
    to.last_end = from.last_end;
    if (!from.running) continue;
    auto const there = clients_.find(from.running->task);
    if (there == clients_.end()) continue;
    to.runs = true;
    to.task = there->second;
    to.element = from.running->element + tasks_.at(there->second).first_place;
    to.steps = from.running->done;
    to.total = from.running->total;
    to.label = from.running->label;
  }
  post(message);
}

bool HostedPool::is_over(TimePoint now) const {
  bool const has_ended = (refused_ || said_ended_) && !conversation_.has_more();
  return has_ended || now - heard_ > lost_after_;
}

}  // namespace procpool::inline v0_1::cluster
