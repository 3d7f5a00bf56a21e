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

// A descriptor that takes its time to be closed: of a connection whose other end does not read.
class Lingering {
 public:
  static constexpr int seconds = 2;

  Lingering() {
    int const listener = ::socket(AF_INET, SOCK_STREAM, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    auto* const generic = reinterpret_cast<sockaddr*>(&address);
    bool well = ::bind(listener, generic, size) == 0 && ::listen(listener, 1) == 0 &&
                ::getsockname(listener, generic, &size) == 0;
    int const fd = ::socket(AF_INET, SOCK_STREAM, 0);
    well = well && ::connect(fd, generic, size) == 0;
    other_.reset(::accept(listener, nullptr, nullptr));
    ::close(listener);
    std::string const much(1 << 20, 'm');
    while (::send(fd, much.data(), much.size(), MSG_DONTWAIT) > 0) {
    }
    linger const lingers{1, seconds};
    well = well && ::setsockopt(fd, SOL_SOCKET, SO_LINGER, &lingers, sizeof lingers) == 0;
    one_.reset(fd);
    EXPECT_TRUE(well);
  }
  // It is the receiver's alone from here on.
  void pass(int socket) {
    char const text[] = "large";
    ASSERT_TRUE(
        support::send_with(socket, std::as_bytes(std::span(text)), std::vector<int>{one_.get()}));
    one_.reset();
  }

 private:
  os::UniqueFd other_;
  os::UniqueFd one_;
};

// True: the call has not waited for it.
template <class Call>
bool at_once(Call&& call) {
  auto const begin = std::chrono::steady_clock::now();
  call();
  return std::chrono::steady_clock::now() - begin < std::chrono::seconds(Lingering::seconds) / 2;
}

TEST(OsSocket, WhatLingersBlocksNobodyWhoTakesMemoryFiles) {
  {
    auto [a, b] = os::socket_pair();
    Lingering lingering;
    lingering.pass(a.get());
    os::Packet packet;
    EXPECT_EQ(os::receive_packet(b.get(), packet, false), os::ReceiveResult::received);
    if (at_once([&] { packet.fds.clear(); })) GTEST_SKIP() << "nothing lingers here";
  }
  auto [a, b] = os::socket_pair();
  Lingering lingering;
  lingering.pass(a.get());
  os::Packet packet;
  EXPECT_TRUE(at_once([&, fd = b.get()] {
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
  Lingering lingering;
  lingering.pass(a.get());
  EXPECT_TRUE(at_once([&, fd = &b] { os::close_socket(std::move(*fd)); }));
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
    rlimit const tight{static_cast<rlim_t>(b.get()) + 3, static_cast<rlim_t>(b.get()) + 3};
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
