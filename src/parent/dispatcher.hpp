#pragma once

// The dispatcher: the pool's own thread, and the only one that makes and buries workers. It sleeps in
// epoll on every worker's pidfd, control socket and event, and on the pool's own wake event; it starts
// workers when elements wait for them, ends those that are late or wrote what cannot be, replaces the
// dead, evens the load, and carries out the pool's end. No user code runs on it.
//
// `start_once` may be called from any thread; the rest is the thread's own. All workers, or the template
// process that forks them, are its children and it outlives them, which is what the parent-death signal of a
// worker is tied to.

#include <sys/types.h>

#include <atomic>
#include <chrono>
#include <exception>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "os/activity.hpp"
#include "os/cgroup.hpp"
#include "os/event.hpp"
#include "os/fd.hpp"
#include "os/liveness_pipe.hpp"
#include "os/poller.hpp"
#include "os/process.hpp"
#include "os/spawn.hpp"
#include "parent/core.hpp"
#include "parent/fork_server_client.hpp"
#include "protocol/handshake.hpp"

namespace procpool::inline v0::parent {

class Dispatcher {
 public:
  explicit Dispatcher(Core& core);
  // The core must have ended.
  ~Dispatcher();

  // Starts the thread if there is none. Throws SetupError.
  void start_once();
  bool started();

 private:
  using TimePoint = Core::TimePoint;

  enum class State { vacant, starting, initializing, ready, leaving };
  // Why a worker that is leaving does.
  enum class ExitReason { with_pool, recycled, idle, resized, hung_up };

  // What is made for a worker that has no process yet.
  struct PendingWorker {
    std::unique_ptr<channel::ParentEnd> channel;
    os::UniqueFd ours;  // of the control socket
    os::UniqueFd theirs;
    std::unique_ptr<OutputCapture> output;  // null, unless it is captured
    bool hello_said = false;
  };

  // Of a worker that has something to do: whether it gets on. See dispatcher_vigil.cpp.
  struct Vigil {
    TimePoint next{};            // to be looked at again; none: it was not looked at yet
    std::uint64_t progress = 0;  // as seen at the last look
    std::uint64_t ticks = 0;     // of the processor, when it last got on
    std::uint64_t sleep = 0;     // what it slept on at the last look, see os::deadlock_of
    // So many looks in a row ...
    unsigned stopped = 0;
    unsigned deadlocked = 0;
    unsigned deep_sleep = 0;
    bool nudged = false;
    std::optional<TimePoint> crashes;  // since
    std::optional<TimePoint> exits;
    bool debugged = false;  // as the log has been told
    bool dead = false;      // killed, and looked at
  };

  // What the dispatcher knows of a slot's worker.
  struct Life {
    State state = State::vacant;
    PendingWorker pending;
    std::uint64_t request_id = 0;              // not 0: it is a fork
    std::uint64_t fork_server_number = 0;      // by that template
    bool fork_pending = false;                 // not yet forked
    bool unwatched = false;                    // its pidfd has to be looked at
    bool ended = false;                        // and the template is asked how
    std::optional<TimePoint> status_wanted{};  // since when it could not be asked
    pid_t pid = 0;
    std::uint64_t inherited_peak = 0;  // os::Exit::peak says nothing up to this
    int control = -1;                  // owned by the slot, as the next
    int output = -1;
    os::Cgroup cgroup;
    os::UniqueFd pidfd;
    std::optional<os::Event> event;
    TimePoint deadline{};              // starting: to say its first word; leaving: to be gone
    std::optional<TimePoint> hung_up;  // ready: when its control socket was found closed
    bool termed = false;               // leaving: has had its SIGTERM
    bool marked_for_kill = false;      // ended for the element that it ran
    bool killed = false;               // by us
    TimePoint abandoned{};             // killed: when it is, should it be there still
    bool reached = true;               // killed: the signal was
    bool forced = false;               // killed because it would not end otherwise
    bool departed = false;       // leaving: nothing but its exit is missing, and that is a stray's
    bool parked = false;         // rings when it has news
    std::exception_ptr failure;  // of its initializer
    std::shared_ptr<detail::Task> initializer;  // initializing: the call
    std::string why_killed;                     // for the sentence that reports its end
    TimePoint retires{};                        // ready: when it is to be replaced
    ExitReason why = ExitReason::with_pool;
    std::shared_ptr<detail::Task> exit_handler;  // leaving: the call
    bool exit_handler_given = false;
    bool busy = false;  // leaving: it runs an element
    Vigil vigil;
    std::string cause;  // not empty: it was ended for what it is, and no element has asked for that

    // It has a channel, and may have something to say there.
    bool speaks() const noexcept {
      return state != State::vacant && state != State::starting && !fork_pending;
    }
  };

  // A process that is no slot's any more. One that was given up is left alone, and its group too. One that was
  // parted with is exiting, and has a deadline for that. When it ends it is reaped.
  struct Stray {
    pid_t pid;
    os::UniqueFd pidfd;
    std::uint64_t request_id;
    std::uint64_t fork_server_number;
    bool reached;
    bool watched = false;
    std::optional<TimePoint> status_wanted{};  // as a Life's
    std::optional<std::size_t> slot{};         // exiting: where it was, as the next
    std::optional<TimePoint> deadline{};  // exiting: for the next signal, as long as there is one
    bool termed = false;                  // exiting: has had its SIGTERM
    os::UniqueFd control{};  // exiting: it must not take us for gone, nor its output for unwanted
    os::UniqueFd output{};
    os::Cgroup cgroup{};
  };

  void start();  // start_mutex_ is held
  void run();
  // Whatever fails in it for want of memory is looked at again soon: each of these finds what it left.
  template <class Body>
  void attempt(Body&& body) noexcept;
  // One look at everything that depends on time or counts; returns how long to sleep.
  std::optional<std::chrono::microseconds> turn(TimePoint now);
  void handle(os::Ready const& ready);
  void park_workers();
  void begin_short_poll();
  std::uint32_t next_sleep() noexcept;
  void look_at(std::size_t slot);
  void look_at_everything();

  // Births.
  bool wants_worker();
  std::optional<std::size_t> vacancy(std::size_t wanted);
  void start_worker(std::size_t slot);
  std::string title(std::size_t slot) const;
  void make_pending(std::size_t slot);
  os::Child spawn(std::size_t slot);
  void send_hello(std::size_t slot, PendingWorker& pending);
  // There is a process: it is watched, greeted, and the slot's.
  void on_started(std::size_t slot, os::Child child);
  void on_control(std::size_t slot);
  void on_output(std::size_t slot);
  void greet(std::size_t slot, protocol::Ready const& answer);
  void make_ready(std::size_t slot);
  void initialize(std::size_t slot);
  // Looks whether the initializer has ended, and how.
  void look_at_initializer(std::size_t slot);
  // An element of a task of the pool's own, for one worker, past the scheduler.
  static Chunk exit_handler_element(BoundCall const& call);
  // `error`: what the pool has failed with, should this have been the last attempt. `shot`: somebody
  // killed it, which says little about the next one.
  void start_failed(std::size_t slot, std::string const& reason, std::exception_ptr error = nullptr,
                    bool killed_externally = false) noexcept;
  std::string refusal(std::size_t slot);

  // Forks.
  bool forks() const;  // workers are forked, not spawned
  void start_fork_server();
  os::Exit end_fork_server();  // how it ended
  // False: no template could be asked, the worker is to be spawned.
  bool ask_for_fork(std::size_t slot);
  ForkServerClient::Order ask_for_status(std::size_t slot);
  // Of anybody's that is dead. Nobody: it is not, or not any more, to be asked. `wanted` is since when.
  ForkServerClient::Order ask_template(std::uint64_t request_id, std::uint64_t fork_server_number,
                                       std::optional<TimePoint>& wanted);
  void on_fork_server();
  void on_report(ForkServerClient::Forked& forked);
  // It has not been born, and will not be. `failure`: not empty, if its start counts as a failed one; `shot`: as in
  // start_failed().
  void unmake(std::size_t slot, std::string const& failure = {}, bool killed_externally = false);
  // `believed`: it is the right program, and its start is no failed one.
  void lose_fork_server(std::string const& why, bool believed = true);
  std::optional<TimePoint> look_at_fork_server(TimePoint now);

  // Workers that do not get on.
  std::optional<TimePoint> look_after(std::size_t slot, TimePoint now);
  std::optional<TimePoint> look_at_dead(std::size_t slot, TimePoint now);
  void look_at_stop(std::size_t slot, os::Activity const& activity);
  bool traced_by_us(std::size_t slot, pid_t tracer) const;
  void look_at_sleep(std::size_t slot, Slot::Duty const& duty, os::Activity const& activity);
  // Of what must come to an end by itself.
  bool takes_too_long(std::size_t slot, TimePoint now, Slot::Duty const& duty,
                      os::Activity const& activity);
  void end_for(std::size_t slot, std::string cause);

  // Deaths.
  void kill(std::size_t slot, std::string_view why);
  void send_kill(std::size_t slot);
  // It is killed, and does not end: from here on it is nobody's worker.
  void abandon(std::size_t slot);
  // It has left, and only its exit takes a while (static destructors): its place is free for another. Should
  // there be too many of that kind, it keeps its place.
  void part_with_leaver(std::size_t slot);
  // Ends those whose time to exit is over, and reaps those that have ended. `next` is when to look again.
  void look_at_strays(TimePoint now, std::optional<TimePoint>& next);
  // True: one is left that is sure to end soon.
  bool reap_strays();
  void note_exit(Stray const& stray, os::Exit const& exit);
  bool spent(std::size_t slot);  // it has been given all that one worker may be
  // Asks it to leave; what it has not begun goes to others.
  void let_go(std::size_t slot, TimePoint now, ExitReason why);
  // Of a worker that is ready: whether it should leave, and why. Else `next` is when to look again.
  std::optional<ExitReason> should_leave(std::size_t slot, TimePoint now, std::size_t wanted,
                                         std::optional<TimePoint>& next);
  // Its time to leave begins when what it runs has ended.
  void await_last_element(std::size_t slot, TimePoint now);
  void give_exit_handler(std::size_t slot);
  void report_exit_handler(std::size_t slot);
  // True: every group of a worker that is gone is removed.
  bool remove_groups();
  void note_end(std::size_t slot, std::string const& how);
  void on_exit(std::size_t slot);
  void reap(std::size_t slot, os::Exit exit);
  void change(std::size_t slot, State to);
  void delay_spawns(TimePoint now, unsigned in_a_row);

  // The end. True: every worker is gone.
  bool advance_end(TimePoint now);

  Core& core_;
  std::mutex start_mutex_;
  std::thread thread_;  // guarded by start_mutex_ until started
  std::atomic<bool> running_{false};

  std::optional<os::Poller> poller_;      // from start_once on
  std::vector<std::string> environment_;  // of the workers: the program's at the time of start_once
  os::UniqueFd image_;
  os::UniqueFd self_;  // pidfd of this process, for the workers' watch, as the next
  std::uint64_t began_ = 0;
  std::optional<os::LivenessPipe> liveness_pipe_;
  std::vector<identity::LoadedModule> modules_;
  std::vector<Life> lives_;
  std::optional<ForkServerClient> fork_server_;
  std::uint64_t fork_server_number_ = 0;
  std::uint64_t last_request_id_ = 0;
  unsigned useless_fork_servers_ = 0;     // in a row
  bool never_forks_ = false;              // any more
  bool spawns_next_ = false;              // until one is ready: the last template did not come up
  std::vector<os::Cgroup> ended_groups_;  // somebody may still be in them
  std::vector<Stray> strays_;
  std::size_t seen_wanted_;
  std::uint32_t sleep_number_ = 0;
  std::size_t taken_ = 0;        // outcomes, or blocks of them, since the last sleep
  unsigned failed_starts_ = 0;   // in a row
  unsigned external_kills_ = 0;  // of these, by others
  unsigned useless_deaths_ = 0;  // in a row: nothing begun, nothing done
  TimePoint no_spawn_before_{};
  unsigned continued_ = 0;  // workers that somebody had stopped
  bool hindered_ = false;   // something failed for want of memory since the last turn
  bool killing_begun_ = false;
  bool cancelling_begun_ = false;
};

}  // namespace procpool::inline v0::parent
