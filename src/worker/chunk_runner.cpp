// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#include "worker/chunk_runner.hpp"

#include <cxxabi.h>
#include <unistd.h>

#include <cstdlib>
#include <exception>
#include <limits>
#include <system_error>
#include <utility>

#include <procpool/detail/codec/exception_codec.hpp>
#include <procpool/errors.hpp>

#include "identity/module.hpp"
#include "os/process.hpp"
#include "worker/debugger.hpp"

namespace procpool::inline v0_1::worker {

ChunkRunner::ChunkRunner(channel::WorkerEnd& channel, WorkerContext& context, Settings settings)
    : channel_(channel),
      context_(context),
      words_(context.run_words()),
      title_(settings.title),
      tagger_(std::move(settings.tagger)),
      recycle_above_(settings.recycle_above),
      listed_(std::move(settings.listed)),
      result_(detail::Bytes::allocator_type(&channel.result_memory())) {}

void ChunkRunner::run() {
  channel::InboxHeader const& chunk = channel_.header();
  RegisteredFunction& function = functions_[chunk.function];
  std::uint64_t const end = chunk.serial + chunk.count;
  arguments_.reset();
  context_.set_random(chunk.random);
  for (std::uint64_t serial = chunk.serial; serial < end;) {
    bool const alone = must_run_alone(function);
    detail::Run run = channel_.start_run(serial, alone ? 1 : chunk.count, words_);
    bool value = true;
    if (alone) {
      if (!run.begin()) {
        channel_.end_run(run);
        return;
      }
      // The object comes after the initializer, and goes ahead of the exit handler.
      if (chunk.kind == channel::InboxKind::internal_chunk) actor_ = detail::ActorObject();
      value = prepare(serial, function);
    }
    state_ = 0;
    bool const in_place = function.fixed_size && !actor_.has_checkpoints();
    bool const calls = value && chunk.kind == channel::InboxKind::chunk;
    if (value) value = call(function, run, in_place);
    if (calls && actor_.has_checkpoints()) value = append_state() && value;
    // A task may fork, and return in the child too. The rest is for the worker alone.
    if (context_.forked()) ::_exit(EXIT_SUCCESS);
    context_.end();
    if (alone) look_after(chunk.kind);
    if (!value) {
      threw_ = true;
      if (identity::met_stale_module()) channel_.retire();
      append_thrown(run);
    } else if (!in_place) {
      append_value(run, function);
    }
    serial = run.next();
    // The outcome cannot be lost any more, and mostly the parent has not seen it yet.
    element_.end();
    bool const kept = channel_.end_run(run);
    if (function.callable) function.callable->drop_deferred();
    if (!kept) return;
  }
}

bool ChunkRunner::must_run_alone(RegisteredFunction const& function) const noexcept {
  return !function.callable || !function.fixed_size || actor_.has_checkpoints() || tagger_.used() ||
         recycle_above_ != 0 || ElementScope::is_followed() || functions_.some_are_unneeded() ||
         !evicted_.empty() || !channel_.unreadable().empty();
}

bool ChunkRunner::prepare(std::uint64_t serial, RegisteredFunction& function) {
  if (tagger_.used()) tagger_.begin(serial);
  functions_.drop_unneeded();
  evicted_.clear();
  if (!channel_.unreadable().empty()) {
    result_.clear();
    try {
      throw SetupError("the worker has no room for the arguments: " + channel_.unreadable());
    } catch (...) {
      detail::encode_current_exception(result_);
    }
    return false;
  }
  return function.callable || load(function);
}

bool ChunkRunner::load(RegisteredFunction& function) {
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
  wait_for_debugger(function.name);
  function.fixed_size =
      function.callable->can_run() && channel_.fits(function.decoded->result_size);
  return true;
}

bool ChunkRunner::call(RegisteredFunction& function, detail::Run& run, bool in_place) {
  show(function.name);
  if (!arguments_) arguments_.emplace(channel_.payload(), function.decoded->argument_size);
  if (!in_place) {
    return function.callable->call(arguments_->next(), result_, channel_.stage(), listed_, named_);
  }
  channel_.reserve(run, function.decoded->result_size);
  run.set_arguments(arguments_->place(), arguments_->step());
  bool const value = function.callable->run(run, result_, channel_.stage(), listed_, named_);
  arguments_->skip(run.count() + (value ? 0 : 1));
  return value;
}

bool ChunkRunner::append_state() {
  if (!actor_.end_call()) return true;
  channel_.stage().store(static_cast<std::uint32_t>(detail::Stage::saving),
                         std::memory_order_relaxed);
  try {
    using Receivers = detail::ResourceCollector::Receivers;
    detail::ResourceCollector const collector(named_, Receivers::many);
    std::size_t const before = result_.size();
    actor_.save(result_);
    state_ = result_.size() - before;
    return true;
  } catch (abi::__forced_unwind&) {
    throw;
  } catch (...) {
    result_.clear();
    named_.clear();
    detail::encode_current_exception(result_, listed_.functions());
    return false;
  }
}

void ChunkRunner::look_after(channel::InboxKind kind) {
  // Processes that an initializer leaves behind are meant to stay.
  bool const left_writers = tagger_.used() && tagger_.end();
  if (left_writers && kind != channel::InboxKind::internal_chunk) channel_.retire();
  if (recycle_above_ != 0 && is_too_large()) channel_.retire();
}

// Memory that is kept for messages does not count: the next worker would keep it too.
bool ChunkRunner::is_too_large() const noexcept {
  // The peak first: it is ten times as cheap.
  return os::peak_resident_bytes() > recycle_above_ &&
         os::resident_bytes() > recycle_above_ + channel_.kept_bytes();
}

// ---- outcomes

void ChunkRunner::check_named() const {
  if (named_.size() > channel::max_named) {
    throw SerializationError("it has handles of " + std::to_string(named_.size()) +
                             " things, and at most " + std::to_string(channel::max_named) +
                             " can be sent with one result");
  }
  for (auto const& resource : named_) {
    if (!resource->goes_down_only() || resources_.contains(resource->id())) continue;
    bool const value = resource->kind() == detail::Resource::Kind::value;
    throw SerializationError(
        std::string("it has a handle of ") + name_of(resource->kind()) +
        " that the program does not share: return " +
        (value ? "the value itself" : "the data, and let the program build the object"));
  }
}

void ChunkRunner::append_value(detail::Run& run, RegisteredFunction const& function) {
  bool const length_first =
      function.decoded->result_size == 0 && !function.decoded->returns_nothing;
  try {
    if (!named_.empty()) check_named();
    channel_.append_value(run, result_, length_first, named_, state_);
    if (state_ != 0) actor_.saved();
  } catch (std::exception const&) {  // no memory for a large result
    encode_failure("its result could not be sent");
    append_thrown(run);
    return;
  }
  shrink();
}

void ChunkRunner::append_thrown(detail::Run& run) {
  try {
    if (!named_.empty()) check_named();
    channel_.append_thrown(run, result_, named_, state_);
    if (state_ != 0) actor_.saved();
  } catch (std::exception const&) {
    encode_failure("the exception that it threw could not be sent");
    channel_.append_thrown(run, result_);  // short enough for the ring
  }
  shrink();
}

// Of the exception that is being handled. It is the library's own.
void ChunkRunner::encode_failure(char const* what) {
  result_ = detail::Bytes();
  state_ = 0;
  named_.clear();
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

// The memory of a large result is the parent's now, or is not kept for the small ones to come.
void ChunkRunner::shrink() {
  named_.clear();
  if (result_.capacity() >= detail::message_memory_from) result_ = detail::Bytes();
}

// ---- between elements

void ChunkRunner::adopt(std::shared_ptr<detail::Resource> resource) {
  if (resource->is_carried()) {
    carried_.push_back(std::move(resource));
  } else {
    std::uint64_t const id = resource->id();
    resources_[id] = std::move(resource);
  }
}

void ChunkRunner::evict(std::uint64_t resource) {
  functions_.forget(resource);
  auto evicted = resources_.extract(resource);
  // Memory and queues have no user code, and are let go of at once.
  if (evicted && evicted.mapped()->kind() == detail::Resource::Kind::value) {
    evicted_.push_back(std::move(evicted));
  }
}

void ChunkRunner::show(std::string_view what) noexcept {
  // The text lives in functions_ as long as it is shown.
  if (what.data() == shown_.data() && what.size() == shown_.size()) return;
  title_.show(what);
  shown_ = what;
}

}  // namespace procpool::inline v0_1::worker
