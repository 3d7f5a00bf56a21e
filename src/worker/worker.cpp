#include "worker/worker.hpp"

#include <cxxabi.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <exception>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include <procpool/detail/codec/exception_codec.hpp>
#include <procpool/detail/engine/share.hpp>
#include <procpool/detail/export.hpp>
#include <procpool/errors.hpp>

#include "channel/worker_end.hpp"
#include "engine/elements.hpp"
#include "engine/loaded_callable.hpp"
#include "entry/hook.hpp"
#include "os/process.hpp"
#include "os/socket.hpp"
#include "os/spawn.hpp"
#include "protocol/handshake.hpp"
#include "protocol/worker_limits.hpp"
#include "worker/crash_handler.hpp"
#include "worker/element_run.hpp"
#include "worker/output_tagger.hpp"
#include "worker/parent_watchdog.hpp"
#include "worker/process_title.hpp"
#include "worker/registered_functions.hpp"
#include "worker/worker_context.hpp"

namespace procpool::inline v0::worker {
namespace {

using detail::Bytes;

// ---- a task that forks

std::span<std::byte> control_page;  // of this worker's outbox
WorkerContext* context_of_process = nullptr;
bool forked_child = false;

// In a forked child of the worker the rings are not mapped. Should the task return there too, its
// trampoline still notes a stage: into memory of the child's own. The loop then ends the child.
void in_forked_child() {
  forked_child = true;
  context_of_process->in_forked_child();
  ::mmap(control_page.data(), control_page.size(), PROT_READ | PROT_WRITE,
         MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
}

// ---- a task that ends the process

channel::WorkerEnd* channel_of_process = nullptr;

// exit() has begun, and may come to no end: in a heap that a task has damaged, say. Whoever looks after this worker
// has to know.
void note_exit() {
  if (!forked_child) channel_of_process->say_exiting();
}

// On the task's thread it begins with the thread's own objects, ahead of all that tasks have registered; on another
// with what was registered last.
struct ExitNote {
  bool armed = false;
  ~ExitNote() {
    if (armed) note_exit();
  }
};
thread_local ExitNote exit_note;

// ---- a task that leaves the loop without returning or throwing

// Stands in the loop's frame: pthread_exit unwinds through it.
class LoopGuard {
 public:
  explicit LoopGuard(channel::WorkerEnd& channel) : channel_(channel) {}
  ~LoopGuard() {
    if (left_) return;
    if (!forked_child) channel_.say_exit_hint(channel::ExitHint::thread_ended);
    ::_exit(EXIT_FAILURE);
  }
  void leave() noexcept { left_ = true; }

 private:
  channel::WorkerEnd& channel_;
  bool left_ = false;
};

class Worker {
 public:
  struct Parts {
    channel::WorkerEnd& channel;
    WorkerContext& context;
    ProcessTitle title;
    OutputTagger marks;
    std::uint64_t recycle_above;
    ListedExceptions listed;
  };
  explicit Worker(Parts parts)
      : channel_(parts.channel),
        context_(parts.context),
        title_(parts.title),
        marks_(std::move(parts.marks)),
        recycle_above_(parts.recycle_above),
        listed_(std::move(parts.listed)) {}

  void loop() {
    LoopGuard guard(channel_);
    try {
      work();
    } catch (std::exception const&) {
      // Between elements, or in the middle of telling of one: memory, mostly. The program does what it does for
      // any worker that ends.
      if (!forked_child) channel_.say_exit_hint(channel::ExitHint::helpless);
      ::_exit(EXIT_FAILURE);
    }
    if (channel_.descriptors_gone()) {
      channel_.say_exit_hint(channel::ExitHint::descriptors_gone);
    }
    guard.leave();
  }

 private:
  PROCPOOL_PASSES_FORCED_END void work() {
    while (!channel_.descriptors_gone()) {
      if (!channel_.has_frame()) show({});
      if (!channel_.wait()) {
        channel_.leave();
        break;
      }
      bool revoked = false;
      switch (channel_.header().kind) {
        case channel::InboxKind::memory: break;  // the channel's own
        case channel::InboxKind::register_function: register_function(); break;
        case channel::InboxKind::share: adopt(); break;
        case channel::InboxKind::forget: forget(); break;
        case channel::InboxKind::chunk:
        case channel::InboxKind::hook: revoked = !run_chunk(); break;
      }
      channel_.finish_frame(revoked);
      // Should there be room for it another time, another worker gets it.
      if ((missed_ || channel_.lost()) && !channel_.has_frame()) break;
    }
  }

  void register_function() {
    std::uint32_t const place = channel_.header().function;
    if (channel_.unreadable().empty()) {
      if (!functions_.register_function(place, channel_.payload())) missed_ = true;
      // Before any element of it has begun: they run in this worker's successor.
      if (protocol::is_stale_here(channel_.payload())) channel_.retire();
    } else {
      functions_.register_unusable(
          place, std::make_exception_ptr(SetupError("the worker could not take the function: " +
                                                    channel_.unreadable())));
      missed_ = true;
    }
  }

  // What cannot be had is missed by the elements that name it, and not by this worker.
  void adopt() {
    std::string why = channel_.unreadable();
    try {
      if (why.empty()) return adopt_value();
    } catch (std::exception const& error) {
      why = error.what();
    }
    detail::Share::miss(channel_.header().task, std::move(why));
    missed_ = true;
  }

  // Bytes only, as of a function: a task that looks at the value decodes it.
  void adopt_value() {
    channel::InboxHeader const& header = channel_.header();
    detail::Payload payload;
    if (header.where == channel::Where::file) {
      auto const mapping = std::make_shared<os::Mapping>(channel_.take_large());
      payload = detail::Payload(mapping, mapping->bytes());
    } else {
      payload = detail::Payload(Bytes(channel_.payload().begin(), channel_.payload().end()));
    }
    shares_[header.task] = detail::Share::adopt(header.task, std::move(payload), header.count);
  }

  // And with them the callables that have handles of them. Only puts all that aside.
  void forget() {
    auto ids = channel_.payload();
    for (; !ids.empty(); ids = ids.subspan(sizeof(std::uint64_t))) {
      std::uint64_t id = 0;
      std::memcpy(&id, ids.data(), sizeof id);
      functions_.forget(id);
      forgotten_.push_back(shares_.extract(id));
    }
  }

  // False: the rest of it was taken back.
  bool run_chunk() {
    channel::InboxHeader const chunk = channel_.header();
    RegisteredFunction& function = functions_[chunk.function];
    std::optional<ElementReader> elements;
    for (std::uint64_t i = 0; i < chunk.count; ++i) {
      if (function.runs && !functions_.some_are_unneeded() && forgotten_.empty()) {
        show(function.name);
        if (!elements) elements.emplace(channel_.payload(), function.decoded->argument_size);
        if (!run_all(chunk, i, function, *elements)) return false;
        if (i == chunk.count) break;
      }
      std::uint64_t const serial = chunk.serial + i;
      if (!channel_.begin(serial)) return false;
      if (marks_.used()) marks_.begin(serial);
      functions_.drop_unneeded();
      forgotten_.clear();
      bool value = false;
      context_.begin(serial, chunk.element + i, chunk.random);
      if (readable() && prepare(function)) {
        if (i == 0) show(function.name);
        if (!elements) elements.emplace(channel_.payload(), function.decoded->argument_size);
        value = function.callable->call(elements->next(), result_, channel_.stage(), listed_);
        if (forked_child) ::_exit(EXIT_SUCCESS);
      }
      context_.end();
      // What the initializer leaves behind is meant to stay.
      bool const is_hook = chunk.kind == channel::InboxKind::hook;
      if (marks_.used() && marks_.end() && !is_hook) channel_.retire();
      if (recycle_above_ != 0 && is_too_large()) channel_.retire();
      if (!value && identity::met_stale_module()) channel_.retire();
      answer(serial, function, value);
      if (function.callable) function.callable->drop_deferred();
    }
    return true;
  }

  // Elements from the i-th of the chunk on, by their trampoline. Moves i behind what has ended. False: the
  // rest was taken back.
  bool run_all(channel::InboxHeader const& chunk, std::uint64_t& i, RegisteredFunction& function,
               ElementReader& elements) {
    while (i < chunk.count) {
      RunEnd const end = run_elements(channel_, context_, *function.callable, listed_, i,
                                      function.decoded->result_size, elements, result_);
      i += end.done;
      if (end.thrown) answer(chunk.serial + i++, function, false);
      if (end.revoked) return false;
    }
    return true;
  }

  void show(std::string_view what) noexcept {
    // What is shown lives as long as it is: in functions_.
    if (what.data() == shown_.data() && what.size() == shown_.size()) return;
    title_.show(what);
    shown_ = what;
  }

  // Memory that is kept for messages does not count: it goes by itself, and comes with the next.
  bool is_too_large() const noexcept {
    // The peak is asked for first: that is ten times as quick.
    return os::peak_resident_bytes() > recycle_above_ &&
           os::resident_bytes() > recycle_above_ + channel_.kept_bytes();
  }

  // False: the arguments are nowhere to be seen, and result_ says why.
  bool readable() {
    if (channel_.unreadable().empty()) return true;
    result_.clear();
    try {
      throw SetupError("the worker has no room for the arguments: " + channel_.unreadable());
    } catch (...) {
      detail::encode_current_exception(result_);
    }
    return false;
  }

  // False: it cannot be used, and result_ says why.
  PROCPOOL_PASSES_FORCED_END bool prepare(RegisteredFunction& function) {
    if (function.callable) return true;
    channel_.stage().store(static_cast<std::uint32_t>(detail::Stage::loading),
                           std::memory_order_relaxed);
    try {
      function.load();
    } catch (abi::__forced_unwind&) {
      throw;
    } catch (...) {
      result_.clear();
      detail::encode_current_exception(result_, listed_.functions());
      return false;
    }
    function.runs = function.callable->can_run() && !marks_.used() && recycle_above_ == 0 &&
                    channel_.fits_run(function.decoded->result_size);
    return true;
  }

  void answer(std::uint64_t serial, RegisteredFunction const& function, bool value) {
    if (value) {
      bool const length_first =
          function.decoded->result_size == 0 && !function.decoded->returns_nothing;
      try {
        channel_.append_value(serial, result_, length_first);
        shrink();
        return;
      } catch (
          std::exception const&) {  // no memory for a large result: that is the element's outcome
        encode_lack("its result could not be sent");
      }
    }
    try {
      channel_.append_thrown(serial, result_);
    } catch (std::exception const&) {
      encode_lack("the exception that it threw could not be sent");
      channel_.append_thrown(serial, result_);  // short enough for the ring
    }
    shrink();
  }

  // Of the exception that is being handled, which is ours.
  void encode_lack(char const* what) {
    result_ = Bytes();
    try {
      try {
        throw;
      } catch (std::system_error const& error) {
        throw SetupError(std::string(what) + ": " + error.what());
      }
    } catch (...) {
      detail::encode_current_exception(result_);
    }
  }

  // A large result's memory is the parent's now, or at least not kept for the small ones to come.
  void shrink() {
    if (result_.capacity() >= detail::message_memory_from) result_ = Bytes();
  }

  channel::WorkerEnd& channel_;
  WorkerContext& context_;
  ProcessTitle title_;
  OutputTagger marks_;
  std::uint64_t const recycle_above_;
  ListedExceptions listed_;
  std::string_view shown_;
  using Shares = std::unordered_map<std::uint64_t, std::shared_ptr<detail::Share>>;
  Shares shares_;                             // what the parent has shared with this worker
  std::vector<Shares::node_type> forgotten_;  // until an element has begun, as the next
  RegisteredFunctions functions_;
  bool missed_ =
      false;  // a function or shared value could not be taken, and will not be sent again
  Bytes result_{Bytes::allocator_type(&channel_.result_memory())};
};

// ---- the handshake

[[noreturn]] void refuse(int control, std::string const& reason) {
  try {
    os::send_packet(control, encode(protocol::Refusal{reason}), {}, true);
  } catch (std::exception const&) {  // it cannot even be said
  }
  std::exit(EXIT_FAILURE);
}

// Where a task that opens files will not come across them, and one that closes all will not have them
// taken by its own: as high as the limit allows.
os::UniqueFd out_of_the_way(os::UniqueFd descriptor) {
  constexpr rlim_t usual = 512;
  rlimit limit{};
  ::getrlimit(RLIMIT_NOFILE, &limit);
  rlim_t const lowest = std::min(usual, limit.rlim_cur / 2);
  int const moved = ::fcntl(descriptor.get(), F_DUPFD_CLOEXEC, static_cast<int>(lowest));
  return moved < 0 ? std::move(descriptor) : os::UniqueFd(moved);
}

// By a handler that does nothing: what a task executes has the default again.
void ignore_sigterm() {
  struct sigaction action{};
  action.sa_handler = [](int) {};
  action.sa_flags = SA_RESTART;
  ::sigaction(SIGTERM, &action, nullptr);
  sigset_t term;
  sigemptyset(&term);
  sigaddset(&term, SIGTERM);
  ::pthread_sigmask(SIG_UNBLOCK, &term, nullptr);
}

void no_core_dumps() {
  rlimit limit{};
  if (::getrlimit(RLIMIT_CORE, &limit) != 0) return;
  limit.rlim_cur = 0;
  ::setrlimit(RLIMIT_CORE, &limit);
}

// From the greeting to the last record.
int serve(WorkerStart const& start, os::UniqueFd& control) {
  os::Packet packet;
  if (os::receive_packet(control.get(), packet, true, protocol::longest_message) !=
      os::ReceiveResult::received) {
    return EXIT_FAILURE;  // the parent is gone
  }
  auto const hello = protocol::decode_hello(packet.bytes);
  if (!hello || packet.fds.size() !=
                    (hello->cgroup != 0 ? protocol::max_hello_fds : protocol::fd_cgroup_kill)) {
    refuse(control.get(), "the parent's greeting is not one that this program knows");
  }
  if (hello->protocol != channel::protocol_version) {
    refuse(control.get(),
           "this worker speaks version " + std::to_string(channel::protocol_version) +
               " of the protocol and the program version " + std::to_string(hello->protocol));
  }
  entry::set_worker_index(static_cast<int>(hello->worker));
  entry::set_depth(hello->depth);
  ProcessTitle::name_process(hello->pool, std::to_string(hello->worker));
  if (hello->ignore_sigterm != 0) ignore_sigterm();
  // Before the first thread, which has it from here.
  if (auto const failed = protocol::apply_scheduling(*hello)) refuse(control.get(), *failed);
  OutputTagger marks;
  if (!hello->output_token.empty()) {
    marks = OutputTagger(out_of_the_way(os::duplicate(STDOUT_FILENO)), hello->output_token);
  }
  os::UniqueFd const parent = out_of_the_way(std::move(packet.fds[protocol::fd_parent]));
  os::UniqueFd const liveness_pipe =
      out_of_the_way(std::move(packet.fds[protocol::fd_liveness_pipe]));
  int const greeting = control.get();
  os::UniqueFd cgroup_kill;
  // Neither is ever destroyed: threads of tasks may ask whether they shall stop until the process is gone.
  static channel::WorkerEnd* channel = nullptr;
  static WorkerContext* context = nullptr;
  try {
    if (hello->cgroup != 0)
      cgroup_kill = out_of_the_way(std::move(packet.fds[protocol::fd_cgroup_kill]));
    watch_parent({static_cast<pid_t>(hello->parent), hello->parent_began, !start.forked},
                 parent.get(), greeting, liveness_pipe.get(), cgroup_kill.get());
    os::Memfd const inbox(std::move(packet.fds[protocol::fd_inbox]));
    os::Memfd const outbox(std::move(packet.fds[protocol::fd_outbox]));
    channel = new channel::WorkerEnd(
        inbox, outbox, hello->ring_bytes,
        os::Event(out_of_the_way(std::move(packet.fds[protocol::fd_event]))), std::move(control));
    context = new WorkerContext(*channel);
  } catch (std::exception const& error) {
    refuse(greeting, error.what());
  }
  control_page = channel->control_page();
  context_of_process = context;
  channel_of_process = channel;
  exit_note.armed = true;
  std::atexit(note_exit);
  ::at_quick_exit(note_exit);
  set_worker_context(context);
  ::pthread_atfork(nullptr, nullptr, in_forked_child);
  report_crashes(control_page);

  // Only now: what the pool itself needs is there.
  // The template has told those of a forked worker.
  auto const modules =
      start.forked ? std::vector<identity::LoadedModule>() : identity::loaded_modules();
  if (hello->harden != 0) {
    if (auto const failed = protocol::harden()) refuse(greeting, *failed);
  }
  if (auto const failed = apply(hello->limits)) refuse(greeting, *failed);
  ProcessTitle const title =
      start.forked ? ProcessTitle(start.argument, start.title) : ProcessTitle(start.argument);
  {
    // All that it needs is there before its first word: one that lacks something is a start that failed, and says so.
    // It would be a death without a reason, and the next worker's too.
    Worker worker({*channel, *context, title, std::move(marks), hello->recycle_above,
                   ListedExceptions(hello->exceptions)});
    if (os::send_packet(greeting, encode(protocol::Ready{modules}), {}, true) !=
        os::SendResult::sent) {
      return EXIT_FAILURE;
    }
    worker.loop();
  }
  std::fflush(stdout);
  return EXIT_SUCCESS;
}

}  // namespace

PROCPOOL_PASSES_FORCED_END int worker_main(WorkerStart start) {
  no_core_dumps();
  os::UniqueFd control = out_of_the_way(std::move(start.control));
  int const greeting = control.get();
  try {
    return serve(start, control);
  } catch (std::exception const& error) {
    // Before its first word: of tasks nothing comes out. The program says why there is no worker.
    refuse(greeting, error.what());
  }
}

}  // namespace procpool::inline v0::worker
