// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#pragma once

// Fake workers and fork servers. They are executions of the test program that follow a script
// instead of the library's protocol, from before main on. The script is a variable of the
// environment that the pool's processes get.

#include <signal.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "identity/module.hpp"
#include "os/process.hpp"
#include "os/socket.hpp"
#include "os/spawn.hpp"
#include "protocol/fork_messages.hpp"
#include "protocol/handshake.hpp"

namespace support {

inline constexpr char const* script_variable = "PROCPOOL_TEST_SCRIPT";

// The commands, each a character. Behind the last one the process waits for its death.
//   g  receive a packet             x  exit with status 3
//   R  send Ready                   k  be killed by SIGKILL
//   M  send Ready of another program  t  be stopped by SIGSTOP
//   S  send Refusal                 i  ignore SIGTERM
//   j  send what is no message      h  close the socket
//   p  the preload has ended well   P  it has failed
// As answers to the order that was received last, if any was:
//   f  forked: itself   n  failed   u  unfit   r  reaped, status 5
[[noreturn]] inline void follow_script(std::string_view script) {
  namespace os = procpool::os;
  namespace protocol = procpool::protocol;
  using Kind = protocol::ForkReport::Kind;
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  auto const send = [](std::vector<std::byte> const& bytes, std::span<int const> fds = {}) {
    os::send_packet(os::child_control_fd, bytes, fds, true);
  };
  std::uint64_t request_id = 0;
  auto const report = [&](Kind kind, std::string reason = {}) {
    os::UniqueFd const self = os::open_pidfd(::getpid());
    int const fd = self.get();
    send(encode(protocol::ForkReport{
             kind, request_id, ::getpid(), {os::Exit::Kind::exited, 5}, std::move(reason)}),
         std::span(&fd, kind == Kind::forked ? 1 : 0));
  };
  for (char const command : script) {
    switch (command) {
      case 'g': {
        os::Packet packet;
        os::receive_packet(os::child_control_fd, packet, true);
        if (auto const order = protocol::decode_fork_order(packet.bytes)) {
          request_id = order->request_id;
        }
        break;
      }
      case 'R': send(encode(protocol::Ready{procpool::identity::loaded_modules()})); break;
      case 'M': send(encode(protocol::Ready{{{"/no/such/program", {}}}})); break;
      case 'S': send(encode(protocol::Refusal{"it does not want to"})); break;
      case 'p': send(encode(protocol::PreloadReport{})); break;
      case 'P': send(encode(protocol::PreloadReport{{}, "it was of no use"})); break;
      case 'j': send(std::vector(3, std::byte{0xff})); break;
      case 'f': report(Kind::forked); break;
      case 'n': report(Kind::failed, "no room"); break;
      case 'u': report(Kind::unfit, "it has threads"); break;
      case 'r': report(Kind::reaped); break;
      case 'h': ::close(os::child_control_fd); break;
      case 'i': ::signal(SIGTERM, SIG_IGN); break;
      case 't': ::raise(SIGSTOP); break;
      case 'k': ::raise(SIGKILL); break;
      case 'x': ::_exit(3);
      default: ::_exit(99);
    }
  }
  for (;;) ::pause();
}

// Evaluated while the program is initialized: a scripted process never reaches main.
inline bool const is_scripted = [] {
  if (char const* const script = std::getenv(script_variable)) follow_script(script);
  return false;
}();

}  // namespace support
