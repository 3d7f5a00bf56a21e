// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#pragma once

// Blocks of outcomes back into values, on the thread that asked for them. The bytes of a block came
// from a worker, which may even still write to them. They are believed only as far as they can be
// decoded. Bytes that cannot be decoded cost their elements, and nothing else.

#include <cxxabi.h>

#include <cstdint>
#include <cstring>
#include <exception>
#include <optional>
#include <span>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include <procpool/call_options.hpp>
#include <procpool/detail/async/call_context.hpp>
#include <procpool/detail/codec/codec.hpp>
#include <procpool/detail/codec/in_place.hpp>
#include <procpool/detail/engine/reason.hpp>
#include <procpool/detail/engine/task.hpp>
#include <procpool/detail/export.hpp>
#include <procpool/errors.hpp>
#include <procpool/outcome.hpp>

namespace procpool::inline v0_1::detail {

// Takes all blocks of an ended task, in the order of their elements.
PROCPOOL_API std::vector<OutcomeBlock> take_in_order(Task& task);

PROCPOOL_API std::uint64_t count_elements(std::vector<OutcomeBlock> const& blocks) noexcept;

// Calls a function that decodes values of this type. They may name these resources and no others.
template <class R, class Decode>
auto decode_within(Resource::List const* resources, Decode const& decode) {
  if constexpr (fixed_size<R> != 0) {  // names none
    return decode();
  } else {
    ResourceScope const scope(resources);
    return decode();
  }
}

// A value that is still bytes. Its call decodes it into the place of the caller.
template <class R>
class Undecoded {
 public:
  // `resources`: those that the bytes may name; null: none.
  Undecoded(std::span<std::byte const> bytes, Resource::List const* resources) noexcept
      : bytes_(bytes), resources_(resources) {}

  R operator()() const {
    return watched([this] { return decode<R>(bytes_); });
  }
  void fill(R& blank) const
    requires(fills_in_place<R>())
  {
    watched([&] { decode_over(bytes_, blank); });
  }

  // True if the value could not be decoded.
  bool refused() const noexcept { return refused_; }

 private:
  template <class Decode>
  PROCPOOL_PASSES_FORCED_END auto watched(Decode const& decode) const {
    try {
      return decode_within<R>(resources_, decode);
    } catch (abi::__forced_unwind&) {
      throw;  // the caller's own thread is being ended
    } catch (...) {
      refused_ = true;
      throw;
    }
  }

  std::span<std::byte const> const bytes_;
  Resource::List const* const resources_;
  mutable bool refused_ = false;
};

// The bytes of the only value of a block; nothing if their length is wrong. The length, which the
// worker could change, is read once.
template <class R>
std::optional<std::span<std::byte const>> single_value(OutcomeBlock const& block) {
  std::span<std::byte const> const rest = block.payload.bytes();
  if constexpr (fixed_size<R> != 0) {
    return rest.size() == fixed_size<R> ? std::optional(rest) : std::nullopt;
  } else {
    std::uint64_t size = 0;
    if (rest.size() < sizeof size) return std::nullopt;
    std::memcpy(&size, rest.data(), sizeof size);
    if (size != rest.size() - sizeof size) return std::nullopt;
    return rest.subspan(sizeof size);
  }
}

// The error for a block of values that makes no sense.
PROCPOOL_API std::exception_ptr malformed(OutcomeBlock const& block, std::uint64_t task);

// The error of a block without values.
PROCPOOL_API std::exception_ptr reason_of(OutcomeBlock const& block, Task const& task);

// The error for an element whose value could not be decoded.
PROCPOOL_API std::exception_ptr undecodable(OutcomeBlock const& block, Task const& task,
                                            std::uint64_t element, std::exception_ptr const& error);

// Throws the reason why the only element of a task has no value.
[[noreturn]] PROCPOOL_API void throw_reason(OutcomeBlock const& block, Task const& task,
                                            std::exception_ptr reason);
// The same reason of an ended task, without a throw.
PROCPOOL_API std::exception_ptr only_failure(Task& task);

// Do `bytes` consist of `count` values, each behind its length?
PROCPOOL_API bool well_formed(std::span<std::byte const> bytes, std::uint64_t count) noexcept;

// Hands every element's outcome to `sink`, as value(Undecoded<R> const&), which decodes it (value()
// for void), or error(exception_ptr), in order. Only what decoding throws counts as the element's.
template <class R, class Sink>
class BlockReader {
 public:
  BlockReader(Task const& task, Sink& sink) : task_(task), sink_(sink) {}

  void read(OutcomeBlock const& block) {
    if (block.kind != OutcomeBlock::Kind::values) {
      fail_all(block, reason_of(block, task_));
    } else if constexpr (std::is_void_v<R>) {
      for (std::uint64_t i = 0; i < block.count; ++i) sink_.value();
    } else {
      read_values(block);
    }
  }

 private:
  void read_values(OutcomeBlock const& block) {
    if (fixed_size<R> == 0 && block.count == 1) {
      auto const bytes = single_value<R>(block);
      if (!bytes) return fail_all(block, malformed(block, task_.id()));
      element_ = block.first;
      return read_value(block, *bytes);
    }
    std::span<std::byte const> rest = block.payload.bytes();
    // All lengths are checked before any value is decoded, because one wrong length makes all others
    // useless. Several results never lie in memory that their worker can still write.
    bool const good = fixed_size<R> != 0
                          ? rest.size() % sizeof(R) == 0 && rest.size() / sizeof(R) == block.count
                          : well_formed(rest, block.count);
    if (!good) return fail_all(block, malformed(block, task_.id()));
    for (std::uint64_t i = 0; i < block.count; ++i) {
      element_ = block.first + i;
      std::uint64_t size = fixed_size<R>;
      if constexpr (fixed_size<R> == 0) {
        std::memcpy(&size, rest.data(), sizeof size);
        rest = rest.subspan(sizeof size);
      }
      read_value(block, rest.first(size));
      rest = rest.subspan(size);
    }
  }

  PROCPOOL_PASSES_FORCED_END void read_value(OutcomeBlock const& block,
                                             std::span<std::byte const> bytes) {
    Undecoded<R> const value(bytes, block.resources.get());
    try {
      return sink_.value(value);
    } catch (abi::__forced_unwind&) {
      throw;  // the caller's own thread is being ended
    } catch (...) {
      if (!value.refused()) throw;
      sink_.error(undecodable(block, task_, element_, std::current_exception()));
    }
  }

  void fail_all(OutcomeBlock const& block, std::exception_ptr reason) {
    SharedReason const shared(std::move(reason));
    for (std::uint64_t i = 0; i < block.count; ++i) {
      bool kept = true;
      if constexpr (requires { sink_.keeps(); }) kept = sink_.keeps();
      sink_.error(kept ? shared.of(task_.id(), block.first + i) : nullptr);
    }
  }

  Task const& task_;
  Sink& sink_;
  std::uint64_t element_ = 0;  // that is decoded
};

// ---- for outcomes(): all of them

// What the outcomes of a block have beside their values and failures.
class PROCPOOL_API BlockDetails {
 public:
  BlockDetails(Task& task, OutcomeBlock const& block);

  // Of one element of the block, once.
  OutcomeDetails of(std::uint64_t element) const;

 private:
  Task& task_;
  bool const differ_;  // some elements of the task have earlier attempts, or output
  OutcomeDetails const common_;
};

// A sink of one block, for O, which is an Outcome: gives `put` the details of each outcome, and the
// arguments of its constructor.
template <class O, class Put>
class OutcomeSink {
  using R = typename O::value_type;

 public:
  OutcomeSink(Task& task, OutcomeBlock const& block, Put const& put)
      : details_(task, block), put_(put), next_(block.first) {}

  void value()
    requires std::is_void_v<R>
  {
    put_(details_.of(next_++), std::in_place);
  }
  template <class Result>
  void value(Result const& result) {
    put_made<R>(result, [this](auto&& made) {
      put_(details_.of(next_), std::in_place, std::forward<decltype(made)>(made));
    });
    ++next_;
  }
  void error(std::exception_ptr const& reason) { put_(details_.of(next_++), Failure(reason)); }

 private:
  BlockDetails const details_;
  Put const& put_;
  std::uint64_t next_;
};

template <class O, class Put>
void read_outcomes(Task& task, OutcomeBlock const& block, Put const& put) {
  OutcomeSink<O, Put> sink(task, block, put);
  BlockReader<typename O::value_type, OutcomeSink<O, Put>>(task, sink).read(block);
}

template <class O>
std::vector<O> collect_outcomes(Task& task) {
  std::vector<OutcomeBlock> const blocks = take_in_order(task);
  std::vector<O> outcomes;
  outcomes.reserve(count_elements(blocks));
  auto const put = [&outcomes](OutcomeDetails details, auto&&... parts) {
    OutcomeAccess::set(outcomes.emplace_back(std::forward<decltype(parts)>(parts)...),
                       std::move(details));
  };
  for (OutcomeBlock const& block : blocks) read_outcomes<O>(task, block, put);
  return outcomes;
}

// ---- for submit: the one value, or the reason why there is none

// Decoded where the caller wants it.
template <class R>
PROCPOOL_PASSES_FORCED_END R collect_value(Task& task) {
  OutcomeBlock const block = task.take_only();
  if (block.kind != OutcomeBlock::Kind::values) throw_reason(block, task, reason_of(block, task));
  if constexpr (!std::is_void_v<R>) {
    auto const bytes = single_value<R>(block);
    if (!bytes) throw_reason(block, task, malformed(block, task.id()));
    try {
      return decode_within<R>(block.resources.get(), [&] { return decode<R>(*bytes); });
    } catch (abi::__forced_unwind&) {
      throw;
    } catch (...) {
      std::rethrow_exception(undecodable(block, task, block.first, std::current_exception()));
    }
  }
}
template <class O>
  requires is_outcome<O>
O collect_value(Task& task) {
  return std::move(collect_outcomes<O>(task).front());
}

// ---- for map: values until the first error by index, and errors

class PROCPOOL_API ErrorSink {
 public:
  explicit ErrorSink(OnError how) : all_(how == OnError::collect) {}

  bool failed() const noexcept { return failed_; }
  // True if the next error is kept, and not only counted.
  bool keeps() const noexcept { return all_ || !failed_; }
  void passed(std::uint64_t elements) noexcept { next_ += elements; }
  void error(std::exception_ptr const& reason);
  // What the operation throws. Null: nothing failed.
  std::exception_ptr failure();

 private:
  bool const all_;
  bool failed_ = false;
  std::uint64_t next_ = 0;  // the element to come
  std::vector<ElementError> errors_;
};

template <class R>
struct ValueSink : ErrorSink {
  using ErrorSink::ErrorSink;
  std::vector<R> values;

  void value(Undecoded<R> const& result) {
    if (!failed()) {
      put_made<R>(result,
                  [this](auto&& made) { values.emplace_back(std::forward<decltype(made)>(made)); });
    } else if (keeps()) {
      with_result(result, [](R const&) {});  // it may be another failure
    }
    passed(1);
  }
};

template <class R>
  requires std::is_void_v<R>
struct ValueSink<R> : ErrorSink {
  using ErrorSink::ErrorSink;
  void value() { passed(1); }
};

// Results that lie as they are.
template <class R>
void append_bitwise(std::vector<R>& values, std::span<std::byte const> bytes, std::size_t count) {
  if constexpr (std::is_trivially_copyable_v<R>) {
    if (reinterpret_cast<std::uintptr_t>(bytes.data()) % alignof(R) == 0) {
      // Straight into the new elements: resize() would write zeros over all of them first.
      auto const* const from = reinterpret_cast<R const*>(bytes.data());
      values.insert(values.end(), from, from + count);
      return;
    }
  }
  std::size_t const before = values.size();
  values.resize(before + count);
  std::memcpy(values.data() + before, bytes.data(), bytes.size());
}

template <class R>
void read_values(Task& task, ValueSink<R>& sink) {
  std::vector<OutcomeBlock> const blocks = take_in_order(task);
  if constexpr (!std::is_void_v<R>) sink.values.reserve(count_elements(blocks));
  BlockReader<R, ValueSink<R>> reader(task, sink);
  for (OutcomeBlock const& block : blocks) {
    if constexpr (!std::is_void_v<R>) {
      if constexpr (bitwise<R> && fixed_size<R> != 0 &&
                    std::is_trivially_default_constructible_v<R>) {
        if (block.kind == OutcomeBlock::Kind::values && !sink.failed() &&
            block.payload.size() == block.count * sizeof(R)) {
          append_bitwise(sink.values, block.payload.bytes(), block.count);
          sink.passed(block.count);
          continue;
        }
      }
    }
    reader.read(block);
  }
}

template <class R>
auto collect_values(Task& task, OnError how = OnError::finish)
    -> std::conditional_t<std::is_void_v<R>, void, std::vector<R>> {
  ValueSink<R> sink(how);
  read_values(task, sink);
  if (auto failure = sink.failure()) std::rethrow_exception(std::move(failure));
  if constexpr (!std::is_void_v<R>) return std::move(sink.values);
}
template <class O>
  requires is_outcome<O>
std::vector<O> collect_values(Task& task, OnError = OnError::finish) {
  return collect_outcomes<O>(task);
}

// The same as an outcome, without a throw.
template <class R>
auto collect_outcome(Task& task, OnError how)
    -> Outcome<std::conditional_t<std::is_void_v<R>, void, std::vector<R>>> {
  if constexpr (is_outcome<R>) {
    return Outcome<std::vector<R>>(std::in_place, collect_outcomes<R>(task));
  } else {
    ValueSink<R> sink(how);
    read_values(task, sink);
    if (auto failure = sink.failure()) return Failure(std::move(failure));
    if constexpr (std::is_void_v<R>) {
      return Outcome<void>(std::in_place);
    } else {
      return Outcome<std::vector<R>>(std::in_place, std::move(sink.values));
    }
  }
}

}  // namespace procpool::inline v0_1::detail
