// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#include "mpijob/mpi_link.hpp"

#include <algorithm>
#include <array>
#include <iterator>
#include <new>
#include <string_view>
#include <thread>
#include <utility>

#include <procpool/errors.hpp>

namespace procpool::inline v0_1::mpijob {
namespace {

using namespace std::chrono_literals;
using Clock = std::chrono::steady_clock;

constexpr auto looking = 50us;   // without a pause, after something has moved
constexpr auto busy_for = 10ms;  // after something has moved
constexpr auto idle_after = 50ms;
constexpr auto first_pause = 20us;  // and twice as long each time
constexpr auto longest_busy_pause = 200us;
constexpr auto longest_pause = 1'000us;
constexpr auto longest_idle_pause = 2'000us;  // a look costs MPICH 30 us

// Given to MPI at a time, for each peer, and the last message may go beyond: enough that the network
// never waits for the next look. The rest waits here, where it can be thrown away.
constexpr std::size_t bytes_under_way = std::size_t{2} << 20;
constexpr std::size_t largest = std::size_t{64} << 20;
// A flood must not keep what has arrived from those above.
constexpr int max_receives = 256;
constexpr std::size_t longest_name = 256;

std::string error_text(int error) try {
  std::array<char, MPI_MAX_ERROR_STRING> text{};
  int length = 0;
  if (MPI_Error_string(error, text.data(), &length) != MPI_SUCCESS)
    return "an unknown error of MPI";
  return {text.data(), static_cast<std::size_t>(length)};
} catch (std::bad_alloc const&) {
  return "an error of MPI";  // short enough to need no memory
}

detail::Bytes bytes_of(std::string_view text) {
  detail::Bytes bytes;
  detail::append(bytes, text.data(), text.size());
  return bytes;
}

std::string machine_name() {
  std::array<char, MPI_MAX_PROCESSOR_NAME> text{};
  int length = 0;
  if (MPI_Get_processor_name(text.data(), &length) != MPI_SUCCESS) return {};
  return std::string(text.data(), static_cast<std::size_t>(length)).substr(0, longest_name);
}

}  // namespace

MpiLink::MpiLink() {
  int begun = 0;
  MPI_Initialized(&begun);
  if (begun != 0) {
    throw SetupError(
        "this program has called MPI_Init itself, and procpool::mpi() needs the job for its hosts: "
        "a "
        "program that uses MPI of its own links procpool::procpool, and has local pools");
  }
  int provided = MPI_THREAD_SINGLE;
  MPI_Init_thread(nullptr, nullptr, MPI_THREAD_FUNNELED, &provided);
  if (provided < MPI_THREAD_FUNNELED) {
    throw SetupError("the MPI of this program has no threads (MPI_THREAD_FUNNELED), so "
                     "procpool::mpi() cannot use "
                     "it");
  }
  // Before: an error ends the job.
  MPI_Comm_set_errhandler(MPI_COMM_WORLD, MPI_ERRORS_RETURN);
  int rank = 0;
  int size = 1;
  MPI_Comm_rank(MPI_COMM_WORLD, &rank);
  MPI_Comm_size(MPI_COMM_WORLD, &size);
  rank_ = static_cast<std::size_t>(rank);
  size_ = static_cast<std::size_t>(size);
  std::size_t const peers = is_client() ? size_ - 1 : 1;
  remotes_.resize(peers);
  {
    detail::Lock const lock(mutex_);
    for (Peer peer = 0; peer < peers; ++peer) {
      names_.push_back("rank " + std::to_string(rank_of(peer)));
    }
  }
  std::string const machine = machine_name();
  for (Peer peer = 0; peer < peers; ++peer) put(peer, hello, bytes_of(machine));
}

MpiLink::~MpiLink() {
  if (finalized_) return;
  // MPI may still read and write them. The process is to end by _exit().
  for (Outgoing& outgoing : sends_) {
    if (outgoing.request != MPI_REQUEST_NULL) new detail::Bytes(std::move(outgoing.bytes));
  }
  for (Incoming& incoming : receives_) {
    if (incoming.request != MPI_REQUEST_NULL) new detail::Bytes(std::move(incoming.bytes));
  }
}

std::optional<MpiLink::Peer> MpiLink::peer_of(int rank) const noexcept {
  if (rank < 0 || static_cast<std::size_t>(rank) >= size_) return std::nullopt;
  if (is_client()) return rank == 0 ? std::nullopt : std::optional<Peer>(rank - 1);
  return rank == 0 ? std::optional<Peer>(0) : std::nullopt;
}

// --- sending ---------------------------------------------------------------------------------------

void MpiLink::send(Peer peer, detail::Bytes&& bytes) {
  if (remotes_.at(peer).gone) return;
  put(peer, message, std::move(bytes));
  busy_ = Clock::now();
}

void MpiLink::put(Peer peer, Tag tag, detail::Bytes&& bytes) {
  Outgoing& outgoing = remotes_.at(peer).waiting.emplace_back();
  outgoing.peer = peer;
  outgoing.tag = tag;
  outgoing.bytes = std::move(bytes);
  begin_sends(peer);
}

void MpiLink::begin_sends(Peer peer) {
  Remote& remote = remotes_[peer];
  while (!remote.waiting.empty() && remote.under_way < bytes_under_way) {
    Outgoing& next = remote.waiting.front();
    int error = MPI_Isend(next.bytes.data(), static_cast<int>(next.bytes.size()), MPI_BYTE,
                          rank_of(peer), next.tag, MPI_COMM_WORLD, &next.request);
    // A small message is gone at once: MPI has a copy.
    int done = 0;
    if (error == MPI_SUCCESS) error = MPI_Test(&next.request, &done, MPI_STATUS_IGNORE);
    if (error != MPI_SUCCESS) {
      next.request = MPI_REQUEST_NULL;
      return fail(peer, error_text(error));
    }
    if (done != 0) {
      remote.waiting.pop_front();
    } else {
      sends_.splice(sends_.end(), remote.waiting, remote.waiting.begin());
      remote.under_way += sends_.back().bytes.size() + 1;
    }
  }
}

bool MpiLink::finish_sends() {
  bool moved = false;
  for (auto outgoing = sends_.begin(); outgoing != sends_.end();) {
    int done = 0;
    int const error = MPI_Test(&outgoing->request, &done, MPI_STATUS_IGNORE);
    if (error == MPI_SUCCESS && done == 0) {
      ++outgoing;
      continue;
    }
    moved = true;
    Peer const peer = outgoing->peer;
    remotes_[peer].under_way -= outgoing->bytes.size() + 1;
    outgoing = sends_.erase(outgoing);
    if (error != MPI_SUCCESS) {
      fail(peer, error_text(error));
    } else {
      begin_sends(peer);
    }
  }
  return moved;
}

// --- receiving -------------------------------------------------------------------------------------

bool MpiLink::begin_receives() {
  bool moved = false;
  for (int i = 0; i < max_receives; ++i) {
    if (matched_ == MPI_MESSAGE_NULL) {
      int found = 0;
      int const error = MPI_Improbe(MPI_ANY_SOURCE, MPI_ANY_TAG, MPI_COMM_WORLD, &found, &matched_,
                                    &matched_status_);
      if (error != MPI_SUCCESS) {
        matched_ = MPI_MESSAGE_NULL;
        for (Peer peer = 0; peer < remotes_.size(); ++peer) fail(peer, error_text(error));
        return true;
      }
      if (found == 0) {
        matched_ = MPI_MESSAGE_NULL;
        return moved;
      }
    }
    moved = true;
    int size = 0;
    MPI_Get_count(&matched_status_, MPI_BYTE, &size);
    // Too large for an int is less than none.
    bool const too_large = size < 0 || static_cast<std::size_t>(size) > largest;
    detail::Bytes bytes(too_large ? 0 : static_cast<std::size_t>(size));
    Incoming& incoming = receives_.emplace_back();
    incoming.peer = peer_of(matched_status_.MPI_SOURCE);
    incoming.tag = matched_status_.MPI_TAG;
    incoming.bytes = std::move(bytes);
    incoming.too_large = too_large;
    int const error = MPI_Imrecv(incoming.bytes.data(), static_cast<int>(incoming.bytes.size()),
                                 MPI_BYTE, &matched_, &incoming.request);
    matched_ = MPI_MESSAGE_NULL;
    if (error != MPI_SUCCESS) {
      incoming.request = MPI_REQUEST_NULL;
      incoming.too_large = true;
    }
  }
  return moved;
}

bool MpiLink::finish_receives() {
  bool moved = false;
  ++look_;
  for (auto incoming = receives_.begin(); incoming != receives_.end();) {
    Remote* const remote = incoming->peer ? &remotes_[*incoming->peer] : nullptr;
    // What came earlier from the same peer goes first.
    bool whole = remote == nullptr || remote->last_look != look_;
    if (whole) {
      int done = 0;
      // Cutting a message off that is too large is an error too, and it is done then.
      int const error = MPI_Test(&incoming->request, &done, MPI_STATUS_IGNORE);
      whole = done != 0 || error != MPI_SUCCESS;
      if (error != MPI_SUCCESS) incoming->too_large = true;
    }
    if (!whole) {
      if (remote != nullptr) remote->last_look = look_;
      ++incoming;
      continue;
    }
    moved = true;
    arrived(*incoming);
    incoming = receives_.erase(incoming);
  }
  return moved;
}

// May throw std::bad_alloc, and is called again then.
void MpiLink::arrived(Incoming& incoming) {
  if (!incoming.peer) return;
  Peer const peer = *incoming.peer;
  Remote& remote = remotes_[peer];
  if (incoming.tag == bye && !remote.left) {
    if (!remote.gone) tell(Event::Kind::down, peer, {}, "it has closed its link");
    remote.left = true;
    remote.gone = true;
    return;
  }
  if (incoming.tag == decision && !is_client()) {
    remote.decision = incoming.bytes.size() == 1 && incoming.bytes.front() == std::byte{1};
    return;
  }
  if (remote.gone) return;
  if (incoming.too_large) {
    return fail(peer, "it has sent a message of more than " + std::to_string(largest) + " bytes");
  }
  if (incoming.tag == hello && !remote.up) return greeted(peer, incoming.bytes);
  if (incoming.tag == message && remote.up) {
    return tell(Event::Kind::message, peer, std::move(incoming.bytes), {});
  }
  fail(peer,
       "it has sent a message that has no place there (tag " + std::to_string(incoming.tag) + ")");
}

void MpiLink::greeted(Peer peer, detail::Bytes const& machine) {
  if (machine.size() > longest_name) return fail(peer, "its machine has an endless name");
  std::string name = "rank " + std::to_string(rank_of(peer));
  if (!machine.empty()) name += " on ";
  for (std::byte const one : machine) {
    char const shown = static_cast<char>(one);
    name += shown > ' ' && shown <= '~' ? shown : '?';
  }
  tell(Event::Kind::up, peer, {}, {});
  remotes_[peer].up = true;
  detail::Lock const lock(mutex_);
  names_[peer] = std::move(name);
}

void MpiLink::tell(Event::Kind kind, Peer peer, detail::Bytes&& bytes, std::string text) {
  Event& event = news_.emplace_back();
  event.kind = kind;
  event.peer = peer;
  event.bytes = std::move(bytes);
  event.text = std::move(text);
}

void MpiLink::fail(Peer peer, std::string why) {
  Remote& remote = remotes_[peer];
  if (!remote.gone) remote.failure = std::move(why);
  some_failed_ = true;
  drop(peer);
}

// May throw std::bad_alloc, and is called again then.
bool MpiLink::tell_failures() {
  if (!some_failed_) return false;
  for (Peer peer = 0; peer < remotes_.size(); ++peer) {
    if (!remotes_[peer].failure) continue;
    tell(Event::Kind::down, peer, {}, *remotes_[peer].failure);
    remotes_[peer].failure.reset();
  }
  some_failed_ = false;
  return true;
}

void MpiLink::drop(Peer peer) {
  Remote& remote = remotes_.at(peer);
  if (!remote.left) lost_ = true;
  remote.gone = true;
  remote.waiting.clear();
}

// --- waiting ---------------------------------------------------------------------------------------

bool MpiLink::look() {
  bool const begun = begin_receives();
  bool const received = finish_receives();
  bool const sent = finish_sends();
  bool const failed = tell_failures();
  return begun || received || sent || failed;
}

void MpiLink::wait(std::optional<TimePoint> deadline, std::vector<Event>& events) {
  std::chrono::microseconds time = first_pause;
  for (;;) {
    bool const moved = look();
    auto const now = Clock::now();
    if (moved) {
      busy_ = now;
      time = first_pause;
    }
    if (!news_.empty()) {
      events.reserve(events.size() + news_.size());
      std::ranges::move(news_, std::back_inserter(events));
      news_.clear();
      return;
    }
    if (take_ring()) return;
    if (deadline && now >= *deadline) return;
    if (now - busy_ < looking) {
      std::this_thread::yield();  // workers of this machine may wait for the processor
      continue;
    }
    auto const quiet = now - busy_;
    time = std::min(time, quiet < busy_for     ? longest_busy_pause
                          : quiet < idle_after ? longest_pause
                                               : longest_idle_pause);
    auto const left =
        deadline ? std::chrono::ceil<std::chrono::microseconds>(*deadline - now) : time;
    if (pause(std::min(time, left))) return;
    time *= 2;
  }
}

bool MpiLink::pause(std::chrono::microseconds time) {
  detail::Lock lock(mutex_);
  if (!rung_) rung_or_over_.wait_until(lock, Clock::now() + time);
  return std::exchange(rung_, false);
}

bool MpiLink::take_ring() {
  detail::Lock const lock(mutex_);
  return std::exchange(rung_, false);
}

void MpiLink::ring() noexcept {
  detail::Lock const lock(mutex_);
  rung_ = true;
  rung_or_over_.notify_one();
}

std::string MpiLink::name(Peer peer) const {
  detail::Lock const lock(mutex_);
  return names_.at(peer);
}

std::size_t MpiLink::largest_message() const { return largest; }

// --- the end ---------------------------------------------------------------------------------------

template <class Condition>
void MpiLink::work_until(TimePoint end, Condition const& condition) {
  std::chrono::microseconds time = first_pause;
  for (;;) {
    if (look()) time = first_pause;
    news_.clear();
    if (condition() || Clock::now() >= end) return;
    pause(time);
    time = std::min<std::chrono::microseconds>(2 * time, longest_pause);
  }
}

void MpiLink::close(std::chrono::milliseconds patience) {
  // Also to those that were dropped: they may be alive, and are to end.
  for (Peer peer = 0; peer < remotes_.size(); ++peer) put(peer, bye, {});
  if (!finalize_together(patience)) return;
  finalized_ = MPI_Finalize() == MPI_SUCCESS;
}

bool MpiLink::finalize_together(std::chrono::milliseconds patience) {
  auto const all_sent = [this] {
    return sends_.empty() && std::ranges::all_of(remotes_, [](Remote const& remote) {
             return remote.waiting.empty();
           });
  };
  if (!is_client()) {
    Remote const& client = remotes_.front();
    work_until(Clock::now() + patience, [&] { return client.decision || lost_; });
    return client.decision.value_or(false);
  }
  auto const all_left = [this] { return std::ranges::all_of(remotes_, &Remote::left); };
  work_until(Clock::now() + patience, [&] {
    // Those that are lost are not waited for.
    return std::ranges::all_of(remotes_, [](Remote const& r) { return r.left || r.gone; });
  });
  bool const together = !lost_ && all_left() && all_sent() && receives_.empty();
  for (Peer peer = 0; peer < remotes_.size(); ++peer) {
    put(peer, decision, detail::Bytes(1, std::byte{together}));
  }
  work_until(Clock::now() + patience, [&] { return all_sent() || lost_; });
  return together && all_sent() && !lost_;
}

}  // namespace procpool::inline v0_1::mpijob
