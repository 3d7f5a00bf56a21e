// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// The two ends of a pipe of bytes over the words that they share: what a faulty process may write
// there, what a death leaves, and an end that goes on in another process.

#include <procpool/detail/handle/byte_pipe_end.hpp>

#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstring>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include <procpool/detail/handle/shared_memory.hpp>
#include <procpool/errors.hpp>

#include "handle/pipe_layout.hpp"
#include "os/fd.hpp"
#include "os/mapping.hpp"
#include "os/memfd.hpp"
#include "os/socket.hpp"
#include "support/build.hpp"
#include "support/crowd.hpp"
#include "support/few_descriptors.hpp"
#include "support/send.hpp"
#include "support/until.hpp"

namespace {

using namespace std::chrono_literals;
namespace handle = procpool::handle;
namespace os = procpool::os;
using procpool::PipeClosed;
using procpool::detail::BytePipeEnd;
using procpool::detail::Bytes;
using procpool::detail::Resource;
using Receive = BytePipeEnd::Receive;

class BytePipeTest : public testing::Test {
 protected:
  void send(BytePipeEnd& end, std::string_view text) { end.send(std::as_bytes(std::span(text))); }
  std::string receive(BytePipeEnd& end, std::chrono::milliseconds wait = 10s) {
    Bytes bytes;
    switch (end.receive(bytes, std::chrono::steady_clock::now() + wait)) {
      case Receive::nothing: return "nothing";
      case Receive::ended: return "ended";
      case Receive::message: break;
    }
    return {reinterpret_cast<char const*>(bytes.data()), bytes.size()};
  }
  // The direction in which the first end sends.
  handle::DirectionWords& words() {
    return reinterpret_cast<handle::PipeWords*>(view_.data())->directions[0];
  }
  std::byte* ring() { return view_.data() + handle::pipe_control_bytes; }

  // Another object for the first end, as another process would have it.
  std::shared_ptr<BytePipeEnd> elsewhere() {
    std::vector<os::UniqueFd> descriptors;
    for (int const each : first_->descriptors()) descriptors.push_back(os::duplicate(each));
    return std::static_pointer_cast<BytePipeEnd>(
        BytePipeEnd::adopt(++id_, Resource::Kind::pipe_end, descriptors));
  }

  std::pair<std::shared_ptr<BytePipeEnd>, std::shared_ptr<BytePipeEnd>> both_ = BytePipeEnd::make();
  std::shared_ptr<BytePipeEnd>& first_ = both_.first;
  std::shared_ptr<BytePipeEnd>& second_ = both_.second;
  os::Memfd memory_{os::duplicate(first_->descriptors().front())};
  os::Mapping view_{memory_, os::Access::read_write};
  std::uint64_t id_ = 1'000'000;
};

TEST_F(BytePipeTest, AnEndGoesOnInAnotherProcess) {
  send(*first_, "one");
  send(*second_, "two");
  auto const there = elsewhere();
  auto owner = there->arrive();
  send(*there, "three");
  EXPECT_EQ(receive(*there), "two");
  EXPECT_EQ(receive(*second_), "one");
  EXPECT_EQ(receive(*second_), "three");
  // And back, where the positions are old ones.
  owner = first_->arrive();
  send(*first_, "four");
  EXPECT_EQ(receive(*second_), "four");
}

TEST_F(BytePipeTest, NobodyHasAnEndWhenTheLastDescriptorIsClosed) {
  auto there = elsewhere();
  send(*first_, "last");
  first_.reset();
  EXPECT_FALSE(second_->peer_gone());
  there.reset();
  EXPECT_TRUE(second_->peer_gone());
  EXPECT_EQ(receive(*second_), "last");
  EXPECT_EQ(receive(*second_), "ended");
}

TEST_F(BytePipeTest, ACopyThatGoesClosesNothing) {
  elsewhere().reset();
  send(*first_, "still there");
  EXPECT_EQ(receive(*second_), "still there");
  EXPECT_FALSE(second_->peer_gone());
}

// ---- deaths in the middle of a message

TEST_F(BytePipeTest, NobodySendsBehindAPieceOfAMessage) {
  send(*first_, "whole");
  words().tail.fetch_add(8);  // published by a process that died then
  auto const there = elsewhere();
  auto const owner = there->arrive();
  EXPECT_THROW(send(*there, "next"), PipeClosed);
}

TEST_F(BytePipeTest, NobodyReceivesBehindAPieceOfAMessage) {
  send(*second_, std::string(1'000, 'x'));
  auto& back = reinterpret_cast<handle::PipeWords*>(view_.data())->directions[1];
  back.head.fetch_add(100);
  auto const there = elsewhere();
  auto const owner = there->arrive();
  EXPECT_THROW(receive(*there), PipeClosed);
}

TEST_F(BytePipeTest, ADeathBetweenTheMarkAndTheTailLosesTheMessageAlone) {
  send(*first_, "one");
  words().tail_whole.fetch_add(16);
  auto const there = elsewhere();
  auto const owner = there->arrive();
  send(*there, "two");
  EXPECT_EQ(receive(*second_), "one");
  EXPECT_EQ(receive(*second_), "two");
}

// ---- a faulty process

TEST_F(BytePipeTest, ATailThatCannotBeIsAnError) {
  for (std::uint64_t const tail : {handle::pipe_ring_bytes + 8, ~std::uint64_t{0}}) {
    words().tail.store(tail);
    EXPECT_THROW(receive(*second_), PipeClosed);
  }
}

TEST_F(BytePipeTest, AHeadThatCannotBeIsAnError) {
  words().head.store(std::uint64_t{1} << 40);
  EXPECT_THROW(for (int i = 0; i < 10; ++i) send(*first_, std::string(10'000, 'x')), PipeClosed);
}

TEST_F(BytePipeTest, MemoryOfAnotherSizeIsRefused) {
  for (std::uint64_t const size : {handle::pipe_bytes - 4096, handle::pipe_bytes + 4096}) {
    os::Memfd other = os::Memfd::create("procpool-test", size);
    other.seal(other.seals() | F_SEAL_SHRINK | F_SEAL_GROW);
    std::vector<os::UniqueFd> descriptors;
    descriptors.push_back(other.duplicate());
    for (int const i : {1, 2}) {
      descriptors.push_back(os::duplicate(first_->descriptors()[static_cast<std::size_t>(i)]));
    }
    EXPECT_THROW(BytePipeEnd::adopt(++id_, Resource::Kind::pipe_end, descriptors),
                 procpool::detail::BadResource);
  }
}

TEST_F(BytePipeTest, ASenderThatWaitsForRoomHearsTheEnd) {
  std::jthread closes([&] {
    support::until([&] { return words().writer_sleeps.load() != 0; });
    second_->close();
  });
  EXPECT_THROW(send(*first_, std::string(3 * handle::pipe_ring_bytes, 'x')), PipeClosed);
}

TEST_F(BytePipeTest, AMessageTakesMemoryForWhatHasComeOnly) {
  handle::MessageHeader const header{std::uint64_t{1} << 62};
  std::memcpy(ring(), &header, sizeof header);
  words().tail.store(1'000);
  EXPECT_EQ(receive(*second_, 30ms), "nothing");
  first_->close();
  EXPECT_EQ(receive(*second_), "ended");
}

TEST_F(BytePipeTest, AnEndHasOneOwner) {
  auto const owner = first_->arrive();
  EXPECT_THROW(first_->arrive(), procpool::SerializationError);
  first_->close();
}

TEST_F(BytePipeTest, APieceOfAHeaderIsNoMessage) {
  words().tail.store(3);
  EXPECT_EQ(receive(*second_, 30ms), "nothing");
  first_->close();
  EXPECT_EQ(receive(*second_), "ended");
}

TEST_F(BytePipeTest, PacketsThatAreNoneOfAPipeAreDropped) {
  int const theirs = second_->descriptors()[1];
  std::string const junk(200, 'j');
  ASSERT_TRUE(support::send_with(theirs, std::as_bytes(std::span(junk)), {}));
  EXPECT_EQ(receive(*first_, 30ms), "nothing");
  ASSERT_TRUE(support::send_with(theirs, std::as_bytes(std::span(junk).first(1)),
                                 std::vector<int>(9, memory_.fd())));
  EXPECT_EQ(receive(*first_, -1s), "nothing");
  send(*second_, "one");
  EXPECT_EQ(receive(*first_), "one");
}

TEST_F(BytePipeTest, AnEndThatSendsPacketsAllTheTimeHoldsUpNobody) {
  std::atomic<bool> over{false};
  std::vector<std::jthread> flood;
  for (int i = 0; i < 6; ++i) {
    flood.emplace_back([&, theirs = second_->descriptors()[1]] {
      while (!over) ::send(theirs, "x", 1, MSG_DONTWAIT | MSG_NOSIGNAL);
    });
  }
  EXPECT_EQ(receive(*first_, 30ms), "nothing");
  EXPECT_EQ(receive(*first_, -1s), "nothing");
  over = true;
}

TEST(BytePipe, AMessageWaitsWhileTheUserHasTooManyDescriptorsOnTheirWay) {
  char const end = support::in_a_crowd([](support::Crowd& crowd) {
    auto const [first, second] = BytePipeEnd::make();
    auto const memory = procpool::detail::SharedMemory::create(1, 8);
    crowd.gather();
    std::thread leaves([&crowd] {
      std::this_thread::sleep_for(600ms);
      crowd.leave();
    });
    Bytes message(3);
    first->send(message, {memory});
    leaves.join();
    Bytes received;
    Resource::List handles;
    return second->receive(received, handles, std::chrono::steady_clock::now() + 5s) ==
               Receive::message &&
           handles == Resource::List{memory};
  });
  if (end == 'n') GTEST_SKIP() << "the system sets no such limit";
  EXPECT_EQ(end, 'v');
}

// ---- descriptors that cannot be had now

TEST_F(BytePipeTest, AValueWhoseHandlesFindNoNumberIsReceivedLater) {
  if (support::sanitized) GTEST_SKIP() << "the sanitizer opens files";
  auto const memory = procpool::detail::SharedMemory::create(1, 8);
  Bytes message(3);
  first_->send(message, {memory});
  Bytes received;
  Resource::List handles;
  for (int i = 0; i < 2; ++i) {
    std::string const text = support::refusal_with_few_descriptors(
        0, [&] { second_->receive(received, handles, std::chrono::steady_clock::now() + 1s); });
    EXPECT_NE(text.find("RLIMIT_NOFILE, is 0; ulimit -n raises it"), std::string::npos) << text;
  }
  send(*first_, "next");
  ASSERT_EQ(second_->receive(received, handles, std::chrono::steady_clock::now() + 1s),
            Receive::message);
  EXPECT_EQ(handles, Resource::List{memory});
  EXPECT_EQ(receive(*second_), "next");
}

TEST_F(BytePipeTest, APacketWithTooManyDescriptorsCostsNoMessage) {
  auto const memory = procpool::detail::SharedMemory::create(1, 8);
  std::uint64_t const position = 0;
  ASSERT_TRUE(support::send_with(first_->descriptors()[1], std::as_bytes(std::span(&position, 1)),
                                 std::vector<int>(9, memory_.fd())));
  Bytes message(3);
  first_->send(message, {memory});
  Bytes received;
  Resource::List handles;
  ASSERT_EQ(second_->receive(received, handles, std::chrono::steady_clock::now() + 1s),
            Receive::message);
  EXPECT_EQ(handles, Resource::List{memory});
}

// The system tells the other end of the rings that were not heard, once and ahead of all packets.
TEST_F(BytePipeTest, AnEndThatGoesWithoutHearingARingLosesNoHandles) {
  auto const memory = procpool::detail::SharedMemory::create(1, 8);
  Bytes message(3);
  first_->send(message, {memory});
  ASSERT_EQ(::send(second_->descriptors()[2], "x", 1, 0), 1);
  first_.reset();
  ASSERT_TRUE(support::until([&] { return second_->peer_gone(); }));
  Bytes received;
  Resource::List handles;
  ASSERT_EQ(second_->receive(received, handles, std::chrono::steady_clock::now() + 1s),
            Receive::message);
  EXPECT_EQ(handles, Resource::List{memory});
}

// ---- messages that go on and on

// A sender that is faster than the receiver. More memory than comes in a second is not taken.
TEST_F(BytePipeTest, AMessageOfWhichMoreAndMoreComesEndsWithTheDeadline) {
  std::atomic<bool> over{false};
  handle::MessageHeader const header{std::uint64_t{1} << 62};
  std::memcpy(ring(), &header, sizeof header);
  auto const end = std::chrono::steady_clock::now() + 1s;
  std::jthread sends([&] {
    constexpr std::uint64_t most = handle::pipe_ring_bytes;
    for (std::uint64_t tail = 0; !over && std::chrono::steady_clock::now() < end;) {
      tail = std::min(tail + 64, words().head.load() + most);
      words().tail.store(tail);
    }
  });
  EXPECT_EQ(receive(*second_, 30ms), "nothing");
  EXPECT_EQ(receive(*second_, -1s), "nothing");
  over = true;
  EXPECT_LT(std::chrono::steady_clock::now(), end);
}

TEST_F(BytePipeTest, WhoPollsIsRungForTheRestOfAMessage) {
  std::string const text(std::size_t{8} << 20, 'x');
  std::jthread sends([&] { send(*first_, text); });
  pollfd readable{second_->native_handle(), POLLIN, 0};
  std::string received;
  while ((received = receive(*second_, -1s)) == "nothing") {
    if (::poll(&readable, 1, 10'000) != 1) {
      ADD_FAILURE() << "nobody rings";
      received = receive(*second_);
      break;
    }
  }
  EXPECT_TRUE(received == text);
}

// Also if more of it comes at each look.
TEST_F(BytePipeTest, WhoPollsAlwaysAsksToBeRung) {
  std::atomic<bool> over{false};
  handle::MessageHeader const header{std::uint64_t{1} << 62};
  std::memcpy(ring(), &header, sizeof header);
  std::jthread sends([&] {
    constexpr std::uint64_t most = handle::pipe_ring_bytes;
    for (std::uint64_t tail = 0; !over;) {
      tail = std::min(tail + 8, words().head.load() + most);
      words().tail.store(tail);
    }
  });
  for (int i = 0; i < 20'000 && !HasFailure(); ++i) {
    words().reader_sleeps.store(0);
    EXPECT_EQ(receive(*second_, -1s), "nothing");
    EXPECT_EQ(words().reader_sleeps.load(), 1u);
  }
  over = true;
}

// The ring has no room for all of it, so its last bytes come just ahead of the end.
TEST_F(BytePipeTest, AnEndThatClosesBehindALongMessageLosesNothing) {
  std::string const text(handle::pipe_ring_bytes + 100, 'x');
  for (int i = 0; i < 200 && !HasFailure(); ++i) {
    both_ = BytePipeEnd::make();
    std::jthread sends([&] {
      send(*first_, text);
      first_.reset();
    });
    EXPECT_TRUE(receive(*second_) == text);
  }
}

TEST_F(BytePipeTest, AMessageThatIsArrivingStaysWithItsEnd) {
  handle::MessageHeader const header{1'000};
  std::memcpy(ring(), &header, sizeof header);
  words().tail.store(100);
  EXPECT_EQ(receive(*second_, 1ms), "nothing");
  auto const owner = std::make_shared<BytePipeEnd::Owner>(BytePipeEnd::Owner{second_});
  Resource::List named;
  procpool::detail::ResourceCollector const collector(named);
  EXPECT_THROW(BytePipeEnd::leave(owner), procpool::SerializationError);
  EXPECT_EQ(owner->end, second_);
}

}  // namespace
