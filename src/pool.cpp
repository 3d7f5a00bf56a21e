#include <stdexcept>

#include <procpool/detail/async/nest.hpp>
#include <procpool/pool.hpp>

namespace procpool::inline v0 {

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

detail::Caller PoolView::make_caller(unsigned used, char const* operation) const {
  if (!engine_) throw std::logic_error("procpool: this view of a pool was moved from");
  detail::check_process(*context_);
  detail::refuse_unused(given_, used, operation);
  return {engine_, context_, effective_};
}

ProcessPool::ProcessPool() : ProcessPool(PoolOptions{}) {}

ProcessPool::ProcessPool(Count workers) : ProcessPool(PoolOptions{.workers = workers}) {}

ProcessPool::ProcessPool(PoolOptions options)
    : ProcessPool(detail::make_engine(options), options) {}

ProcessPool::ProcessPool(std::unique_ptr<detail::Engine> engine, PoolOptions options)
    : engine_(std::move(engine)),
      context_(std::make_shared<detail::CallContext const>(detail::CallContext{
          engine_, std::make_shared<detail::Callbacks>(options.log, options.name),
          options.defaults.executor, detail::control_of(options.defaults), options.exceptions})),
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

Summary ProcessPool::shutdown(End end, std::optional<Milliseconds> deadline) {
  detail::go_on_with_postponed();
  return engine().shutdown(end, deadline ? detail::deadline_after(*deadline) : std::nullopt);
}

void ProcessPool::resize(Count workers) {
  engine().resize(workers.checked("workers", max_workers));
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
    shutdown(unwinding ? End::kill : options_.at_exit, options_.at_exit_deadline);
  } catch (...) {  // no memory or no thread to wait with: the engine's own end kills
  }
  // While the engine is still there: a callback that uses the pool meanwhile gets PoolClosed.
  context_->callbacks->retire();
  engine_.reset();
}

}  // namespace procpool::inline v0
