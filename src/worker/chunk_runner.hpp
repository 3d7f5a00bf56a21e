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

#include <procpool/detail/engine/bytes.hpp>
#include <procpool/detail/engine/run.hpp>
#include <procpool/detail/engine/share.hpp>
#include <procpool/detail/export.hpp>

#include "channel/worker_end.hpp"
#include "engine/elements.hpp"
#include "engine/listed_exceptions.hpp"
#include "worker/output_tagger.hpp"
#include "worker/process_title.hpp"
#include "worker/registered_functions.hpp"
#include "worker/worker_context.hpp"

namespace procpool::inline v0::worker {

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

  RegisteredFunctions& functions() noexcept { return functions_; }
  // Evicts a shared value, and with it the functions that have handles of it. Their destructors are
  // user code, so they run within the next element.
  void evict(std::uint64_t share);
  void adopt(std::uint64_t id, std::shared_ptr<detail::Share> share) {
    shares_[id] = std::move(share);
  }

  // Shows in the title of the process what it runs. Empty: nothing.
  void show(std::string_view what) noexcept;

 private:
  using Shares = std::unordered_map<std::uint64_t, std::shared_ptr<detail::Share>>;

  // True if something has to be done before or after each of its elements.
  bool must_run_alone(RegisteredFunction const& function) const noexcept;
  // The element has begun. False: it cannot run, and result_ says why.
  bool prepare(std::uint64_t serial, RegisteredFunction& function);
  PROCPOOL_PASSES_FORCED_END bool load(RegisteredFunction& function);
  // Runs the elements of the run. False: the next one has thrown, and result_ says what.
  bool call(RegisteredFunction& function, detail::Run& run);
  // The element has ended. The worker retires if the element made it unfit for the next one.
  void look_after(channel::InboxKind kind);
  void append_value(detail::Run& run, RegisteredFunction const& function);
  void append_thrown(detail::Run& run);
  void encode_failure(char const* what);
  void shrink();
  bool is_too_large() const noexcept;

  channel::WorkerEnd& channel_;
  WorkerContext& context_;
  detail::RunWords const words_;  // of the task
  ProcessTitle title_;
  OutputTagger tagger_;
  std::uint64_t const recycle_above_;
  ListedExceptions listed_;
  std::string_view shown_;
  Shares shares_;
  std::vector<Shares::node_type> evicted_;  // until the next element has begun
  RegisteredFunctions functions_;
  std::optional<ElementReader> arguments_;  // of the current chunk
  detail::Bytes result_;
};

}  // namespace procpool::inline v0::worker
