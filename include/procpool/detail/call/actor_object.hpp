// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#pragma once

// ActorObject: the object of an actor, in the process that runs the actor's calls. The calls find
// it by the thread that runs them. It has one owner, which runs one call at a time.

#include <cstdint>
#include <memory>
#include <utility>

#include <procpool/detail/codec/codec.hpp>
#include <procpool/detail/engine/bytes.hpp>
#include <procpool/detail/export.hpp>

namespace procpool::inline v0_1::detail {

class ActorObject {
 public:
  ActorObject() = default;
  // `checkpoint_every`: so many outcomes, for a T that can be serialized. 0: never.
  template <class T>
  ActorObject(std::unique_ptr<T> object, std::uint64_t checkpoint_every)
      : object_(std::move(object)), every_(checkpoint_every) {
    if constexpr (Transmissible<T>) save_ = &save_object<T>;
  }

  // Null: there is none.
  void* get() const noexcept { return object_.get(); }

  bool has_checkpoints() const noexcept { return every_ != 0; }
  // A call has ended. True: its outcome takes the state along.
  bool end_call() noexcept { return ++calls_ >= every_; }
  // Appends the state. Throws the exceptions of the encoding.
  void save(Bytes& out) const { save_(object_.get(), out); }
  // The outcome that took it along has been sent.
  void saved() noexcept { calls_ = 0; }

 private:
  template <class T>
  static void save_object(void const* object, Bytes& out) {
    encode(out, *static_cast<T const*>(object));
  }

  std::shared_ptr<void> object_;
  void (*save_)(void const* object, Bytes& out) = nullptr;
  std::uint64_t every_ = 0;
  std::uint64_t calls_ = 0;  // since the state was saved
};

// While it lives, the calls that this thread runs are those of this object.
class PROCPOOL_API ActorScope {
 public:
  explicit ActorScope(ActorObject& object) noexcept;
  ActorScope(ActorScope const&) = delete;
  ActorScope& operator=(ActorScope const&) = delete;
  ~ActorScope();

  // That of the innermost scope of this thread. Throws std::logic_error if there is none.
  static ActorObject& object();

 private:
  ActorObject* const outer_;
};

}  // namespace procpool::inline v0_1::detail
