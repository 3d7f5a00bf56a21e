// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#pragma once

// ChunkRunner: runs the elements of chunks in a worker, and hands their outcomes to the channel.
//
// The worker's main thread only. User code runs inside. If the process dies at any point, the words
// of the channel say which element ran, see detail::Run.

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include <procpool/detail/call/actor_object.hpp>
#include <procpool/detail/engine/bytes.hpp>
#include <procpool/detail/engine/run.hpp>
#include <procpool/detail/export.hpp>
#include <procpool/detail/handle/resource.hpp>

#include "channel/worker_end.hpp"
#include "engine/element_scope.hpp"
#include "engine/elements.hpp"
#include "engine/listed_exceptions.hpp"
#include "worker/output_tagger.hpp"
#include "worker/process_title.hpp"
#include "worker/registered_functions.hpp"
#include "worker/worker_context.hpp"

namespace procpool::inline v0_1::worker {

class ChunkRunner {
 public:
  struct Settings {
    ProcessTitle title{nullptr};
    OutputTagger tagger{};
    std::uint64_t recycle_above = 0;  // bytes; 0: no limit
    ListedExceptions listed{};
  };
  // `channel` and `context` outlive this object.
  ChunkRunner(channel::WorkerEnd& channel, WorkerContext& context, Settings settings);

  // Runs the elements of the channel's frame, which is a chunk, up to what was revoked of it.
  PROCPOOL_PASSES_FORCED_END void run();

  // An element has thrown.
  bool threw() const noexcept { return threw_; }

  RegisteredFunctions& functions() noexcept { return functions_; }
  // Evicts a resource, and with it the functions that have handles of it. Destructors of functions and
  // of shared values are user code, so they run within the next element.
  void evict(std::uint64_t resource);
  // What the chunk has carried here is its elements' by now, or is not needed.
  void drop_carried() noexcept { carried_.clear(); }
  void adopt(std::shared_ptr<detail::Resource> resource);

  // Shows in the title of the process what it runs. Empty: nothing.
  void show(std::string_view what) noexcept;

 private:
  using Resources = std::unordered_map<std::uint64_t, std::shared_ptr<detail::Resource>>;

  // True if something has to be done before or after each of its elements.
  bool must_run_alone(RegisteredFunction const& function) const noexcept;
  // The element has begun. False: it cannot run, and result_ says why.
  bool prepare(std::uint64_t serial, RegisteredFunction& function);
  PROCPOOL_PASSES_FORCED_END bool load(RegisteredFunction& function);
  // Runs the elements of the run. False: the next one has thrown, and result_ says what. `in_place`:
  // their results are written into the open frame.
  bool call(RegisteredFunction& function, detail::Run& run, bool in_place);
  // Appends the state of the actor to the outcome of its call, if it is due. False: it cannot be
  // encoded, and result_ says why.
  PROCPOOL_PASSES_FORCED_END bool append_state();
  // The element has ended. The worker retires if the element made it unfit for the next one.
  void look_after(channel::InboxKind kind);
  // Throws SerializationError if the parent could not take all that the outcome names.
  void check_named() const;
  void append_value(detail::Run& run, RegisteredFunction const& function);
  void append_thrown(detail::Run& run);
  void encode_failure(char const* what);
  void shrink();
  bool is_too_large() const noexcept;

  channel::WorkerEnd& channel_;
  WorkerContext& context_;
  detail::RunWords const words_;  // of the task
  ElementScope element_;          // of whichever element runs
  ProcessTitle title_;
  OutputTagger tagger_;
  detail::ActorObject actor_;  // empty unless the worker is an actor's
  detail::ActorScope const scope_{actor_};
  std::uint64_t const recycle_above_;
  ListedExceptions listed_;
  std::string_view shown_;
  Resources resources_;                        // that the parent has sent, until it forgets them
  std::vector<Resources::node_type> evicted_;  // until the next element has begun
  RegisteredFunctions functions_;
  std::optional<ElementReader> arguments_;  // of the current chunk
  detail::Bytes result_;
  std::uint64_t state_ = 0;         // bytes at its end that are the state of the actor
  detail::Resource::List named_;    // by result_
  detail::Resource::List carried_;  // by the chunk to come, or the current one
  bool threw_ = false;
};

}  // namespace procpool::inline v0_1::worker
