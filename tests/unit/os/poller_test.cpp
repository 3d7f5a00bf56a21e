// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// Waiting for many descriptors.
#include "os/poller.hpp"

#include <gtest/gtest.h>
#include <pthread.h>
#include <sys/epoll.h>

#include <array>
#include <atomic>
#include <csignal>
#include <thread>
#include <vector>

#include "os/event.hpp"
#include "os/socket.hpp"

namespace {

namespace os = procpool::os;
using namespace std::chrono_literals;

TEST(OsPoller, NamesWhatIsReadyByItsKey) {
  os::Poller poller;
  os::Event a;
  os::Event b;
  poller.add(a.fd(), 11, EPOLLIN);
  poller.add(b.fd(), ~std::uint64_t{0}, EPOLLIN);
  std::array<os::Ready, 4> ready{};
  EXPECT_EQ(poller.wait(ready, 0ms), 0U);
  b.notify();
  ASSERT_EQ(poller.wait(ready, 10s), 1U);
  EXPECT_EQ(ready[0].key, ~std::uint64_t{0});
  EXPECT_NE(ready[0].events & EPOLLIN, 0U);
  a.notify();
  EXPECT_EQ(poller.wait(ready, std::nullopt), 2U);
  EXPECT_EQ(poller.wait(std::span(ready).first(1), 0ms), 1U);
  poller.remove(b.fd());
  EXPECT_EQ(poller.wait(ready, 0ms), 1U);
  poller.remove(b.fd());
  poller.remove(-1);
  EXPECT_THROW(poller.wait({}, 0ms), std::system_error);
  EXPECT_THROW(poller.add(a.fd(), 1, EPOLLIN), std::system_error) << "watched already";
}

TEST(OsPoller, EdgeTriggeredEventsNeedNoDraining) {
  os::Poller poller;
  os::Event event;
  poller.add(event.fd(), 1, EPOLLIN | EPOLLET);
  std::array<os::Ready, 4> ready{};
  for (int i = 0; i < 3; ++i) {
    event.notify();
    EXPECT_EQ(poller.wait(ready, 10s), 1U);
    EXPECT_EQ(poller.wait(ready, 0ms), 0U);
  }
}

TEST(OsPoller, SeesAHangUp) {
  os::Poller poller;
  auto [mine, theirs] = os::socket_pair();
  poller.add(mine.get(), 5, EPOLLIN | EPOLLRDHUP);
  theirs.reset();
  std::array<os::Ready, 1> ready{};
  ASSERT_EQ(poller.wait(ready, 10s), 1U);
  EXPECT_NE(ready[0].events & (EPOLLHUP | EPOLLRDHUP), 0U);
}

TEST(OsPoller, TakesOddTimesAndManyEvents) {
  os::Poller poller;
  std::vector<os::Event> events(100);
  for (std::size_t i = 0; i < events.size(); ++i) {
    poller.add(events[i].fd(), i, EPOLLIN | EPOLLET);
    events[i].notify();
  }
  std::vector<os::Ready> ready(200);
  std::size_t seen = 0;
  while (std::size_t const n = poller.wait(ready, -5ms)) seen += n;
  EXPECT_EQ(seen, 100U);
  EXPECT_EQ(poller.wait(ready, std::chrono::microseconds::min()), 0U);
}

TEST(OsPoller, ASignalEndsTheWait) {
  struct sigaction action{};
  struct sigaction old{};
  action.sa_handler = [](int) {};
  ASSERT_EQ(::sigaction(SIGUSR1, &action, &old), 0);
  os::Poller poller;
  std::atomic<bool> done{false};
  std::size_t count = 99;
  std::thread waiter([&] {
    std::array<os::Ready, 1> ready{};
    count = poller.wait(ready, std::nullopt);
    done = true;
  });
  while (!done) {
    ::pthread_kill(waiter.native_handle(), SIGUSR1);
    std::this_thread::sleep_for(1ms);
  }
  waiter.join();
  ::sigaction(SIGUSR1, &old, nullptr);
  EXPECT_EQ(count, 0U);
}

}  // namespace
