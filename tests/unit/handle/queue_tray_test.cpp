// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// The descriptors of items: packets that stay until they are dropped, and packets of nobody.
#include "handle/queue_tray.hpp"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cstdint>
#include <span>
#include <stdexcept>
#include <vector>

#include "os/memfd.hpp"
#include "support/send.hpp"

namespace {

using procpool::handle::QueueTray;
namespace os = procpool::os;

// A file that knows its number.
class Numbered {
 public:
  explicit Numbered(std::uint32_t number) : file_(os::Memfd::create("procpool-test", 4)) {
    file_.write_at(std::as_bytes(std::span(&number, 1)), 0);
  }
  int fd() const { return file_.fd(); }

 private:
  os::Memfd file_;
};

bool put(QueueTray& tray, std::uint32_t number) {
  Numbered const file(number);
  int const fd = file.fd();
  return tray.put(number, std::span(&fd, 1)) == QueueTray::Put::done;
}

std::uint32_t number_in(std::vector<os::UniqueFd>& descriptors) {
  std::uint32_t number = 0;
  os::Memfd(std::move(descriptors.at(0))).read_at(std::as_writable_bytes(std::span(&number, 1)), 0);
  return number;
}

std::uint32_t look(QueueTray& tray, std::uint32_t number) {
  auto found = tray.look(number);
  return found ? number_in(*found) : 0;
}

TEST(QueueTray, APacketStaysUntilItIsDropped) {
  QueueTray tray;
  EXPECT_TRUE(put(tray, 1));
  EXPECT_TRUE(put(tray, 2));
  EXPECT_EQ(look(tray, 1), 1u);
  EXPECT_EQ(look(tray, 1), 1u);
  tray.drop();
  EXPECT_EQ(look(tray, 2), 2u);
  tray.drop();
  EXPECT_FALSE(tray.look(3));
}

TEST(QueueTray, PacketsOfNobodyAreDropped) {
  QueueTray tray;
  for (std::uint32_t number = 1; number < 6; ++number) EXPECT_TRUE(put(tray, number));
  EXPECT_EQ(look(tray, 5), 5u);
  tray.drop();
  EXPECT_FALSE(tray.look(6));
}

TEST(QueueTray, WhatAFaultyProcessSendsIsDropped) {
  QueueTray tray;
  std::array<char, 100> const junk{};
  ::send(tray.in(), junk.data(), junk.size(), 0);
  ::send(tray.in(), junk.data(), 1, 0);
  EXPECT_TRUE(put(tray, 7));
  EXPECT_EQ(look(tray, 7), 7u);
}

TEST(QueueTray, APacketWithTooManyDescriptorsDoesNotStay) {
  QueueTray tray;
  std::uint32_t const number = 1;
  Numbered const file(1);
  ASSERT_TRUE(support::send_with(tray.in(), std::as_bytes(std::span(&number, 1)),
                                 std::vector<int>(9, file.fd())));
  EXPECT_TRUE(put(tray, 2));
  EXPECT_FALSE(tray.look(1));
  EXPECT_EQ(look(tray, 2), 2u);
}

TEST(QueueTray, AFullTrayTakesNoMore) {
  QueueTray tray;
  Numbered const file(1);
  int const fd = file.fd();
  std::uint32_t number = 0;
  auto const put_next = [&] { return tray.put(number + 1, std::span(&fd, 1)); };
  while (put_next() == QueueTray::Put::done) ASSERT_LT(++number, 100'000u);
  EXPECT_GT(number, 0u);
  EXPECT_EQ(put_next(), QueueTray::Put::no_room);
  EXPECT_TRUE(tray.is_full());
  EXPECT_TRUE(tray.look(1));
  tray.drop();
  EXPECT_EQ(put_next(), QueueTray::Put::done);
  tray.clear();
  EXPECT_FALSE(tray.is_full());
  EXPECT_FALSE(tray.look(2));
}

TEST(QueueTray, ThatWasShutDownSaysSo) {
  QueueTray tray;
  EXPECT_TRUE(put(tray, 1));
  ::shutdown(tray.in(), SHUT_RDWR);
  Numbered const file(2);
  int const fd = file.fd();
  EXPECT_EQ(tray.put(2, std::span(&fd, 1)), QueueTray::Put::closed);
  EXPECT_EQ(look(tray, 1), 1u) << "what came before is there";
}

TEST(QueueTray, OnlySocketsAreAdopted) {
  QueueTray const tray;
  auto const file = [] { return os::UniqueFd(::open("/dev/null", O_RDWR | O_CLOEXEC)); };
  EXPECT_THROW(QueueTray(file(), file()), std::runtime_error);
  EXPECT_THROW(QueueTray(os::duplicate(tray.in()), file()), std::runtime_error);
  EXPECT_NO_THROW(QueueTray(os::duplicate(tray.in()), os::duplicate(tray.out())));
}

}  // namespace
