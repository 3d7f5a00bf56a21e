#include "worker/worker.hpp"

#include <unistd.h>

#include <cstdlib>
#include <cstring>
#include <exception>
#include <memory>
#include <utility>

#include <procpool/detail/engine/bytes.hpp>
#include <procpool/detail/engine/share.hpp>
#include <procpool/errors.hpp>

#include "os/mapping.hpp"
#include "protocol/function_registration.hpp"
#include "worker/process_guards.hpp"

namespace procpool::inline v0::worker {

Worker::Worker(channel::WorkerEnd& channel, WorkerContext& context, ChunkRunner::Settings settings)
    : channel_(channel), context_(context), runner_(channel, context, std::move(settings)) {}

void Worker::loop() {
  LoopGuard guard(channel_, context_);
  try {
    take_frames();
  } catch (std::exception const&) {
    // Between elements, or while an outcome was sent: mostly for want of memory. The parent starts
    // another worker, as after any end of one.
    if (!context_.forked()) channel_.say_exit_hint(channel::ExitHint::helpless);
    ::_exit(EXIT_FAILURE);
  }
  if (channel_.descriptors_gone()) channel_.say_exit_hint(channel::ExitHint::descriptors_gone);
  guard.leave();
}

void Worker::take_frames() {
  while (!channel_.descriptors_gone()) {
    if (!channel_.has_frame()) runner_.show({});
    if (!channel_.wait()) {
      channel_.leave();
      break;
    }
    switch (channel_.header().kind) {
      case channel::InboxKind::memory: break;  // the channel's own
      case channel::InboxKind::register_function: register_function(); break;
      case channel::InboxKind::share: adopt_share(); break;
      case channel::InboxKind::forget: evict(); break;
      case channel::InboxKind::chunk:
      case channel::InboxKind::internal_chunk: runner_.run(); break;
    }
    bool const ran = channel_.header().kind == channel::InboxKind::chunk;
    channel_.finish_frame();
    if (!missed_ && !channel_.lost()) continue;
    if (!channel_.has_frame()) break;
    // The elements that came meanwhile may need what is missing here: they run in this worker's
    // successor.
    if (ran) channel_.retire();
  }
}

void Worker::register_function() {
  std::uint32_t const place = channel_.header().function;
  RegisteredFunctions& functions = runner_.functions();
  if (channel_.unreadable().empty()) {
    if (!functions.register_function(place, channel_.payload())) missed_ = true;
    // Before any of its elements has begun: they run in this worker's successor.
    if (protocol::is_stale_here(channel_.payload())) channel_.retire();
  } else {
    functions.register_unusable(
        place, std::make_exception_ptr(
                   SetupError("the worker could not take the function: " + channel_.unreadable())));
    missed_ = true;
  }
}

// A failure is the failure of the elements that name the value, and not of this worker.
void Worker::adopt_share() {
  std::uint64_t const id = channel_.header().task;
  std::string why = channel_.unreadable();
  try {
    if (why.empty()) return runner_.adopt(id, receive_share());
  } catch (std::exception const& error) {
    why = error.what();
  }
  detail::Share::miss(id, std::move(why));
  missed_ = true;
}

// Takes the bytes only: a task that uses the value decodes it.
std::shared_ptr<detail::Share> Worker::receive_share() {
  channel::InboxHeader const& header = channel_.header();
  detail::Payload payload;
  if (header.where == channel::Where::file) {
    auto const mapping = std::make_shared<os::Mapping>(channel_.take_file());
    payload = detail::Payload(mapping, mapping->bytes());
  } else {
    payload = detail::Payload(detail::Bytes(channel_.payload().begin(), channel_.payload().end()));
  }
  return detail::Share::adopt(header.task, std::move(payload), header.count);
}

void Worker::evict() {
  auto ids = channel_.payload();
  for (; !ids.empty(); ids = ids.subspan(sizeof(std::uint64_t))) {
    std::uint64_t id = 0;
    std::memcpy(&id, ids.data(), sizeof id);
    runner_.evict(id);
  }
}

}  // namespace procpool::inline v0::worker
