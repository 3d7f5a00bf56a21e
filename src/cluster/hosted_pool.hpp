// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#pragma once

// HostedPool: one pool of the client at a host. Chunks go into a LocalEngine once they are granted, and
// its outcomes go back as they come. It decodes no value of the user and runs no user code.
//
// For the thread of the host's link. The dispatcher of the engine only notes which tasks have outcomes,
// and rings.

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <procpool/detail/engine/mutex.hpp>
#include <procpool/detail/engine/task.hpp>

#include "cluster/conversation.hpp"
#include "cluster/link.hpp"
#include "cluster/messages.hpp"
#include "cluster/pool_options.hpp"

namespace procpool::inline v0_1 {

class LocalEngine;

namespace detail {
class Share;
struct CallContext;
}  // namespace detail

namespace cluster {

class HostedPool final {
 public:
  using TimePoint = detail::TimePoint;

  HostedPool(Link& link, std::uint64_t session);
  HostedPool(HostedPool const&) = delete;
  HostedPool& operator=(HostedPool const&) = delete;
  // Kills the workers that are left.
  ~HostedPool();

  void accept(Envelope const& envelope, TimePoint now);
  // Sends what has come together. Returns when the next turn is due.
  TimePoint turn(TimePoint now);
  // It has nothing more to do, or nothing is heard of its client.
  bool is_over(TimePoint now) const;

 private:
  struct HostedTask {
    std::shared_ptr<detail::CallContext const> context;
    std::shared_ptr<detail::Task> task;
    std::size_t argument_size = 0;
    std::uint64_t first_place = 0;
    detail::Resource::List values{};  // of its function
  };
  struct Held {
    std::shared_ptr<detail::Bytes const> bytes;  // that the message points into
    ChunkMessage message;
    TimePoint came{};
  };
  // Tells of a block that has come, or of the end of a task.
  class Arrival;

  void note(std::uint64_t task) noexcept;
  // Takes the outcomes of a task that have come, and is told of the next.
  void collect(std::uint64_t task, Block& block, std::deque<detail::OutcomeBlock>& kept);
  void add(Block& block, std::uint64_t id, detail::Task& task, std::uint64_t first_place,
           detail::OutcomeBlock&& from, std::deque<detail::OutcomeBlock>& kept);
  void fail(std::uint64_t task, std::uint64_t first, std::uint64_t count);
  // All false: the client sent what cannot be.
  bool receive(std::shared_ptr<detail::Bytes const> const& bytes);
  bool greet(Hello const& hello);
  bool declare(Declare const& message);
  void forget(std::uint64_t task);
  bool add_value(Value const& message);
  bool hold(ChunkMessage const& message, std::shared_ptr<detail::Bytes const> const& bytes);
  bool begin(Held const& held);
  void withdraw(Withdraw const& message);
  void cut(Cut const& message);
  void start_workers(StartWorkers const& message);
  void end(End how);
  void refuse(std::string const& reason);
  bool find_values(std::vector<std::uint64_t> const& ids, detail::Resource::List& found) const;
  void post(Message const& message) { conversation_.post(encode(message)); }
  void post_stats();
  // The task of an event, and its element, as the client numbers them.
  void name_as_client(EventMessage& event) const;
  // From threads of the engine.
  void push(Message&& message) noexcept;
  void tell(Event const& event) noexcept;

  Link& link_;
  Conversation conversation_;
  std::string name_;
  std::chrono::milliseconds beat_{500};
  std::chrono::milliseconds lost_after_{60'000};
  TimePoint heard_;
  TimePoint sent_{};
  TimePoint told_{};  // counters
  bool refused_ = false;
  bool said_ended_ = false;
  HostedOptions options_;
  std::map<std::uint64_t, HostedTask> tasks_;
  std::map<std::uint64_t, std::uint64_t> clients_;  // ids of tasks there, by those here
  std::map<std::uint64_t, std::shared_ptr<detail::Task>> starts_;
  std::deque<detail::Bytes> failures_;  // that the block of this turn points into
  std::map<std::uint64_t, Cut> cuts_;   // of tasks that are not known yet
  std::map<std::uint64_t, Held> held_;  // by serial: not granted
  std::map<std::uint64_t, std::shared_ptr<detail::Share>> values_;

  detail::Mutex mutex_;
  std::vector<std::uint64_t> arrived_ PROCPOOL_GUARDED_BY(mutex_);  // tasks with outcomes
  std::vector<Message> messages_ PROCPOOL_GUARDED_BY(mutex_);  // whose tasks are those of this host
  std::optional<std::uint64_t> ended_ PROCPOOL_GUARDED_BY(mutex_);  // workers that were forced

  std::unique_ptr<LocalEngine> engine_;  // null: it has no workers, or has not been greeted
  std::vector<std::thread> ends_;
};

}  // namespace cluster
}  // namespace procpool::inline v0_1
