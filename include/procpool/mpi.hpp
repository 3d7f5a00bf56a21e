// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#pragma once

// procpool::mpi(): a pool whose workers are on all machines of an MPI job. Link procpool::mpi.

#include <chrono>
#include <cstdint>
#include <iosfwd>
#include <optional>

#include <procpool/count.hpp>
#include <procpool/detail/export.hpp>
#include <procpool/duration.hpp>
#include <procpool/engine.hpp>

namespace procpool::inline v0_1 {

/// What becomes of elements that a lost host had been given and may have begun.
enum class OnHostLost : std::uint8_t {
  fail,  ///< they end with HostLost
  again  ///< another host runs them, perhaps for the second time
};

/// For procpool::mpi. Each process of the job but rank 0 is a host, which has workers.
struct MpiOptions {
  /// Not given: PoolOptions::workers shared out among the hosts, or else the usable CPUs of each.
  std::optional<Count> workers_per_host{};
  /// The client, which is rank 0, has workers too, as if it were one more host. A program that no
  /// launcher started always has them.
  bool client_works = true;
  /// For all hosts to answer. After that the pool is not made: SetupError names those that are
  /// missing.
  Milliseconds start_timeout = std::chrono::seconds(60);
  /// Between two signs of life of a host, and of the client.
  Milliseconds beat = std::chrono::milliseconds(500);
  /// A host without a sign of life for so long is lost. At least twice `beat`.
  Milliseconds lost_after = std::chrono::seconds(5);
  OnHostLost on_host_lost = OnHostLost::fail;  ///< for elements of a lost host

  PROCPOOL_API bool operator==(MpiOptions const& other) const;  ///< each member is compared
};

/// Prints the options that differ from their defaults: {.client_works = false}.
PROCPOOL_API std::ostream& operator<<(std::ostream& out, MpiOptions const& options);
PROCPOOL_API std::ostream& operator<<(std::ostream& out, OnHostLost on_host_lost);

/// For PoolOptions::engine: workers on the machines of the MPI job that this process is rank 0 of. A
/// program that no launcher started has one host, this machine. Each other process of the job is a
/// host, and never runs main.
///
/// Any thread; does not block. Throws std::invalid_argument for options that make no sense. The
/// constructor of the pool blocks until all hosts have answered. It throws SetupError if one is
/// missing or is another build, in a worker, and in a static initialiser.
PROCPOOL_API PoolEngine mpi(MpiOptions const& options = {});

}  // namespace procpool::inline v0_1
