// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#include "handle/queue_hand.hpp"

#include <utility>
#include <vector>

#include <procpool/errors.hpp>

#include "engine/element_scope.hpp"
#include "handle/byte_queue.hpp"
#include "os/thread_id.hpp"

namespace procpool::inline v0_1::handle::inline PROCPOOL_SYNC_BUILD {
namespace {

// Static objects and those of the thread may use queues while it ends.
constinit thread_local bool hands_are_gone = false;

class Hands {
 public:
  Hands() = default;
  Hands(Hands const&) = delete;
  Hands& operator=(Hands const&) = delete;
  // The thread ends. An item that was taken in an element which has not ended stays in its hand: the
  // process is about to exit in the middle of the element.
  ~Hands() {
    for (auto const& hand : all) {
      if (!is_own(*hand) || (hand->full && hand->element != 0)) continue;
      if (auto const queue = hand->queue.lock()) queue->leave(*hand);
    }
    hands_are_gone = true;
  }

  // False in a forked child: the hand is that of the parent's thread.
  static bool is_own(QueueHand const& hand) noexcept {
    return hand.thread_serial == os::this_thread_id().serial;
  }

  std::vector<std::unique_ptr<QueueHand>> all;
};

thread_local Hands hands;

void end_element(unsigned depth) noexcept {
  if (hands_are_gone) return;
  for (auto const& hand : hands.all) {
    if (!hand->full || hand->element < depth || !Hands::is_own(*hand)) continue;
    if (auto const queue = hand->queue.lock()) queue->done(*hand);
  }
}

}  // namespace

QueueHand* ThreadHands::find(ByteQueue const& queue) noexcept {
  if (hands_are_gone) return nullptr;
  for (auto const& hand : hands.all) {
    if (hand->queue_serial == queue.serial() && Hands::is_own(*hand)) return hand.get();
  }
  return nullptr;
}

QueueHand& ThreadHands::add(ByteQueue& queue) {
  if (hands_are_gone) throw SetupError("a thread that ends takes nothing from a queue any more");
  ElementScope::follow(end_element);
  std::erase_if(hands.all,
                [](auto const& old) { return !Hands::is_own(*old) || old->queue.expired(); });
  auto hand = std::make_unique<QueueHand>();
  hand->queue = queue.weak_from_this();
  hand->queue_serial = queue.serial();
  hand->thread_serial = os::this_thread_id().serial;
  return *hands.all.emplace_back(std::move(hand));
}

void ThreadHands::remove(QueueHand const& hand) noexcept {
  if (hands_are_gone) return;
  std::erase_if(hands.all, [&](auto const& other) { return other.get() == &hand; });
}

}  // namespace procpool::inline v0_1::handle::inline PROCPOOL_SYNC_BUILD
