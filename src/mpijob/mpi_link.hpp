// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#pragma once

// MpiLink: the link of a process of an MPI job. Rank 0 is the client, and rank r its peer r - 1. Only
// calls of MPI 3 that every implementation has are made, all of them on the thread that owns the
// link (MPI_THREAD_FUNNELED), and none that blocks: a blocking call takes a whole core, and waits
// for ever for a process that is gone.
//
// What has arrived is found by looking. A link that was busy just now looks without a pause for 50
// microseconds. Then it pauses, for 20 microseconds at first, twice as long each time: at most 200
// microseconds while it was busy within the last 10 milliseconds, at most one millisecond within the
// last 50, and at most two later. A ring ends a pause.
//
// MPI_Finalize needs all processes. So the link asks before: close() on a host says that the host
// leaves, and waits for the client's word whether everybody is there to finalize. If somebody is
// missing nobody does, and the processes must end by _exit().
//
// A process that dies leaves the others with what it had sent. They learn of it from those above.

#include <mpi.h>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <list>
#include <optional>
#include <string>
#include <vector>

#include <procpool/detail/engine/mutex.hpp>

#include "cluster/link.hpp"

namespace procpool::inline v0_1::mpijob {

class MpiLink final : public cluster::Link {
 public:
  // On the thread that is to own the link, once in the life of a process. Begins MPI: blocks until
  // all processes of the job do. Throws SetupError.
  MpiLink();
  ~MpiLink() override;

  std::size_t rank() const noexcept { return rank_; }
  // The processes of the job.
  std::size_t size() const noexcept { return size_; }
  // After close(). False: the process must end by _exit(), because the code of MPI that runs at an
  // exit may wait for those that are missing.
  bool finalized() const noexcept { return finalized_; }

  void send(Peer peer, detail::Bytes&& bytes) override;
  void wait(std::optional<TimePoint> deadline, std::vector<Event>& events) override;
  void ring() noexcept override;
  void drop(Peer peer) override;
  std::string name(Peer peer) const override;
  std::size_t largest_message() const override;
  // The client waits for the hosts to leave, and a host for the client's word, so long each.
  void close(std::chrono::milliseconds patience) override;

  // What a message of MPI is, by its tag.
  enum Tag : int {
    hello = 1,    // the first one, with the name of the machine
    message = 2,  // of those above
    bye = 3,      // the sender closes its link
    decision = 4  // from the client to a host that closes: one byte, 1: finalize
  };

 private:
  struct Outgoing {
    Peer peer = 0;
    Tag tag = message;
    detail::Bytes bytes{};
    MPI_Request request = MPI_REQUEST_NULL;
  };
  struct Incoming {
    std::optional<Peer> peer{};  // nothing: from no peer of this process
    int tag = 0;
    detail::Bytes bytes{};
    MPI_Request request = MPI_REQUEST_NULL;
    bool too_large = false;  // its bytes were not taken
  };
  struct Remote {
    std::list<Outgoing> waiting{};   // not given to MPI
    std::size_t under_way = 0;       // bytes that are given to MPI, one more for each message
    std::uint64_t last_look = 0;     // that found a message of it that is not whole
    bool up = false;                 // it has greeted
    bool gone = false;               // down, dropped, or left: nothing of it is an event any more
    bool left = false;               // it closes its link
    std::optional<bool> decision{};  // of the client: finalize
    std::optional<std::string> failure{};  // why it is gone; nobody has been told
  };

  bool is_client() const noexcept { return rank_ == 0; }
  int rank_of(Peer peer) const noexcept { return is_client() ? static_cast<int>(peer) + 1 : 0; }
  std::optional<Peer> peer_of(int rank) const noexcept;

  void put(Peer peer, Tag tag, detail::Bytes&& bytes);
  void begin_sends(Peer peer);
  // The next moves of all messages; what has happened goes to news_. Says whether anything moved.
  bool look();
  bool begin_receives();
  bool finish_receives();
  bool finish_sends();
  void arrived(Incoming& incoming);
  void greeted(Peer peer, detail::Bytes const& machine);
  void tell(Event::Kind kind, Peer peer, detail::Bytes&& bytes, std::string text);
  void fail(Peer peer, std::string why);
  bool tell_failures();
  // Sleeps so long, or until a ring, which counts as taken. Says whether somebody has rung.
  bool pause(std::chrono::microseconds time);
  bool take_ring();
  // Looks and pauses until the condition holds or the time is over. What happens is nobody's news.
  template <class Condition>
  void work_until(TimePoint end, Condition const& condition);
  bool finalize_together(std::chrono::milliseconds patience);

  std::size_t rank_ = 0;
  std::size_t size_ = 1;
  bool finalized_ = false;
  bool lost_ = false;  // a peer is gone that has not left
  bool some_failed_ = false;
  std::vector<Remote> remotes_;
  std::list<Outgoing> sends_;     // given to MPI
  std::list<Incoming> receives_;  // matched, in their order
  // Matched, and there was no memory for it.
  MPI_Message matched_ = MPI_MESSAGE_NULL;
  MPI_Status matched_status_{};
  std::uint64_t look_ = 0;
  TimePoint busy_{};  // when something moved last
  std::vector<Event> news_;

  mutable detail::Mutex mutex_;
  detail::Condition rung_or_over_;
  bool rung_ PROCPOOL_GUARDED_BY(mutex_) = false;
  std::vector<std::string> names_ PROCPOOL_GUARDED_BY(mutex_);
};

}  // namespace procpool::inline v0_1::mpijob
