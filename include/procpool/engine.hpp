// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#pragma once

// PoolEngine: where the workers of a pool are, if they are not on this machine alone. A component that
// is linked beside the library makes one, such as procpool::mpi() of <procpool/mpi.hpp>.

#include <iosfwd>
#include <memory>
#include <string>
#include <utility>

#include <procpool/detail/export.hpp>

namespace procpool::inline v0_1 {

struct PoolOptions;

namespace detail {

class Engine;

// Makes the engine of each pool that is given these options. Any thread.
class PROCPOOL_API EngineMaker {
 public:
  EngineMaker() = default;
  EngineMaker(EngineMaker const&) = delete;
  EngineMaker& operator=(EngineMaker const&) = delete;
  virtual ~EngineMaker();

  // The options are checked. May block until the workers can be had. Throws SetupError.
  virtual std::unique_ptr<Engine> make(PoolOptions const& options) const = 0;
  // As people write it: mpi({.client_works = false}). Makers with the same text are equal.
  virtual std::string text() const = 0;
};

struct PoolEngineAccess;

}  // namespace detail

/// Where the workers of a pool are: see PoolOptions::engine. The default is this machine.
class PoolEngine {
 public:
  /// This machine.
  PoolEngine() noexcept = default;

  /// The same kind with the same options.
  PROCPOOL_API bool operator==(PoolEngine const& other) const;

 private:
  friend struct detail::PoolEngineAccess;
  explicit PoolEngine(std::shared_ptr<detail::EngineMaker const> maker) noexcept
      : maker_(std::move(maker)) {}

  std::shared_ptr<detail::EngineMaker const> maker_;
};

/// Prints the call that made it, or "this machine".
PROCPOOL_API std::ostream& operator<<(std::ostream& out, PoolEngine const& engine);

namespace detail {

// For those who make engines, and for pools.
struct PoolEngineAccess {
  static PoolEngine of(std::shared_ptr<EngineMaker const> maker) {
    return PoolEngine(std::move(maker));
  }
  // Null: this machine.
  static EngineMaker const* maker(PoolEngine const& engine) noexcept { return engine.maker_.get(); }
};

}  // namespace detail

}  // namespace procpool::inline v0_1
