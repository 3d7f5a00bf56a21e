// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#pragma once

// Sends a packet with descriptors as a fault would: whatever it is given, to whatever socket it
// finds.

#include <sys/socket.h>
#include <sys/uio.h>

#include <cstddef>
#include <cstring>
#include <span>
#include <vector>

namespace support {

// Never waits. Whether it was taken.
inline bool send_with(int socket, std::span<std::byte const> bytes,
                      std::span<int const> descriptors) {
  std::vector<std::byte> content(bytes.begin(), bytes.end());
  std::vector<std::byte> control(CMSG_SPACE(descriptors.size_bytes()));
  iovec part{content.data(), content.size()};
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  if (!descriptors.empty()) {
    message.msg_control = control.data();
    message.msg_controllen = control.size();
    cmsghdr* const rights = CMSG_FIRSTHDR(&message);
    rights->cmsg_level = SOL_SOCKET;
    rights->cmsg_type = SCM_RIGHTS;
    rights->cmsg_len = CMSG_LEN(descriptors.size_bytes());
    std::memcpy(CMSG_DATA(rights), descriptors.data(), descriptors.size_bytes());
  }
  return ::sendmsg(socket, &message, MSG_NOSIGNAL | MSG_DONTWAIT) >= 0;
}

}  // namespace support
