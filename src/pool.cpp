// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#include <stdexcept>

#include <procpool/detail/async/nest.hpp>
#include <procpool/pool.hpp>

#include "engine/event_queue.hpp"

namespace procpool::inline v0_1 {

PoolView::PoolView(std::shared_ptr<detail::Engine> engine,
                   std::shared_ptr<detail::CallContext const> context, CallOptions const& defaults,
                   CallOptions const& given)
    : engine_(std::move(engine)),
      context_(std::move(context)),
      given_(given),
      effective_(detail::merge_options(defaults, given)) {
  detail::check_options(given);
  auto own = std::make_shared<detail::CallContext>(*context_);
  if (given.executor) own->executor = given.executor;
  own->control = detail::control_of(effective_);
  context_ = std::move(own);
}

PoolView PoolView::with(CallOptions const& options) const {
  if (!engine_) throw std::logic_error("procpool: this view of a pool was moved from");
  detail::check_process(*context_);
  return {engine_, context_, effective_, detail::merge_options(given_, options)};
}

OutcomeView PoolView::outcomes() const { return OutcomeView(*this); }

OutcomeView OutcomeView::with(CallOptions const& options) const {
  return OutcomeView(view_.with(options));
}

detail::Caller OutcomeView::make_caller(unsigned used, char const* operation) const {
  if (view_.given_.on_error) {
    throw std::invalid_argument(std::string("procpool: the option `on_error` has no meaning for ") +
                                operation + " behind outcomes(), which gives all outcomes anyway");
  }
  return view_.make_caller(used, operation).giving_outcomes();
}

detail::Caller PoolView::make_caller(unsigned used, char const* operation) const {
  if (!engine_) throw std::logic_error("procpool: this view of a pool was moved from");
  detail::check_process(*context_);
  detail::refuse_unused(given_, used, operation);
  return {engine_, context_, effective_};
}

ProcessPool::ProcessPool() : ProcessPool(PoolOptions{}) {}

ProcessPool::ProcessPool(Count workers) : ProcessPool(PoolOptions{.workers = workers}) {}

namespace {

std::shared_ptr<detail::Callbacks> make_callbacks(PoolOptions const& options) {
  return std::make_shared<detail::Callbacks>(options.log, options.name);
}

}  // namespace

ProcessPool::ProcessPool(PoolOptions options) : ProcessPool(options, make_callbacks(options)) {}

ProcessPool::ProcessPool(PoolOptions options, std::shared_ptr<detail::Callbacks> callbacks)
    : ProcessPool(
          [&] {
            PoolOptions of_engine = options;
            of_engine.on_event = queued(options.on_event, callbacks);
            return detail::make_engine(of_engine);
          }(),
          options, callbacks) {}

ProcessPool::ProcessPool(std::unique_ptr<detail::Engine> engine, PoolOptions options)
    : ProcessPool(std::move(engine), options, make_callbacks(options)) {}

ProcessPool::ProcessPool(std::shared_ptr<detail::Engine> engine, PoolOptions options,
                         std::shared_ptr<detail::Callbacks> callbacks)
    : engine_(std::move(engine)),
      context_(std::make_shared<detail::CallContext const>(
          detail::CallContext{engine_, std::move(callbacks), options.defaults.executor,
                              detail::control_of(options.defaults), options.exceptions})),
      options_(std::move(options)) {}

ProcessPool::ProcessPool(ProcessPool&&) noexcept = default;

ProcessPool& ProcessPool::operator=(ProcessPool&& other) noexcept {
  if (this != &other) {
    end();
    engine_ = std::move(other.engine_);
    context_ = std::move(other.context_);
    options_ = std::move(other.options_);
    exceptions_ = other.exceptions_;
  }
  return *this;
}

ProcessPool::~ProcessPool() { end(); }

PoolView ProcessPool::with(CallOptions const& options) & {
  engine();
  return {engine_, context_, options_.defaults, options};
}

OutcomeView ProcessPool::outcomes() & { return with({}).outcomes(); }

Future<void> ProcessPool::start(std::optional<Count> workers) {
  detail::go_on_with_postponed();
  std::size_t const all = engine().size();
  std::size_t const wanted =
      workers ? detail::checked(*workers, "the number of workers to start", all) : all;
  detail::Function nothing;
  nothing.returns_nothing = true;
  detail::TaskOptions options;
  options.internal = true;
  options.context = context_;
  options.control = &context_->control;
  auto task = std::make_shared<detail::Task>(std::move(nothing), std::move(options));
  engine().start_workers(task, wanted);
  return Future<void>(std::move(task));
}

void ProcessPool::close() {
  detail::go_on_with_postponed();
  engine().close();
}

void ProcessPool::join() { join_until(std::nullopt); }

bool ProcessPool::join_until(std::optional<detail::TimePoint> deadline) {
  detail::go_on_with_postponed();
  return engine().join_until(deadline);
}

Summary ProcessPool::terminate() { return shutdown(End::kill); }

Summary ProcessPool::shutdown(End end, std::optional<Milliseconds> timeout) {
  detail::go_on_with_postponed();
  return engine().shutdown(end, timeout ? detail::deadline_after(*timeout) : std::nullopt);
}

void ProcessPool::resize(Count workers) {
  engine().resize(detail::checked(workers, "workers", detail::max_workers));
}

void ProcessPool::pause() { engine().pause(); }

void ProcessPool::resume() { engine().resume(); }

std::string const& ProcessPool::name() const {
  engine();
  return options_.name;
}

unsigned ProcessPool::size() const { return engine().size(); }

Stats ProcessPool::stats() const { return engine().stats(); }

std::vector<WorkerStats> ProcessPool::worker_stats() const { return engine().worker_stats(); }

detail::Engine& ProcessPool::engine() const {
  if (!engine_) throw std::logic_error("procpool: this pool was moved from");
  detail::check_process(*context_);
  return *engine_;
}

detail::Caller ProcessPool::make_caller(unsigned, char const*) const {
  engine();
  return {engine_, context_, options_.defaults};
}

void ProcessPool::end() noexcept {
  if (!engine_) return;
  if (context_->callbacks->forked()) {  // all of it is elsewhere
    engine_.reset();
    return;
  }
  try {
    bool const unwinding = std::uncaught_exceptions() > exceptions_;
    shutdown(unwinding ? End::kill : options_.shutdown.at_exit, options_.shutdown.timeout);
  } catch (...) {  // no memory or no thread to wait with: the engine's own end kills
  }
  // While the engine is still there: a callback that uses the pool meanwhile gets PoolClosed.
  context_->callbacks->retire();
  engine_.reset();
}

}  // namespace procpool::inline v0_1
