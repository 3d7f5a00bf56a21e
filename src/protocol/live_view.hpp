// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#pragma once

// LiveView: what procpool-top shows of a pool. The program has two descriptors for it, a memory file and the end of a
// pipe for reading. A viewer opens both below /proc/PID/fd, and so needs the rights of a debugger that only looks.
// It writes a byte into the pipe. The dispatcher writes the view into the file, and the viewer reads it there:
//
//   0                 LiveViewHeader: who has the file, the pipe, and which view this is
//   live_view_offset  the view, encoded
//
// While the dispatcher writes, the number of the view is odd. Two views that overlap, for two viewers, do no harm: a
// viewer reads again until the number is the same before and behind. The program reads nothing that a viewer writes.

#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace procpool::inline v0_1::protocol {

// Of the memory file, as /proc shows it behind "/memfd:".
inline constexpr char const* live_view_name = "procpool-top";

inline constexpr std::uint64_t live_view_magic = 0x776569762d707070;
// Of the header and of the encoded view.
inline constexpr std::uint32_t live_view_version = 1;
inline constexpr std::uint64_t live_view_offset = 64;
// A file with a longer view is not one of ours.
inline constexpr std::uint64_t max_live_view = std::uint64_t{64} << 20;

struct LiveViewHeader {
  std::uint64_t magic = live_view_magic;
  std::uint32_t version = live_view_version;
  pid_t pid = 0;              // of the process whose pool it is, as that process knows itself
  std::int32_t request = -1;  // the number of the pipe's descriptor
  std::uint32_t reserved = 0;
  std::uint64_t number = 0;  // of the view; 0: there is none yet
  std::uint64_t size = 0;    // of the view, in bytes
};
static_assert(sizeof(LiveViewHeader) <= live_view_offset);

// Times are in nanoseconds.
struct LiveWorker {
  std::uint32_t place = 0;
  pid_t pid = 0;  // 0: no worker is there
  std::uint64_t starts = 0;
  std::uint64_t done = 0;
  std::string last_end{};  // of the worker before
  bool runs = false;       // what follows
  std::uint64_t task = 0;
  std::uint64_t element = 0;
  std::string label{};
  std::uint64_t steps = 0;
  std::optional<std::uint64_t> all_steps{};

  bool operator==(LiveWorker const&) const = default;
};

struct LiveView {
  std::string pool{};
  std::uint64_t time = 0;    // of the system's monotonic clock
  std::uint32_t wanted = 0;  // workers
  std::uint32_t ready = 0;
  std::uint64_t queued = 0;
  std::uint64_t running = 0;
  std::uint64_t done = 0;
  std::uint64_t starts = 0;
  std::uint64_t deaths = 0;
  std::uint64_t failed_starts = 0;
  std::uint64_t retries = 0;
  std::uint64_t waited_mean = 0;
  std::uint64_t waited_most = 0;  // of 99 of 100 elements
  std::uint64_t ran_mean = 0;
  std::uint64_t ran_most = 0;
  std::vector<LiveWorker> workers{};

  bool operator==(LiveView const&) const = default;
};

// Throws std::bad_alloc.
std::vector<std::byte> encode(LiveView const& view);
// Nothing: these bytes are no view.
std::optional<LiveView> decode_live_view(std::span<std::byte const> bytes);

}  // namespace procpool::inline v0_1::protocol
