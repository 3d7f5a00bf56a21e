// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// What a peer of a cluster sends: envelopes and pieces, messages, failures, options.

#include <stdexcept>

#include "cluster/conversation.hpp"
#include "cluster/failure_wire.hpp"
#include "cluster/messages.hpp"
#include "cluster/pool_options.hpp"
#include "fuzz/fuzz.hpp"

namespace {

using namespace procpool::cluster;

void converse(fuzz::Input in) {
  constexpr std::size_t piece = 16;
  Conversation conversation(1, piece);
  std::vector<procpool::detail::Bytes> messages;
  std::size_t bytes = 0;
  while (!in.empty()) {
    Envelope envelope;
    envelope.session = 1;
    envelope.number = in.take<std::uint8_t>();
    envelope.rest = in.take_bytes(in.take<std::uint8_t>());
    bytes += envelope.rest.size();
    if (envelope.number == 0 || !conversation.accept(envelope, messages)) break;
  }
  std::size_t arrived = 0;
  for (auto const& message : messages) arrived += message.size();
  fuzz::require(arrived <= bytes, "no more arrives than was sent");
}

}  // namespace

void fuzz::run(std::span<std::byte const> input) {
  Input in(input);
  switch (in.take() % 5) {
    case 0:
      if (auto const message = decode(in.rest())) {
        auto const again = encode(*message);
        require(encode(*decode(again)) == again, "a message is the same after another journey");
      }
      break;
    case 1: {
      auto const error = decode_failure(in.rest(), {"pool", "host", 0, 1, 2});
      require(error != nullptr, "there is an error for any bytes");
      procpool::describe(error);
      break;
    }
    case 2: converse(in); break;
    case 3: {
      auto const size = in.take<std::uint8_t>();
      auto const count = in.take<std::uint8_t>();
      if (auto const ends = ends_of(in.rest(), count, size)) {
        require(ends->empty() || ends->back() == in.rest().size(), "elements fill their chunk");
      }
      break;
    }
    default: try { static_cast<void>(decode_pool_options(in.rest()));
      } catch (std::runtime_error const&) {  // of a function that this program lacks
      }
  }
}

std::vector<fuzz::Bytes> fuzz::seeds() {
  auto const seed = [](std::uint8_t kind, procpool::detail::Bytes const& bytes) {
    return Output().put(kind).put_bytes(bytes).take();
  };
  procpool::WorkerDeath death;
  death.signal = 11;
  OutcomeMessage outcome;
  outcome.count = 3;
  outcome.output = {{1, "text"}};
  ChunkMessage chunk;
  chunk.values = {1, 2};
  return {seed(0, encode(Block{{outcome}})),
          seed(0, encode(chunk)),
          seed(0, encode(Hello())),
          seed(0, encode(StatsMessage())),
          seed(1, encode_failure(std::make_exception_ptr(procpool::WorkerDied(death)))),
          seed(1, encode_failure(std::make_exception_ptr(std::out_of_range("not here")))),
          Output()
              .put(std::uint8_t{2})
              .put(std::uint8_t{1})
              .put(std::uint8_t{2})
              .put(std::uint16_t{0})
              .take(),
          Output()
              .put(std::uint8_t{3})
              .put(std::uint8_t{1})
              .put(std::uint8_t{2})
              .put(std::uint16_t{0})
              .take(),
          seed(4, encode_pool_options({}))};
}
