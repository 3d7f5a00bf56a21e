// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#pragma once

// Actor: an object that lives in a process of its own, and whose member functions are called there,
// one at a time. Made by ProcessPool::actor:
//
//   auto counter = pool.actor<Counter>(10);
//   procpool::Future<int> sum = counter.call<&Counter::add>(5);
//   counter.call([](Counter& c, int x) { return c.add(x) + c.add(x); }, 5).get();

#include <sys/types.h>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <optional>
#include <string>
#include <type_traits>
#include <typeinfo>
#include <utility>
#include <vector>

#include <procpool/call_options.hpp>
#include <procpool/callable.hpp>
#include <procpool/count.hpp>
#include <procpool/detail/call/actor_call.hpp>
#include <procpool/detail/call/trampoline.hpp>
#include <procpool/detail/call/type_name.hpp>
#include <procpool/detail/engine/deadline.hpp>
#include <procpool/detail/handle/actor_handle.hpp>
#include <procpool/future.hpp>
#include <procpool/options.hpp>
#include <procpool/stats.hpp>

namespace procpool::inline v0_1 {

/// The properties of an actor. The order of the members is API: new ones go to the end.
struct ActorOptions {
  /// Shown in `ps`, in error texts and in the log, behind the name of the pool: at most 255 bytes,
  /// no control characters. Not given: the name of the class.
  std::string name{};
  /// How many times a process that died is followed by another one, in which the object is made
  /// anew, of the same arguments or of a checkpoint: 0 to 1,000,000. Calls that had not begun go to the new object. An
  /// exception of the constructor ends the actor in any case.
  Count restarts = 0;
  /// How many calls may be accepted and not begun, 1 to 1,099,511,627,776. A call that would exceed this
  /// does what CallOptions::when_full says. Not given: no limit.
  std::optional<Count> queue_limit{};
  /// 0, or a number n up to 1,099,511,627,776: every n-th outcome takes the state of the object along, as
  /// an encoded value. Either both arrive or neither. After a restart the object is made of the last
  /// state that arrived, by decoding it, and not by its constructor. 1: what was answered is not
  /// forgotten. T must be a type that can be serialized. A call whose state cannot be encoded ends
  /// with that error.
  Count checkpoint_every = 0;

  bool operator==(ActorOptions const&) const = default;
};

/// Prints the options that differ from their defaults, as for PoolOptions.
PROCPOOL_API std::ostream& operator<<(std::ostream& out, ActorOptions const& options);

namespace detail {

// The calls, once, for the actor and for actor.with(...). Derived gives caller().
template <class Derived, class T>
class ActorCalls {
 public:
  /// Gives one call to the actor, which runs it after those that this thread has made before.
  /// Returns at once: the arguments have been encoded, the result is the future's. `Method` is a
  /// member of T, a captureless lambda or a function that takes a T& first. An overloaded member is
  /// called by a lambda: call([](T& object, int x) { return object.add(x); }, 5). Any thread.
  ///
  /// An exception of the method is the outcome of its call, and the actor goes on. If the process
  /// dies, the call that had begun gets WorkerDied, TaskTimeout or TaskCancelled. Those that had
  /// not begun go to the next incarnation. If there is none, they and all later calls get
  /// ActorDied. An exception of the constructor is the outcome of every call.
  ///
  /// Throws PoolClosed if the actor or its pool takes no more calls, QueueFull, SetupError, and the
  /// exceptions of the encoding. Nothing was called then. A future that is dropped does not stop
  /// its call.
  template <auto Method, class... Args>
  auto call(Args&&... arguments) {
    return call(fn<Method>, std::forward<Args>(arguments)...);
  }
  template <class F, class... Args>
  auto call(F function, Args&&... arguments) -> Future<actor_result_t<T, F, Args&&...>> {
    if constexpr (check_actor_call<T, F, Args&&...>()) {
      return Future<actor_result_t<T, F, Args&&...>>(
          static_cast<Derived const&>(*this).calls().caller().start_one(
              ActorCall<T, F>{std::move(function)}, std::forward<Args>(arguments)...));
    } else {
      return {};
    }
  }
};

// Encodes the call of the constructor.
template <class T, class... Args>
ActorPlan plan_actor(ActorOptions const& options, Args&&... arguments) {
  using Ps = typename Call<MakeActor<T>, std::uint64_t, Args&&...>::Params;
  ActorPlan plan;
  plan.checkpoint_every = checked(options.checkpoint_every, "checkpoint_every", max_queue_limit, 0);
  plan.construct = make_function(MakeActor<T>(), Ps{});
  if constexpr (Transmissible<T>) {
    plan.restore = make_function(RestoreActor<T>(),
                                 Parameters<std::uint64_t, std::vector<std::byte> const&>());
  }
  InputBuffer& input = plan.arguments;
  input.count = 1;
  NamedResources named;
  std::uint64_t size = 0;
  if (plan.construct.argument_size == 0) append(input.bytes, &size, sizeof size);
  [&]<class Every, class... Each>(Parameters<Every, Each...>) {
    ResourceCollector const collector(named.list());
    encode<std::uint64_t>(input.bytes, plan.checkpoint_every);
    (encode<serialized_t<Each>>(input.bytes, as_serialized<Each>(std::forward<Args>(arguments))),
     ...);
  }(Ps{});
  if (plan.construct.argument_size == 0) {
    size = input.bytes.size() - sizeof size;
    std::memcpy(input.bytes.data(), &size, sizeof size);
  }
  input.resources = named.list();
  named.sent();
  return plan;
}

}  // namespace detail

template <class T>
class Actor;

/// An actor with options for the calls made through it: actor.with({.timeout = 1s}).call<f>(x). It
/// does not keep the actor.
template <class T>
class ActorView : public detail::ActorCalls<ActorView<T>, T> {
 public:
  /// The same calls with these options too. An option that both have is the later one.
  ActorView with(CallOptions const& options) const { return ActorView(calls_.with(options)); }

 private:
  friend class Actor<T>;
  friend detail::ActorCalls<ActorView<T>, T>;
  explicit ActorView(detail::ActorCaller calls) : calls_(std::move(calls)) {}

  detail::ActorCaller const& calls() const { return calls_; }

  detail::ActorCaller calls_;
};

/// A T in a process of its own, which is no worker of its pool. T needs no copy and no serialize:
/// it is made there, and stays there. Its arguments are values as those of ProcessPool::submit.
/// Calls run one at a time. Those of one thread run in their order.
///
/// An actor is called by the process that made it, and does not travel. Give tasks a Queue that the
/// actor reads. With Start::in_process the object is in the program, and calls run inside of call().
///
/// All members may be called from any thread, at the same time, except moving, assigning and
/// destroying. All throw std::logic_error if the object was moved from, and SetupError in a forked
/// child of the process that made it.
template <class T>
class [[nodiscard]] Actor : public detail::ActorCalls<Actor<T>, T> {
 public:
  /// The actor that was moved from can only be assigned to and destroyed.
  Actor(Actor&&) noexcept = default;
  /// Ends the actor that is replaced first, as the destructor does.
  Actor& operator=(Actor&&) noexcept = default;
  /// Ends the actor with a drain: every accepted call is run. Then the object is destroyed, and the
  /// process ends. Blocks until the process is gone. After 10 s the log says what is waited for.
  /// Kills instead if an exception unwinds that was not there when the actor was made. With
  /// Start::in_process not within a call of the actor.
  ~Actor() = default;

  /// The same calls with these options: timeout, queue_timeout, priority, when_full, executor,
  /// stream. An option that is not given comes from PoolOptions::defaults. Throws
  /// std::invalid_argument for others, and for values that make no sense. An element that is ended
  /// because of its timeout, or by cancel(), is ended with the process.
  ActorView<T> with(CallOptions const& options) const {
    return ActorView<T>(handle_.caller().with(options));
  }

  /// The number of the process that has the object, or was the last to have it. Blocks until there
  /// is one. Throws the reason if there was none and will be none.
  pid_t pid() const { return handle_.pid(); }
  /// How many times the object was to be made: 1, and 1 more for each restart. Does not block.
  unsigned incarnation() const { return handle_.incarnation(); }
  /// The number of calls that have not ended. Does not block.
  std::size_t pending() const { return handle_.pending(); }

  /// Ends intake: later calls throw PoolClosed. Does not block.
  void close() { handle_.close(); }
  /// close(), and blocks until every accepted call has ended and the process is gone.
  void join() { handle_.join_until(std::nullopt); }
  /// The same, but no longer than this. Returns whether all is over.
  template <class Rep, class Period>
  bool join_for(std::chrono::duration<Rep, Period> time) {
    return handle_.join_until(detail::deadline_after(time));
  }
  /// Ends the actor, and blocks until its process is gone. After `timeout` the process is killed.
  /// May be called again, at the same time, and with a stronger end. The end of the pool ends its
  /// actors in the same way.
  Summary shutdown(End end = End::drain, std::optional<Milliseconds> timeout = std::nullopt) {
    return handle_.shutdown(end, timeout);
  }

 private:
  friend class ProcessPool;
  friend detail::ActorCalls<Actor<T>, T>;

  template <class... Args>
  Actor(detail::Engine& pool, detail::CallContext const& context, CallOptions const& defaults,
        ActorOptions const& options, std::in_place_t, Args&&... arguments)
      : handle_(pool, context, defaults, options, detail::type_name(typeid(T)),
                detail::plan_actor<T>(options, std::forward<Args>(arguments)...)) {}

  detail::ActorCaller const& calls() const { return handle_.caller(); }

  detail::ActorHandle handle_;
};

namespace detail {

template <class T>
inline constexpr bool is_actor_options = std::is_same_v<std::remove_cvref_t<T>, ActorOptions>;
template <class... Args>
inline constexpr bool begins_with_options = false;
template <class First, class... Args>
inline constexpr bool begins_with_options<First, Args...> = is_actor_options<First>;

}  // namespace detail
}  // namespace procpool::inline v0_1
