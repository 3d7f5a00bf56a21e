// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#pragma once

// WorkerState: the state machine of one worker in the parent. Each state holds the data that has a
// meaning in that state alone.
//
//   vacant ---------> fork requested ---------> starting -> initializing -> ready
//     |  \                  |                    ^  |             |           |
//     |   +-----------------|--------------------+  +-------------+-----------+--> leaving
//     |                     +--> fork cancelled -----------------------------------> |
//     |<---------------- (not forked) --+                                             |
//     +<----------------------------------- dead <---- each state with a process -----+
//
// change() is the only transition. It refuses to compile a transition that is not in the picture,
// and it reports how the worker counts in the pool before and after. Pure. For one thread, the
// dispatcher.

#include <cassert>
#include <chrono>
#include <cstdint>
#include <exception>
#include <functional>
#include <optional>
#include <type_traits>
#include <utility>
#include <variant>

#include <procpool/detail/engine/deadline.hpp>

#include "parent/exit_handler.hpp"
#include "parent/exit_report.hpp"
#include "parent/internal_call.hpp"
#include "parent/worker_launcher.hpp"

namespace procpool::inline v0_1::parent {

// How a worker counts in the pool.
enum class WorkerStanding : std::uint8_t { none, starting, ready };

class WorkerState {
  template <class State, class... States>
  static constexpr bool is_one_of = (std::is_same_v<State, States> || ...);

 public:
  using TimePoint = detail::TimePoint;

  struct Vacant {};

  // The fork server has not answered yet.
  struct ForkRequested {
    PendingWorker pending;
    std::uint64_t request_id = 0;
  };
  // The same of a worker that is not needed any more. It is killed as soon as it exists.
  struct ForkCancelled {
    PendingWorker pending;
    std::uint64_t request_id = 0;
    LeaveReason reason = LeaveReason::none;
  };

  // The process has not said its first word.
  struct Starting {
    TimePoint deadline;
  };

  struct Initializing {
    TimePoint deadline;
    InternalCall call{};
    bool makes_object = false;       // of an actor; the initializer of the pool comes first
    detail::OutcomeBlock failure{};  // of a call that has failed; else of kind `values`
  };

  struct Ready {
    TimePoint retires = TimePoint::max();
  };

  struct Leaving {
    bool busy = false;  // it ran an element at the last look
    ExitHandler exit_handler{};
  };

  // The process has ended, or it is another's to wait for. `last`: the state before.
  struct Dead {
    std::variant<Starting, Initializing, Ready, Leaving> last;

    ExitReport::When when() const noexcept {
      if (std::holds_alternative<Starting>(last)) return ExitReport::When::starting;
      if (std::holds_alternative<Initializing>(last)) return ExitReport::When::initializing;
      if (std::holds_alternative<Ready>(last)) return ExitReport::When::ready;
      return ExitReport::When::leaving;
    }
  };

  using Any = std::variant<Vacant, ForkRequested, ForkCancelled, Starting, Initializing, Ready,
                           Leaving, Dead>;
  using Recount = std::function<void(WorkerStanding before, WorkerStanding after)>;

  explicit WorkerState(Recount recount) : recount_(std::move(recount)) {}

  template <class State>
  bool is() const noexcept {
    return std::holds_alternative<State>(state_);
  }
  // Null in another state.
  template <class State>
  State* get() noexcept {
    return std::get_if<State>(&state_);
  }
  template <class State>
  State const* get() const noexcept {
    return std::get_if<State>(&state_);
  }

  // `from` is the present state, and does not exist any more afterwards.
  template <class From, class To>
  To& change(From& from, To to) {
    static_assert(may_follow<From, To>);
    assert(get<From>() == &from);
    static_cast<void>(from);
    To& state = state_.template emplace<To>(std::move(to));
    if constexpr (standing_of<From> != standing_of<To>) {
      recount_(standing_of<From>, standing_of<To>);
    }
    return state;
  }

  // From a state with a process, or from `Dead`.
  Dead& die() {
    std::visit(
        [this]<class From>(From& from) {
          if constexpr (may_follow<From, Dead>) change(from, Dead{std::move(from)});
        },
        state_);
    return *get<Dead>();
  }

  template <class From, class To>
  static constexpr bool may_follow =
      std::is_same_v<From, Vacant>          ? is_one_of<To, ForkRequested, Starting>
      : std::is_same_v<From, ForkRequested> ? is_one_of<To, Starting, ForkCancelled, Vacant>
      : std::is_same_v<From, ForkCancelled> ? is_one_of<To, Leaving, Vacant>
      : std::is_same_v<From, Starting>      ? is_one_of<To, Initializing, Ready, Leaving, Dead>
      : std::is_same_v<From, Initializing>  ? is_one_of<To, Ready, Leaving, Dead>
      : std::is_same_v<From, Ready>         ? is_one_of<To, Leaving, Dead>
      : std::is_same_v<From, Leaving>       ? is_one_of<To, Dead>
                                            : is_one_of<To, Vacant>;

  template <class State>
  static constexpr WorkerStanding standing_of =
      std::is_same_v<State, Ready>                              ? WorkerStanding::ready
      : is_one_of<State, ForkRequested, Starting, Initializing> ? WorkerStanding::starting
                                                                : WorkerStanding::none;

 private:
  Any state_;
  Recount recount_;
};

}  // namespace procpool::inline v0_1::parent
