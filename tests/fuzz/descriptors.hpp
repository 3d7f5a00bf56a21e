// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#pragma once

// What a hostile process may send beside its bytes: the descriptors of handles that live here, files
// and sockets that are almost such, and anything else.

#include <fcntl.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <bit>
#include <chrono>
#include <cstdint>
#include <memory>
#include <new>
#include <span>
#include <stdexcept>
#include <thread>
#include <typeinfo>
#include <utility>
#include <vector>

#include <procpool/detail/handle/byte_pipe_end.hpp>
#include <procpool/detail/handle/queue_resource.hpp>
#include <procpool/detail/handle/share.hpp>
#include <procpool/detail/handle/shared_memory.hpp>
#include <procpool/errors.hpp>

#include "fuzz/fuzz.hpp"
#include "fuzz/worker_side.hpp"
#include "handle/queue_layout.hpp"
#include "os/fd.hpp"
#include "os/memfd.hpp"
#include "os/socket.hpp"

namespace fuzz {

// One handle of each kind.
class Living {
 public:
  using Resource = procpool::detail::Resource;

  static constexpr std::size_t count = 5;

  static Living& only() {
    static Living living;
    return living;
  }

  std::shared_ptr<Resource> const& operator[](std::size_t which) const {
    return all_[which % count];
  }

 private:
  Living() {
    using namespace procpool::detail;
    all_[0] = SharedMemory::create(100, 1);
    all_[1] = QueueResource::create(typeid(int), 8, 4096, 0, true);
    auto [end, other] = BytePipeEnd::make();
    all_[2] = std::move(end);
    all_[3] = std::move(other);
    auto const share = Share::create(procpool::detail::Bytes(64), {}, typeid(int));
    share->sealed();
    all_[4] = share;
  }

  std::array<std::shared_ptr<Resource>, count> all_;
};

// No descriptor is left behind. The lowest free number says so.
class NoDescriptorIsLeft {
 public:
  NoDescriptorIsLeft() {
    Living::only();
    before_ = lowest_free();
  }
  NoDescriptorIsLeft(NoDescriptorIsLeft const&) = delete;
  NoDescriptorIsLeft& operator=(NoDescriptorIsLeft const&) = delete;
  ~NoDescriptorIsLeft() {
    // Other threads close what could block this one.
    auto const end = std::chrono::steady_clock::now() + std::chrono::seconds(5);
    while (lowest_free() != before_ && std::chrono::steady_clock::now() < end) {
      std::this_thread::yield();
    }
    require(lowest_free() == before_, "no descriptor is left open");
  }

 private:
  static int lowest_free() {
    // Where the library has its own.
    procpool::os::UniqueFd const one(::fcntl(0, F_DUPFD_CLOEXEC, 3));
    return one.get();
  }

  int before_;
};

inline procpool::os::UniqueFd memory_file(std::uint64_t size, int seals,
                                          std::span<std::byte const> begin) {
  namespace os = procpool::os;
  os::UniqueFd file(::memfd_create("forged", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  static_cast<void>(!::ftruncate(file.get(), static_cast<off_t>(size)));
  if (begin.size() <= size) {
    static_cast<void>(!::pwrite(file.get(), begin.data(), begin.size(), 0));
  }
  if (seals != 0) ::fcntl(file.get(), F_ADD_SEALS, seals);
  return file;
}

// Looks like a queue of this shape.
inline procpool::os::UniqueFd forged_queue(Input& in) {
  procpool::handle::QueueHeader header{};
  header.magic = procpool::handle::queue_magic;
  header.shape.type = typeid(int).hash_code();
  header.shape.items = in.take<std::uint16_t>();
  header.shape.bytes = in.take<std::uint16_t>() * (in.take() % 8 == 0 ? std::uint64_t{1} << 32 : 1);
  header.shape.redeliver = in.take() % 3;
  header.shape.tray = in.take() % 2;
  std::uint64_t const ring =
      std::bit_ceil(std::max<std::uint64_t>(header.shape.bytes, procpool::handle::min_span));
  std::uint64_t const hand =
      header.shape.redeliver == 0 ? 0 : (header.shape.bytes + 65535) / 65536 * 65536;
  std::uint64_t const size =
      procpool::handle::ring_offset + ring + procpool::handle::seat_count * hand;
  return memory_file(in.take() % 8 == 0 ? in.take<std::uint32_t>() : size,
                     F_SEAL_SHRINK | F_SEAL_GROW, std::as_bytes(std::span(&header, 1)));
}

inline procpool::os::UniqueFd any_descriptor(Input& in) {
  namespace os = procpool::os;
  constexpr int all_seals = F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW;
  switch (std::uint8_t const what = in.take(); what % 10) {
    case 0: return memory_file(in.take<std::uint16_t>(), all_seals, in.take_bytes(16));
    case 1:
      return memory_file(in.take<std::uint16_t>() * 16u, F_SEAL_SHRINK | F_SEAL_GROW,
                         in.take_bytes(16));
    case 2: return memory_file(in.take<std::uint16_t>(), 0, {});
    case 3: return os::socket_pair().first;
    case 4: {
      int ends[2] = {-1, -1};
      int const kind = in.take() % 2 == 0 ? SOCK_STREAM : SOCK_DGRAM;
      static_cast<void>(!::socketpair(AF_UNIX, kind | SOCK_CLOEXEC, 0, ends));
      os::UniqueFd const other(ends[1]);
      return os::UniqueFd(ends[0]);
    }
    case 5: return os::UniqueFd(::eventfd(0, EFD_CLOEXEC));
    case 6: return os::UniqueFd(::open("/dev/null", O_RDWR | O_CLOEXEC));
    case 7: return forged_queue(in);
    default: {
      Living const& living = Living::only();
      std::size_t const which = in.take() % Living::count;
      if (which == 4) {
        return static_cast<procpool::detail::Share&>(*living[which]).sealed().duplicate();
      }
      auto const descriptors = living[which]->descriptors();
      return os::duplicate(descriptors[in.take() % descriptors.size()]);
    }
  }
}

// Those of a handle that lives here, or any.
inline std::vector<procpool::os::UniqueFd> descriptors(Input& in) {
  std::vector<procpool::os::UniqueFd> made;
  std::uint8_t const what = in.take();
  if (what % 4 == 0) {
    for (int const each : Living::only()[what / 4]->descriptors()) {
      made.push_back(procpool::os::duplicate(each));
    }
    return made;
  }
  for (int i = 0; i < what / 4 % 9; ++i) made.push_back(any_descriptor(in));
  return made;
}

// One that lives here, a new one, or none.
inline std::uint64_t any_id(Input& in) {
  std::uint8_t const what = in.take();
  if (what % 3 == 0) return Living::only()[what / 3]->id();
  return what % 3 == 1 ? 1'000'000u + what : in.take<std::uint64_t>();
}

// Does with a handle that has arrived what a program would.
inline void use(procpool::detail::Resource& resource) {
  using namespace procpool::detail;
  static std::uint8_t volatile sum = 0;
  auto const now = TimePoint::min();
  try {
    switch (resource.kind()) {
      case Resource::Kind::value:
        sum = static_cast<std::uint8_t>(sum + sum_of(static_cast<Share&>(resource).bytes()));
        break;
      case Resource::Kind::memory: {
        auto& memory = static_cast<SharedMemory&>(resource);
        auto const reader = memory.view(MemoryAccess::read);
        sum = static_cast<std::uint8_t>(sum + sum_of({reader->data(), memory.size()}));
        auto const writer = memory.view(MemoryAccess::write);
        if (writer->lock(now)) writer->unlock();
        break;
      }
      case Resource::Kind::queue: {
        auto& queue = static_cast<QueueResource&>(resource);
        procpool::detail::Bytes item(8);
        queue.push(item, Resource::List(), now);
        Resource::List handles;
        queue.pop(item, handles, now);
        queue.done();
        static_cast<void>(queue.size());
        break;
      }
      case Resource::Kind::pipe_end:
      case Resource::Kind::other_pipe_end: {
        auto& end = static_cast<BytePipeEnd&>(resource);
        auto const owner = end.arrive();
        static_cast<void>(end.peer_gone());
        procpool::detail::Bytes message;
        Resource::List handles;
        static_cast<void>(end.receive(message, handles, now));
        Resource::List named;
        ResourceCollector const collector(named);
        BytePipeEnd::leave(owner);
        break;
      }
      case Resource::Kind::object: break;  // its reader knows the type
    }
  } catch (procpool::Error const&) {
  } catch (std::bad_alloc const&) {
  } catch (std::length_error const&) {  // an item larger than the queue takes
  }
}

}  // namespace fuzz
