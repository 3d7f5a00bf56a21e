// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#include "worker/worker.hpp"

#include <unistd.h>

#include <cstdlib>
#include <cstring>
#include <exception>
#include <memory>
#include <utility>

#include <procpool/detail/engine/bytes.hpp>
#include <procpool/detail/handle/share.hpp>
#include <procpool/errors.hpp>

#include "handle/item_handles.hpp"
#include "os/mapping.hpp"
#include "protocol/function_registration.hpp"
#include "worker/process_guards.hpp"

namespace procpool::inline v0_1::worker {

Worker::Worker(channel::WorkerEnd& channel, WorkerContext& context, ChunkRunner::Settings settings)
    : channel_(channel), context_(context), runner_(channel, context, std::move(settings)) {
  handle::believe_objects();
}

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
    if (!channel_.has_frame()) {
      runner_.show({});
      // Of a chunk that found no room: it comes with them once more, or elsewhere.
      runner_.drop_carried();
    }
    if (!channel_.wait()) {
      channel_.leave();
      break;
    }
    switch (channel_.header().kind) {
      case channel::InboxKind::memory: break;  // the channel's own
      case channel::InboxKind::register_function: register_function(); break;
      case channel::InboxKind::resource: adopt_resource(); break;
      case channel::InboxKind::forget: evict(); break;
      case channel::InboxKind::chunk:
      case channel::InboxKind::internal_chunk:
        runner_.run();
        runner_.drop_carried();
        break;
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

// A failure is the failure of the elements that name the resource, and not of this worker.
void Worker::adopt_resource() {
  channel::InboxHeader const& header = channel_.header();
  auto const kind = static_cast<detail::Resource::Kind>(header.function);
  std::string why = channel_.unreadable();
  try {
    if (why.empty()) {
      return runner_.adopt(header.apart == 0 ? receive_value()
                                             : detail::Resource::adopt(
                                                   header.task, kind, channel_.take_descriptors(),
                                                   detail::Resource::Sender::parent));
    }
  } catch (std::exception const& error) {
    why = error.what();
  }
  detail::Resource::miss(header.task, kind, why);
  missed_ = true;
}

// Takes the bytes only: a task that uses the value decodes it.
std::shared_ptr<detail::Resource> Worker::receive_value() {
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

}  // namespace procpool::inline v0_1::worker
