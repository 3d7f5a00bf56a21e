#include <procpool/detail/site.hpp>

#include <string>
#include <utility>

#include <procpool/errors.hpp>

namespace procpool::inline v0::detail {

std::shared_ptr<CallSite const> site_of(Completion const& completion) {
  if (completion.site()) return completion.site();
  return std::make_shared<CallSite const>(CallSite{{}, Callbacks::without_pool(), {}, {}});
}

SiteWork::SiteWork(std::shared_ptr<CallSite const> site)
    : Work(site->callbacks), site_(std::move(site)) {}

SiteWork::~SiteWork() = default;

// What an executor is given. Without having been run it sends the work back.
class SiteWork::Ticket {
 public:
  explicit Ticket(std::shared_ptr<SiteWork> work) : work_(std::move(work)) {}
  Ticket(Ticket const&) = delete;
  Ticket& operator=(Ticket const&) = delete;
  ~Ticket() {
    if (used_.load(std::memory_order_acquire)) return;
    work_->refused_ = true;
    work_->callbacks().log(
        "an executor did not run what it was given; it runs on the callback thread");
    work_->schedule();
  }

  void use() {
    // Once, also if the executor runs it twice.
    if (!used_.exchange(true, std::memory_order_acq_rel)) work_->perform();
  }

 private:
  std::shared_ptr<SiteWork> const work_;
  std::atomic<bool> used_{false};
};

void SiteWork::run() noexcept {
  if (!site_->executor || refused_) {
    perform();
    return;
  }
  try {
    auto const ticket = std::make_shared<Ticket>(shared_from_this());
    try {
      site_->executor([ticket] { ticket->use(); });
    } catch (...) {
      callbacks().log("an executor threw: " + describe(std::current_exception()));
    }
  } catch (...) {  // no memory for the ticket
    perform();
  }
}

namespace {

struct ScheduleHook final : Completion::Hook {
  explicit ScheduleHook(std::shared_ptr<SiteWork> given) : work(std::move(given)) {}
  // Moved on, so that the last owner is not this thread: with the work goes what is the user's.
  void ended() noexcept override {
    Callbacks& callbacks = work->callbacks();
    callbacks.post(std::move(work));
  }

  std::shared_ptr<SiteWork> work;
};

}  // namespace

void schedule_at_end(Completion& completion, std::shared_ptr<SiteWork> work) {
  completion.on_end(std::make_unique<ScheduleHook>(std::move(work)));
}

}  // namespace procpool::inline v0::detail
