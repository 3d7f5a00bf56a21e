// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// Packets with descriptors, and peers that misbehave.
#include "os/socket.hpp"

#include <arpa/inet.h>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#include "os/event.hpp"
#include "support/lingering.hpp"
#include "support/send.hpp"

namespace {

namespace os = procpool::os;
namespace fs = std::filesystem;

std::span<std::byte const> bytes(std::string_view text) {
  return std::as_bytes(std::span(text.data(), text.size()));
}

std::string text(os::Packet const& packet) {
  return {reinterpret_cast<char const*>(packet.bytes.data()), packet.bytes.size()};
}

std::ptrdiff_t open_count() {
  return std::distance(fs::directory_iterator("/proc/self/fd"), fs::directory_iterator());
}

TEST(OsSocket, PacketsStayWholeAndInOrder) {
  auto [a, b] = os::socket_pair();
  EXPECT_GE(a.get(), 10);
  EXPECT_GE(b.get(), 10);
  EXPECT_NE(::fcntl(a.get(), F_GETFD) & FD_CLOEXEC, 0);
  EXPECT_EQ(os::send_packet(a.get(), bytes("one"), {}, false), os::SendResult::sent);
  EXPECT_EQ(os::send_packet(a.get(), bytes("two!"), {}, true), os::SendResult::sent);
  os::Packet packet;
  EXPECT_EQ(os::receive_packet(b.get(), packet, false), os::ReceiveResult::received);
  EXPECT_EQ(text(packet), "one");
  EXPECT_EQ(os::receive_packet(b.get(), packet, true), os::ReceiveResult::received);
  EXPECT_EQ(text(packet), "two!");
  EXPECT_EQ(os::receive_packet(b.get(), packet, false), os::ReceiveResult::would_block);
  EXPECT_TRUE(packet.bytes.empty());
}

TEST(OsSocket, PassesDescriptors) {
  auto const before = open_count();
  {
    auto [a, b] = os::socket_pair();
    os::Event event;
    std::vector<int> const eight(8, event.fd());
    ASSERT_EQ(os::send_packet(a.get(), bytes("x"), eight, false), os::SendResult::sent);
    os::Packet packet;
    ASSERT_EQ(os::receive_packet(b.get(), packet, false), os::ReceiveResult::received);
    ASSERT_EQ(packet.fds.size(), 8U);
    for (os::UniqueFd const& fd : packet.fds) {
      EXPECT_GE(fd.get(), 10);
      EXPECT_NE(::fcntl(fd.get(), F_GETFD) & FD_CLOEXEC, 0);
    }
    EXPECT_TRUE(os::Event(std::move(packet.fds[7])).notify());
    EXPECT_EQ(event.drain(), 1U);
    // The next receive drops the descriptors that nobody took.
    os::send_packet(a.get(), bytes("y"), {}, false);
    ASSERT_EQ(os::receive_packet(b.get(), packet, false), os::ReceiveResult::received);
    EXPECT_TRUE(packet.fds.empty());
  }
  EXPECT_EQ(open_count(), before);
}

TEST(OsSocket, ANeverReadingPeerIsWouldBlockOrWaitedFor) {
  auto [a, b] = os::socket_pair();
  std::string const large(4096, 'L');
  int sent = 0;
  while (os::send_packet(a.get(), bytes(large), {}, false) == os::SendResult::sent) ++sent;
  EXPECT_GT(sent, 0);
  EXPECT_EQ(os::send_packet(a.get(), bytes(large), {}, false), os::SendResult::would_block);
  std::thread reader([&sent, fd = b.get()] {
    os::Packet packet;
    for (int i = 0; i <= sent; ++i) os::receive_packet(fd, packet, true);
  });
  EXPECT_EQ(os::send_packet(a.get(), bytes("end"), {}, true), os::SendResult::sent);
  reader.join();
}

TEST(OsSocket, WaitingWorksOnAnEndThatWasMadeNonBlocking) {
  auto [a, b] = os::socket_pair();
  ASSERT_EQ(::fcntl(b.get(), F_SETFL, O_NONBLOCK), 0);
  std::thread sender([fd = a.get()] {
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
    os::send_packet(fd, bytes("late"), {}, true);
  });
  os::Packet packet;
  EXPECT_EQ(os::receive_packet(b.get(), packet, true), os::ReceiveResult::received);
  EXPECT_EQ(text(packet), "late");
  sender.join();
}

TEST(OsSocket, AGonePeerIsClosedWithoutASignal) {
  auto [a, b] = os::socket_pair();
  b.reset();
  EXPECT_EQ(os::send_packet(a.get(), bytes("x"), {}, false), os::SendResult::closed);
  os::Packet packet;
  EXPECT_EQ(os::receive_packet(a.get(), packet, true), os::ReceiveResult::closed);
  EXPECT_EQ(os::send_packet(-1, bytes("x"), {}, false), os::SendResult::closed);
  EXPECT_EQ(os::receive_packet(-1, packet, false), os::ReceiveResult::closed);
  os::Event const no_socket;
  EXPECT_EQ(os::send_packet(no_socket.fd(), bytes("x"), {}, false), os::SendResult::closed);
  EXPECT_EQ(os::receive_packet(no_socket.fd(), packet, false), os::ReceiveResult::closed);
}

TEST(OsSocket, WhatAPeerSentBeforeItDiedIsReceived) {
  auto [a, b] = os::socket_pair();
  // Unread packets of ours make the kernel report ECONNRESET ahead of what the peer had sent.
  os::send_packet(a.get(), bytes("never read"), {}, false);
  os::send_packet(b.get(), bytes("last"), {}, false);
  os::send_packet(b.get(), bytes("words"), {}, false);
  b.reset();
  os::Packet packet;
  ASSERT_EQ(os::receive_packet(a.get(), packet, false), os::ReceiveResult::received);
  EXPECT_EQ(text(packet), "last");
  ASSERT_EQ(os::receive_packet(a.get(), packet, false), os::ReceiveResult::received);
  EXPECT_EQ(text(packet), "words");
  EXPECT_EQ(os::receive_packet(a.get(), packet, false), os::ReceiveResult::closed);
}

TEST(OsSocket, OverlongPacketsAreErrorsThatLeakNothing) {
  auto const before = open_count();
  {
    auto [a, b] = os::socket_pair();
    int const passed = a.get();
    os::send_packet(a.get(), bytes(std::string(101, 'x')), std::span(&passed, 1), false);
    os::send_packet(a.get(), bytes("after"), {}, false);
    auto const between = open_count();
    os::Packet packet;
    try {
      os::receive_packet(b.get(), packet, false, 100);
      ADD_FAILURE();
    } catch (std::system_error const& e) {
      EXPECT_EQ(e.code().value(), EPROTO);
    }
    EXPECT_TRUE(packet.fds.empty());
    EXPECT_EQ(open_count(), between);
    EXPECT_EQ(os::receive_packet(b.get(), packet, false, 100), os::ReceiveResult::received);
    EXPECT_EQ(text(packet), "after");
  }
  EXPECT_EQ(open_count(), before);
}

// A faulty peer can do what send_packet refuses to.
void send_raw(int fd, std::size_t size, int passed, std::size_t count) {
  constexpr char payload[8] = "faulty";
  ASSERT_TRUE(support::send_with(fd, std::as_bytes(std::span(payload).first(size)),
                                 std::vector<int>(count, passed)));
}

TEST(OsSocket, TooManyDescriptorsAreAnErrorThatLeaksNothing) {
  auto const before = open_count();
  {
    auto [a, b] = os::socket_pair();
    auto const between = open_count();
    for (std::size_t const count : {std::size_t{9}, std::size_t{10}, std::size_t{32}}) {
      send_raw(a.get(), 6, a.get(), count);
      os::Packet packet;
      try {
        os::receive_packet(b.get(), packet, false);
        ADD_FAILURE() << count;
      } catch (std::system_error const& e) {
        EXPECT_EQ(e.code().value(), EPROTO);
      }
      EXPECT_EQ(open_count(), between);
    }
  }
  EXPECT_EQ(open_count(), before);
}

TEST(OsSocket, WhatLingersBlocksNobodyWhoTakesMemoryFiles) {
  {
    auto [a, b] = os::socket_pair();
    support::Lingering lingering;
    lingering.pass(a.get());
    os::Packet packet;
    EXPECT_EQ(os::receive_packet(b.get(), packet, false), os::ReceiveResult::received);
    if (support::at_once([&] { packet.fds.clear(); })) GTEST_SKIP() << "nothing lingers here";
  }
  auto [a, b] = os::socket_pair();
  support::Lingering lingering;
  lingering.pass(a.get());
  os::Packet packet;
  EXPECT_TRUE(support::at_once([&, fd = b.get()] {
    EXPECT_EQ(os::receive_packet(fd, packet, false, 100, os::Takes::memory_files),
              os::ReceiveResult::received);
    packet.fds.clear();
  }));
  EXPECT_TRUE(packet.foreign);
  EXPECT_TRUE(packet.fds.empty());
}

TEST(OsSocket, WhatLingersUnreceivedBlocksNobodyWhoClosesTheSocket) {
  auto [a, b] = os::socket_pair();
  // In front of it what has no bytes, and what is harmless.
  ASSERT_TRUE(support::send_with(a.get(), std::span<std::byte const>(), std::vector<int>{a.get()}));
  os::send_packet(a.get(), bytes("x"), {}, false);
  support::Lingering lingering;
  lingering.pass(a.get());
  EXPECT_TRUE(support::at_once([&, fd = &b] { os::close_socket(std::move(*fd)); }));
}

// Of one of several descriptors of a socket, whether or not somebody has the other end.
TEST(OsSocket, WhatLingersBehindAnEmptyPacketBlocksNobody) {
  for (bool const gone : {false, true}) {
    auto [a, b] = os::socket_pair();
    ASSERT_TRUE(support::send_with(a.get(), {}, {}));
    support::Lingering lingering;
    lingering.pass(a.get());
    if (gone) a.reset();
    EXPECT_TRUE(support::at_once([fd = &b] { os::close_packet_socket(std::move(*fd)); })) << gone;
  }
}

TEST(OsSocket, OneWithoutPacketsIsClosedByTheCaller) {
  auto [a, b] = os::socket_pair();
  int const numbers[] = {a.get(), b.get()};
  os::close_packet_socket(std::move(a));
  EXPECT_LT(::fcntl(numbers[0], F_GETFD), 0);
  os::close_packet_socket(std::move(b));
  EXPECT_LT(::fcntl(numbers[1], F_GETFD), 0);
}

TEST(OsSocket, WhatLingersInTheSocketsOfARefusedPacketBlocksNobody) {
  auto [a, b] = os::socket_pair();
  auto [in, out] = os::socket_pair();
  support::Lingering lingering;
  lingering.pass(in.get());
  ASSERT_TRUE(support::send_with(a.get(), bytes("x"), std::vector<int>(9, out.get())));
  out.reset();
  EXPECT_TRUE(support::at_once([fd = b.get()] {
    os::Packet packet;
    EXPECT_THROW(os::receive_packet(fd, packet, false, 100, os::Takes::memory_files_and_sockets),
                 std::system_error);
  }));
}

TEST(OsSocket, MemoryFilesAreTaken) {
  auto [a, b] = os::socket_pair();
  os::UniqueFd const file(::memfd_create("test", MFD_CLOEXEC));
  int const passed = file.get();
  os::send_packet(a.get(), bytes("x"), std::span(&passed, 1), false);
  os::Packet packet;
  EXPECT_EQ(os::receive_packet(b.get(), packet, false, 100, os::Takes::memory_files),
            os::ReceiveResult::received);
  EXPECT_FALSE(packet.foreign);
  EXPECT_EQ(packet.fds.size(), 1U);
}

TEST(OsSocket, AnEmptyPacketEndsTheConversationAndLeaksNothing) {
  auto [a, b] = os::socket_pair();
  auto const between = open_count();
  send_raw(a.get(), 0, a.get(), 3);
  os::Packet packet;
  EXPECT_EQ(os::receive_packet(b.get(), packet, false), os::ReceiveResult::closed);
  EXPECT_EQ(open_count(), between);
}

TEST(OsSocket, NoNumbersLeftIsAnErrorThatLeaksNothing) {
  // In a process of its own: the limit is everybody's.
  pid_t const child = ::fork();
  if (child == 0) {
    auto [a, b] = os::socket_pair();
    std::vector<int> const many(4, a.get());
    os::send_packet(a.get(), bytes("x"), many, false);
    auto const end = static_cast<rlim_t>(std::max(a.get(), b.get())) + 3;
    rlimit const tight{end, end};
    auto const between = open_count();
    ::setrlimit(RLIMIT_NOFILE, &tight);
    // Only what lies below the limit can be given out; fill it but for two.
    std::vector<os::UniqueFd> fill;
    for (int fd = 0; (fd = ::dup(a.get())) >= 0;) fill.emplace_back(fd);
    fill.pop_back();
    fill.pop_back();
    os::Packet packet;
    try {
      os::receive_packet(b.get(), packet, false);
      ::_exit(1);
    } catch (std::system_error const&) {
    }
    fill.clear();
    ::_exit(packet.fds.empty() && open_count() == between ? 0 : 2);
  }
  int status = -1;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
}

TEST(OsSocket, MistakesOfTheCallerAreErrors) {
  auto [a, b] = os::socket_pair();
  EXPECT_THROW(os::send_packet(a.get(), {}, {}, false), std::system_error) << "empty";
  std::vector<int> const nine(9, a.get());
  EXPECT_THROW(os::send_packet(a.get(), bytes("x"), nine, false), std::system_error);
  int const closed = 1 << 28;
  EXPECT_THROW(os::send_packet(a.get(), bytes("x"), std::span(&closed, 1), false),
               std::system_error);
  std::string const huge(std::size_t{8} << 20, 'h');
  EXPECT_THROW(os::send_packet(a.get(), bytes(huge), {}, false), std::system_error);
}

}  // namespace
