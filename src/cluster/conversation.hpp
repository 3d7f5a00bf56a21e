// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#pragma once

// Conversation: the messages of one pool with one peer, either end. It numbers them, drops what comes
// twice, and keeps what comes early until what was before it has come. A large message travels in
// pieces, of which only a few are under way, so that urgent messages never wait behind it for long.
//
// For the link's thread alone. It does no I/O. It waits for memory if there is none.

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <span>
#include <vector>

#include <procpool/detail/engine/bytes.hpp>

namespace procpool::inline v0_1::cluster {

// The head of what a link carries. Nothing: the bytes are of nobody here.
struct Envelope {
  std::uint64_t session = 0;  // one pool at one host: a random number
  std::uint64_t number = 0;   // of the message, from 1
  std::span<std::byte const> rest{};
};
std::optional<Envelope> open_envelope(std::span<std::byte const> bytes);

// Of no pool: says that the client lives. Nothing is left of it at a host.
detail::Bytes sign_of_life();
inline constexpr std::uint64_t session_of_none = 0;
inline constexpr std::chrono::milliseconds beat_of_client{1000};

class Conversation {
 public:
  static constexpr std::size_t piece_bytes = std::size_t{16} << 20;
  static constexpr std::size_t max_pieces = 4;    // under way
  static constexpr std::size_t max_early = 4096;  // messages that wait for one before them
  // `piece`: tests have smaller ones.
  explicit Conversation(std::uint64_t session, std::size_t piece = piece_bytes)
      : session_(session), piece_(piece) {}

  std::uint64_t session() const noexcept { return session_; }

  // ---- sending
  enum class Lane : std::uint8_t {
    urgent,  // may go ahead of what is not sent yet
    in_order
  };
  void post(detail::Bytes&& message, Lane lane = Lane::in_order);
  // The next bytes for the link. Nothing: all is sent, or the peer has not taken the pieces before.
  std::optional<detail::Bytes> next();
  bool has_more() const noexcept { return !urgent_.empty() || !in_order_.empty(); }
  // Bytes that were posted and not sent.
  std::uint64_t waiting_bytes() const noexcept { return waiting_bytes_; }

  // ---- receiving
  // Appends the messages that are complete now. False: the peer writes what cannot be.
  bool accept(Envelope const& envelope, std::vector<detail::Bytes>& messages);
  std::uint64_t dropped() const noexcept { return dropped_; }  // came twice

 private:
  enum class Form : std::uint8_t { whole, piece, taken };

  detail::Bytes packet(Form form, std::size_t body);
  bool take(std::span<std::byte const> rest, std::vector<detail::Bytes>& messages);

  std::uint64_t const session_;
  std::size_t const piece_;
  // sending
  std::deque<detail::Bytes> urgent_;
  std::deque<detail::Bytes> in_order_;
  std::uint64_t waiting_bytes_ = 0;
  std::size_t offset_ = 0;  // of the first one in order: what is sent of it
  std::size_t under_way_ = 0;
  std::uint64_t taken_ = 0;  // pieces that the peer has not been told of
  std::uint64_t sent_ = 0;
  // receiving
  std::uint64_t received_ = 0;
  std::map<std::uint64_t, detail::Bytes> early_;
  std::optional<detail::Bytes> large_;  // as far as it has come
  std::uint64_t total_ = 0;             // of it
  std::uint64_t dropped_ = 0;
};

}  // namespace procpool::inline v0_1::cluster
