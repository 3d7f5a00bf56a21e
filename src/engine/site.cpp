#include <procpool/detail/site.hpp>

#include <cxxabi.h>

#include <cstdlib>
#include <memory>
#include <string>
#include <utility>

#include <procpool/detail/composed.hpp>
#include <procpool/detail/task.hpp>
#include <procpool/errors.hpp>

namespace procpool::inline v0::detail {

std::shared_ptr<CallSite const> known_site(Completion const& completion) {
  if (completion.site() || completion.is_task()) return completion.site();
  return static_cast<Composed const&>(completion).likely_site();
}

std::shared_ptr<CallSite const> site_of(Completion const& completion) {
  if (auto site = known_site(completion)) return site;
  return std::make_shared<CallSite const>(CallSite{{}, Callbacks::without_pool(), {}, {}});
}

void check_process(CallSite const& site) {
  if (site.callbacks->forked()) {
    throw SetupError("pool \"" + site.callbacks->pool() +
                     "\" belongs to the process that this one was forked from; make a pool here");
  }
}

SiteWork::SiteWork(std::shared_ptr<CallSite const> site)
    : Work(site->callbacks, site->executor ? Thread::executors : Thread::callbacks),
      site_(std::move(site)) {}

SiteWork::~SiteWork() = default;

// What an executor is given. Without having been run it sends the work back.
class SiteWork::Ticket {
 public:
  explicit Ticket(std::shared_ptr<SiteWork> work) : work_(std::move(work)) {}
  Ticket(Ticket const&) = delete;
  Ticket& operator=(Ticket const&) = delete;
  ~Ticket() {
    if (used_.load(std::memory_order_acquire) || work_->callbacks().forked()) return;
    work_->refused_ = true;
    work_->callbacks().log(
        "an executor did not run what it was given; it runs on the callback thread");
    // Where that cannot be made, on the thread that asks executors, which is there.
    static_cast<void>(work_->callbacks().take_from_executor(*work_));
    work_->schedule();
  }

  void use() {
    // Once, also if the executor runs it twice.
    if (used_.exchange(true, std::memory_order_acq_rel)) return;
    Callbacks::Outside const outside(*work_);
    work_->perform();
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

// Moved on, so that the last owner is not this thread: with the work goes what is the user's.
void ScheduleHook::ended() noexcept {
  Callbacks& callbacks = work_->callbacks();
  callbacks.post(std::move(work_));
}

std::string task_text(Completion const& completion) {
  if (!completion.is_task()) return {};
  return " of task " + std::to_string(static_cast<Task const&>(completion).id());
}

std::string type_text(std::type_info const& type) {
  int status = 0;
  std::unique_ptr<char, void (*)(void*)> const demangled(
      abi::__cxa_demangle(type.name(), nullptr, nullptr, &status), std::free);
  return demangled ? demangled.get() : type.name();
}

}  // namespace procpool::inline v0::detail
