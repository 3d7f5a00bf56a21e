// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#pragma once

// ClusterEngine: one pool of the client of a cluster. Calls fill the queue under the mutex and ring. The
// thread of the client does the rest in its turns: it places elements, grants them, applies outcomes,
// and watches the hosts and the clock. Hosts and their ledgers belong to that thread alone.
//
// Any thread may call the functions of the engine. In a forked child of the process that made it, it is
// inert. No lock is held while a task is told of an outcome, and no user code runs here.

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include <procpool/detail/engine/engine.hpp>
#include <procpool/detail/engine/mutex.hpp>
#include <procpool/detail/export.hpp>

#include "cluster/client.hpp"
#include "cluster/options.hpp"
#include "cluster/remote_host.hpp"
#include "engine/call_seeds.hpp"
#include "parent/admission.hpp"
#include "parent/deadlines.hpp"
#include "parent/scheduler.hpp"
#include "parent/tally.hpp"

namespace procpool::inline v0_1::cluster {

class ClusterEngine final : public detail::Engine, private Member {
 public:
  using TimePoint = detail::TimePoint;

  // Says hello to every host, and blocks until each has answered, or `start_timeout` is over. Throws
  // SetupError if one refuses, does not answer, or if there is none.
  ClusterEngine(std::shared_ptr<Client> client, Options options, PoolOptions const& pool_options,
                std::size_t hosts);
  // Kills what has not ended.
  ~ClusterEngine() override;

  void open_stream(std::shared_ptr<detail::Task> const& task) override;
  void append(std::shared_ptr<detail::Task> const& task, detail::InputBuffer&& input,
              bool last) override;
  std::size_t begin_on_each_worker(std::shared_ptr<detail::Task> const& task) override;
  void seal(std::shared_ptr<detail::Task> const& task) override;
  void cancel(std::shared_ptr<detail::Task> const& task, Running running) override;
  void request_stop(std::shared_ptr<detail::Task> const& task) noexcept override;
  void help(detail::Task&) override {}
  void close() override;
  bool join_until(std::optional<TimePoint> deadline) override;
  Summary shutdown(End end, std::optional<TimePoint> deadline) override;
  unsigned size() const noexcept override;
  Stats stats() const override;
  std::vector<WorkerStats> worker_stats() const override;
  std::vector<RunningElement> running(detail::Task const& task) const override;
  void resize(std::size_t workers) override;
  void start_workers(std::shared_ptr<detail::Task> const& task, std::size_t workers) override;
  void pause() override;
  std::size_t input_elements(detail::Task const& task) const override;
  std::shared_ptr<detail::ActorEngine> make_actor(detail::ActorPlan&& plan) override;

  // Messages of hosts that nobody waited for: from an earlier life, or of what they did not hold.
  std::uint64_t late_messages() const;

 private:
  using Chunk = parent::Chunk;
  using Chunks = parent::Chunks;
  using Phase = parent::Phase;
  using Taken = HostLedger::Taken;

  struct Waiting {
    std::uint64_t serial = 0;
    bool alone = false;  // is granted only if nothing else is
  };
  // One worker of a host.
  struct Place {
    std::size_t host = 0;
    parent::Load load{};
    std::size_t granted = 0;         // chunks
    std::size_t granted_long = 0;    // of these
    std::uint64_t granted_ns = 0;    // as estimated when they were granted
    std::vector<Waiting> waiting{};  // not granted, in their order
  };
  // A call of start_workers() that has not ended.
  struct Start {
    std::shared_ptr<detail::Task> task;
    std::size_t workers = 0;        // that no host has been asked for
    std::set<std::size_t> hosts{};  // that have not answered
    std::exception_ptr failure{};
  };
  struct CutRequest {
    std::shared_ptr<detail::Task> task;
    std::uint64_t from = 0;
    bool ends_running = false;
  };

  // ---- the thread of the client
  void handle(Link& link, Link::Event const& event) override;
  std::optional<TimePoint> turn(Link& link, TimePoint now) override;

  // The host, and the first message to it. Throws std::bad_alloc.
  std::unique_ptr<RemoteHost> greet(Link const& link, Link::Peer peer, TimePoint now) const;
  void receive(RemoteHost& host, detail::Bytes&& bytes);
  void welcome(RemoteHost& host, Welcome const& message);
  void apply(RemoteHost& host, OutcomeMessage const& message,
             std::shared_ptr<detail::Bytes const> const& bytes);
  void deliver(Chunk const& chunk, detail::OutcomeBlock&& block);
  void lose(RemoteHost& host, std::string const& reason);
  void cut_tasks();
  void watch_deadlines(TimePoint now);
  void watch_hosts(TimePoint now);
  void place(TimePoint now);
  void give(Chunk&& chunk, std::size_t place, double each, TimePoint now);
  // What was taken out of the ledger of its host is not work of its place any more.
  void settle(Taken const& taken, bool answered);
  static bool may_grant(Place const& place, bool alone) noexcept;
  static parent::Load load_of(Place const& place) noexcept;
  static void note_granted(Place& place, HostLedger::Granted granted);
  void order_starts();
  static void end_start(Start const& start, std::exception_ptr const& failure, bool cancelled);
  // True: it is the answer to start_workers().
  bool end_part_of_start(RemoteHost& host, OutcomeMessage const& message);
  void grant();
  void balance(TimePoint now);
  void advance_end(TimePoint now);
  // Chunks that were withdrawn before they were granted, or whose host is lost.
  void requeue(std::vector<Taken>&& taken);
  void withdraw_where(std::function<Chunk(std::size_t, Chunk&)> const& cut);
  void assign_places(TimePoint now);
  bool try_again(Chunk const& failed, bool allowed, std::string const& how, int worker);
  void end_all_hopeless(std::exception_ptr const& reason);
  std::size_t ready_hosts() const;
  void publish_stats(RemoteHost const& changed);
  void end_lost(RemoteHost const& host, Chunk const& chunk, std::string const& reason);
  bool thrown_is_tried_again(Chunk const& chunk, detail::OutcomeBlock const& block);
  void requeue_chunks(Chunks&& chunks, std::optional<std::size_t> place);
  void pass_on(RemoteHost const& host, EventMessage const& message) const noexcept;

  // ---- any thread
  void check_process() const;
  // Null: all that the elements name can go to other machines.
  static std::exception_ptr refusal_of_handles(detail::Task const& task,
                                               detail::InputBuffer const& input);
  void end_element(Chunk const& chunk, std::exception_ptr const& reason, bool cancelled,
                   bool begun = false);
  void fail_cancelled(Chunks const& chunks);
  void fail_expired(Chunk const& chunk);
  void cancel_from(std::shared_ptr<detail::Task> const& task, std::uint64_t first,
                   bool ends_running);
  std::exception_ptr cancellation(detail::Task const& task) const;
  bool has_room(std::uint64_t count) const PROCPOOL_REQUIRES(mutex_);
  void await_room(detail::Lock& lock, detail::Task const& task, std::uint64_t first,
                  std::uint64_t count) PROCPOOL_REQUIRES(mutex_);
  std::optional<std::size_t> admission_limit() const noexcept;
  std::string refused_text() const;
  void cancel_start(detail::Task const& task);
  void log(std::string const& text) const noexcept;
  void tell(EventKind kind, Chunk const& chunk, int worker, std::string const& text) const noexcept;
  void begin_end(Phase phase, std::optional<TimePoint> deadline);

  // A condition that threads sleep on at a fork cannot be destroyed in the child.
  struct Waits {
    detail::Condition changed;  // hosts that answer, and the end
    detail::Condition room;
  };

  unsigned const forks_;
  Options const cluster_;
  PoolOptions const options_;
  std::shared_ptr<Client> const client_;

  // The thread of the client:
  std::vector<std::unique_ptr<RemoteHost>> hosts_;  // null: the link has not told of it
  std::vector<Place> places_;
  std::vector<Link::Peer> unheard_;  // lost; the link is not told yet
  TimePoint last_turn_{};
  Phase end_told_ = Phase::open;  // to the hosts
  bool look_soon_ = false;
  std::optional<TimePoint> next_deadline_{};
  TimePoint swept_{};

  std::unique_ptr<Waits> waits_ = std::make_unique<Waits>();
  mutable detail::Mutex mutex_;
  parent::Scheduler scheduler_ PROCPOOL_GUARDED_BY(mutex_);
  parent::Admission admission_ PROCPOOL_GUARDED_BY(mutex_);
  parent::Deadlines deadlines_ PROCPOOL_GUARDED_BY(mutex_);
  parent::Tally tally_ PROCPOOL_GUARDED_BY(mutex_);
  std::uint64_t delivered_ PROCPOOL_GUARDED_BY(mutex_) = 0;
  CallSeeds seeds_ PROCPOOL_GUARDED_BY(mutex_);
  std::vector<CutRequest> cuts_ PROCPOOL_GUARDED_BY(mutex_);
  std::vector<WorkerStats> places_seen_ PROCPOOL_GUARDED_BY(mutex_);
  Stats of_hosts_ PROCPOOL_GUARDED_BY(mutex_);
  std::size_t place_count_ PROCPOOL_GUARDED_BY(mutex_) = 0;
  std::size_t unanswered_ PROCPOOL_GUARDED_BY(mutex_) = 0;  // hosts
  std::string refused_ PROCPOOL_GUARDED_BY(mutex_);
  std::uint64_t late_ PROCPOOL_GUARDED_BY(mutex_) = 0;
  bool ended_ PROCPOOL_GUARDED_BY(mutex_) = false;
  std::map<std::uint64_t, Start> starts_ PROCPOOL_GUARDED_BY(mutex_);  // by the id of their task
};

// The engine of a pool, for another library. Throws as the constructor.
PROCPOOL_API std::unique_ptr<detail::Engine> make_engine(std::shared_ptr<Client> client,
                                                         Options options,
                                                         PoolOptions const& pool_options,
                                                         std::size_t hosts);

}  // namespace procpool::inline v0_1::cluster
