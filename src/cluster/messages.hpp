// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#pragma once

// The messages of one pool between the client of a cluster and one host, as decision 0050 lists them.
// Both ends are the same program, but neither believes the other: a decoder returns nothing for bytes
// that cannot be. Spans point into the bytes decoded. Pure; any thread.

#include <sys/types.h>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <variant>
#include <vector>

#include <procpool/detail/engine/bytes.hpp>
#include <procpool/options.hpp>
#include <procpool/stats.hpp>

#include "cluster/fields.hpp"
#include "identity/module.hpp"

namespace procpool::inline v0_1::cluster {

inline constexpr std::uint32_t protocol_version = 1;

// ---- from the client

struct Module {
  std::string path;
  std::uint8_t kind = 0;
  detail::Bytes id;

  template <class A>
  void fields(A& a) {
    a(path, kind, id);
  }
};

// Options of the pool as bytes, see pool_options.hpp, and what the host compares itself with.
struct Hello {
  std::uint32_t protocol = protocol_version;
  std::uint64_t byte_order = own_byte_order;
  std::vector<Module> modules{};
  std::span<std::byte const> options{};
  std::optional<std::uint64_t> workers{};
  std::chrono::milliseconds beat{};
  std::chrono::milliseconds lost_after{};
  std::string host{};  // the name of the host, as the client knows it

  static constexpr std::uint64_t own_byte_order = 0x0102030405060708;
  template <class A>
  void fields(A& a) {
    a(protocol, byte_order, modules, options, workers, beat, lost_after, host);
  }
};

// A call, whose elements follow in chunks. `registration`: see protocol::encode_registration.
struct Declare {
  std::uint64_t task = 0;
  std::uint64_t random = 0;
  std::span<std::byte const> registration{};
  std::vector<std::uint64_t> values{};  // that its state names; sent before
  std::string label{};
  std::uint64_t chunk = 0;
  std::int32_t priority = 0;
  std::optional<std::uint64_t> key{};
  bool on_each_worker = false;
  std::uint64_t first_place = 0;  // of the host, if the task has an element for each
  std::optional<std::chrono::milliseconds> timeout{};
  std::optional<std::chrono::nanoseconds> deadline{};  // from now on

  template <class A>
  void fields(A& a) {
    a(task, random, registration, values, label, chunk, priority, key, on_each_worker, first_place,
      timeout, deadline);
  }
};

// No element of the task follows, and none is out.
struct Forget {
  std::uint64_t task = 0;
  template <class A>
  void fields(A& a) {
    a(task);
  }
};

// A shared value, ahead of what names it. Its last bytes are the ids of its parts.
struct Value {
  std::uint64_t id = 0;
  std::uint64_t parts = 0;
  std::span<std::byte const> bytes{};
  template <class A>
  void fields(A& a) {
    a(id, parts, bytes);
  }
};

// Nothing that follows names these values.
struct DropValues {
  std::vector<std::uint64_t> ids{};
  template <class A>
  void fields(A& a) {
    a(ids);
  }
};

struct ChunkMessage {
  std::uint64_t serial = 0;  // of this host, from 1
  bool granted = false;      // its elements may begin
  std::uint64_t task = 0;
  std::uint64_t first = 0;
  std::uint64_t count = 0;
  std::vector<std::uint64_t> values{};
  std::span<std::byte const> bytes{};  // as in detail::InputBuffer
  template <class A>
  void fields(A& a) {
    a(serial, granted, task, first, count, values, bytes);
  }
};

struct Grant {
  std::vector<std::uint64_t> serials{};
  template <class A>
  void fields(A& a) {
    a(serials);
  }
};

// Elements of chunks that were not granted, from this number of elements of each chunk on. They are
// somewhere else now.
struct Withdraw {
  struct Part {
    std::uint64_t serial = 0;
    std::uint64_t keep = 0;
    template <class A>
    void fields(A& a) {
      a(serial, keep);
    }
  };
  std::vector<Part> parts{};
  template <class A>
  void fields(A& a) {
    a(parts);
  }
};

// Elements of the task from `from` on that have not begun never will.
struct Cut {
  std::uint64_t task = 0;
  std::uint64_t from = 0;
  bool ends_running = false;  // of the whole task
  template <class A>
  void fields(A& a) {
    a(task, from, ends_running);
  }
};

// So many workers shall be there without work. The answer is an outcome of that task.
struct StartWorkers {
  std::uint64_t task = 0;
  std::uint64_t workers = 0;
  template <class A>
  void fields(A& a) {
    a(task, workers);
  }
};

struct EndPool {
  End end = End::drain;
  template <class A>
  void fields(A& a) {
    a(end);
  }
};

// ---- from a host

struct Welcome {
  std::uint64_t workers = 0;
  template <class A>
  void fields(A& a) {
    a(workers);
  }
};

struct Refusal {
  std::string reason;
  template <class A>
  void fields(A& a) {
    a(reason);
  }
};

// The outcome of consecutive elements, as detail::OutcomeBlock.
struct OutcomeMessage {
  enum class Kind : std::uint8_t { values, thrown, failed };
  struct Text {
    std::uint64_t element = 0;
    std::string text{};
    template <class A>
    void fields(A& a) {
      a(element, text);
    }
  };

  std::uint64_t task = 0;
  std::uint64_t first = 0;
  std::uint64_t count = 0;
  Kind kind = Kind::values;
  bool cancelled = false;
  bool begun = false;
  std::int32_t worker = -1;  // of the host
  std::int64_t pid = 0;
  std::uint64_t nanoseconds = 0;
  std::vector<Text> output{};
  std::span<std::byte const> payload{};  // of a failed one: see failure_wire.hpp
  template <class A>
  void fields(A& a) {
    a(task, first, count, kind, cancelled, begun, worker, pid, nanoseconds, output, payload);
  }
};

struct Block {
  std::vector<OutcomeMessage> outcomes{};
  template <class A>
  void fields(A& a) {
    a(outcomes);
  }
};

// For the log of the pool.
struct Line {
  std::string text{};
  template <class A>
  void fields(A& a) {
    a(text);
  }
};

// For PoolOptions::on_event. Times are those of the host.
struct EventMessage {
  std::uint32_t kind = 0;
  std::int64_t time = 0;  // nanoseconds of the system clock
  std::string pool{};
  std::int32_t worker = -1;
  std::int64_t pid = 0;
  std::optional<std::int32_t> signal{};
  std::optional<std::int32_t> exit_status{};
  std::optional<std::uint64_t> task{};
  std::optional<std::uint64_t> element{};
  std::uint64_t elements = 1;
  std::string label{};
  std::optional<std::uint32_t> level{};
  std::string text{};
  std::uint64_t missed = 0;
  template <class A>
  void fields(A& a) {
    a(kind, time, pool, worker, pid, signal, exit_status, task, element, elements, label, level,
      text, missed);
  }
};

// Counters of the workers of a host, and what they run, now and then.
struct StatsMessage {
  struct Worker {
    std::int64_t pid = 0;
    std::uint64_t starts = 0;
    std::uint64_t done = 0;
    std::chrono::nanoseconds busy{0};
    std::string last_end{};
    bool runs = false;
    std::uint64_t task = 0;
    std::uint64_t element = 0;
    std::uint64_t steps = 0;
    std::optional<std::uint64_t> total{};
    std::string label{};
    template <class A>
    void fields(A& a) {
      a(pid, starts, done, busy, last_end, runs, task, element, steps, total, label);
    }
  };
  std::uint64_t records = 0;
  std::uint64_t worker_starts = 0;
  std::uint64_t worker_deaths = 0;
  std::uint64_t workers = 0;
  std::uint64_t timed_out = 0;
  std::uint64_t cancelled = 0;
  std::uint64_t recycled = 0;
  std::uint64_t left_idle = 0;
  std::uint64_t failed_starts = 0;
  std::vector<Worker> places{};
  template <class A>
  void fields(A& a) {
    a(records, worker_starts, worker_deaths, workers, timed_out, cancelled, recycled, left_idle,
      failed_starts, places);
  }
};

// No worker of the pool is left at the host.
struct Ended {
  std::uint64_t forced = 0;
  template <class A>
  void fields(A& a) {
    a(forced);
  }
};

// ---- both ways

struct Beat {
  template <class A>
  void fields(A&) {}
};

using Message = std::variant<Hello, Declare, Forget, Value, DropValues, ChunkMessage, Grant,
                             Withdraw, Cut, StartWorkers, EndPool, Welcome, Refusal, Block, Line,
                             EventMessage, StatsMessage, Ended, Beat>;

template <>
inline constexpr std::uint64_t last_of<OutcomeMessage::Kind> = 2;
template <>
inline constexpr std::uint64_t last_of<End> = 2;

detail::Bytes encode(Message const& message);
// Nothing: the bytes are no message.
std::optional<Message> decode(std::span<std::byte const> bytes);

// The bytes that these elements have in a chunk, one after the other: `argument_size` each, or each
// behind its length (0). Nothing: the bytes are not so many elements. Otherwise the end of each element
// if there are several of varying size, as detail::InputBuffer has it.
std::optional<std::vector<std::uint64_t>> ends_of(std::span<std::byte const> bytes,
                                                  std::uint64_t count, std::size_t argument_size);

}  // namespace procpool::inline v0_1::cluster
