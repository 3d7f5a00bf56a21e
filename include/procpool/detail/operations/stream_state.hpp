// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#pragma once

// StreamState: a stream at work: reads inputs into the window, hands them to the engine, and puts
// the results in order. Used by the consumer's thread alone.

#include <cxxabi.h>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <exception>
#include <map>
#include <memory>
#include <optional>
#include <type_traits>
#include <utility>
#include <variant>

#include <procpool/detail/codec/in_place.hpp>
#include <procpool/detail/engine/engine.hpp>
#include <procpool/detail/export.hpp>
#include <procpool/detail/operations/collect.hpp>
#include <procpool/detail/operations/input_writer.hpp>
#include <procpool/detail/operations/stream_window.hpp>
#include <procpool/errors.hpp>
#include <procpool/stream.hpp>

namespace procpool::inline v0_1::detail {

enum class StreamOrder { inputs, completion_order };

template <class R, StreamOrder Order>
using stream_value_t = std::conditional_t<Order == StreamOrder::completion_order, Indexed<R>,
                                          std::conditional_t<std::is_void_v<R>, std::monostate, R>>;

// Ps: the parameters of a call; Source: a StreamSource.
template <class R, StreamOrder Order, class Ps, class Source>
class StreamState {
 public:
  using Value = stream_value_t<R, Order>;

  StreamState(std::shared_ptr<Engine> engine, std::shared_ptr<Task> task, Source source,
              StreamWindow window)
      : engine_(std::move(engine)),
        task_(std::move(task)),
        source_(std::move(source)),
        window_(window),
        writer_(*engine_, task_) {}
  StreamState(StreamState const&) = delete;
  StreamState& operator=(StreamState const&) = delete;

  ~StreamState() {
    try {
      if (!over_) engine_->cancel(task_, Engine::Running::goes_on);
      if (ProgressReport* const report = task_->progress()) report->mute();
    } catch (...) {  // in a forked child there is nothing to cancel
    }
  }

  void begin() {
    if (!std::exchange(begun_, true)) next();
  }

  // The next result becomes the current one. At the end, throws what ended the inputs, if it was
  // not their end.
  void next() {
    current_.reset();
    while (!advance()) task_->wait_for_block(awaited_element());
  }

  // The same without waiting, if there is no current one. False: no result is there yet.
  bool advance() {
    if (over_ || current_) return true;
    task_->check_usable();  // before anything of it is locked
    if (!exhausted_ && window_.refill(outstanding()) != 0) refill();
    if (decoded_.empty()) absorb();
    if (!decoded_.empty()) {
      current_.emplace(std::move(decoded_.front()));
      decoded_.pop_front();
      ++taken_;
      return true;
    }
    if (!exhausted_ || taken_ != writer_.handed_over()) return false;
    over_ = true;
    if (ProgressReport* const report = task_->progress()) report->wait_until_told();
    if (source_error_) std::rethrow_exception(std::exchange(source_error_, nullptr));
    return true;
  }

  // Takes the next result, for co_await. Nothing: the end.
  std::optional<Value> take_next() {
    begun_ = true;
    while (!advance()) task_->wait_for_block(awaited_element());
    if (over_) return std::nullopt;
    std::optional<Entry> taken = std::exchange(current_, std::nullopt);
    return value_of(*taken);
  }

  bool call_at_next(std::unique_ptr<Completion::Callback>&& callback) {
    return task_->call_at_block(awaited_element(), std::move(callback));
  }

  bool over() const noexcept { return over_; }

  std::shared_ptr<Task> const& task() const noexcept { return task_; }

  Value&& current() { return value_of(*current_); }

 private:
  using Entry = std::variant<Value, std::exception_ptr>;

  static Value&& value_of(Entry& entry) {
    if (auto* const error = std::get_if<std::exception_ptr>(&entry)) {
      std::rethrow_exception(*error);
    }
    return std::move(std::get<Value>(entry));
  }

  std::optional<std::uint64_t> awaited_element() const noexcept {
    return Order == StreamOrder::inputs ? std::optional(taken_) : std::nullopt;
  }

  // A source that takes longer than this for its elements is slow: results go out between them.
  static constexpr std::chrono::microseconds patience{200};

  PROCPOOL_PASSES_FORCED_END void refill() {
    auto since = std::chrono::steady_clock::now();
    window_.taken(taken_ - std::exchange(told_, taken_), bytes_per_element(), since);
    std::uint64_t const most = window_.refill(outstanding());
    try {
      check_wanted();
      for (std::uint64_t i = 0; i < most && !exhausted_; ++i) {
        exhausted_ = !source_.add_next(writer_);
        auto const now = std::chrono::steady_clock::now();
        if (now - since < patience) continue;
        since = now;
        writer_.hand_over();
        absorb();
        if (!decoded_.empty()) break;
      }
      if (!exhausted_) writer_.hand_over();
    } catch (abi::__forced_unwind&) {
      throw;         // this thread is being ended
    } catch (...) {  // the source's, an argument's encoding, or the pool is ending
      source_error_ = std::current_exception();
      exhausted_ = true;
    }
    if (exhausted_) end_inputs();
  }

  // Throws the reason why no further inputs are read. A stream may have no end.
  void check_wanted() const {
    if (task_->cancelled_from() == 0) {
      throw TaskCancelled("a stream was stopped before its inputs had been read to their end");
    }
    if (task_->deadline() && std::chrono::steady_clock::now() >= *task_->deadline()) {
      throw TaskTimeout(
          "a stream was at its deadline before its inputs had been read to their end");
    }
  }

  std::uint64_t outstanding() const noexcept { return writer_.added() - taken_; }

  PROCPOOL_PASSES_FORCED_END void end_inputs() {
    try {
      writer_.finish();
    } catch (abi::__forced_unwind&) {
      throw;
    } catch (...) {
      if (!source_error_) source_error_ = std::current_exception();
      engine_->seal(task_);
    }
  }

  void absorb() {
    for (OutcomeBlock& block : task_->take()) {
      arrived_ += block.count;
      result_bytes_ += block.payload.size();
      if constexpr (Order == StreamOrder::inputs) {
        std::uint64_t const first = block.first;
        early_.emplace(first, std::move(block));
      } else {
        decode(block);
      }
    }
    while (!early_.empty() && early_.begin()->first == next_decoded_) {
      OutcomeBlock const block = std::move(early_.begin()->second);
      early_.erase(early_.begin());
      next_decoded_ += block.count;
      decode(block);
    }
  }

  // Adds the result of an element, which `make` returns.
  template <class Make>
  void add(std::uint64_t index, Make const& make) {
    auto const made = [&]() -> Value {
      if constexpr (Order == StreamOrder::completion_order) {
        return Value{index, make()};
      } else {
        return make();
      }
    };
    put_made<Value>(made, [this](auto&& value) {
      decoded_.emplace_back(std::in_place_index<0>, std::forward<decltype(value)>(value));
    });
  }

  struct Sink {
    StreamState& state;
    std::uint64_t index;

    void value()
      requires std::is_void_v<R>
    {
      if constexpr (Order == StreamOrder::completion_order) {
        state.decoded_.emplace_back(std::in_place_index<0>, Value{index++});
      } else {
        state.decoded_.emplace_back(std::in_place_index<0>);
      }
    }
    template <class Result>
    void value(Result const& result) {
      state.add(index, result);
      ++index;
    }
    void error(std::exception_ptr const& reason) {
      ++index;
      state.decoded_.emplace_back(std::in_place_index<1>, reason);
    }
  };

  void decode(OutcomeBlock const& block) {
    if constexpr (is_outcome<R>) {
      std::uint64_t index = block.first;
      read_outcomes<R>(*task_, block, [&](OutcomeDetails details, auto&&... parts) {
        add(index, [&] {
          R made(std::forward<decltype(parts)>(parts)...);
          OutcomeAccess::set(made, std::move(details));
          return made;
        });
        ++index;
      });
    } else {
      Sink sink{*this, block.first};
      BlockReader<R, Sink>(*task_, sink).read(block);
    }
  }

  std::uint64_t bytes_per_element() const noexcept {
    return writer_.bytes() / (writer_.added() == 0 ? 1 : writer_.added()) +
           result_bytes_ / (arrived_ == 0 ? 1 : arrived_);
  }

  std::shared_ptr<Engine> const engine_;
  std::shared_ptr<Task> const task_;
  Source source_;
  StreamWindow window_;
  InputWriter<Ps> writer_;
  std::uint64_t taken_ = 0;  // results given to the consumer
  std::uint64_t told_ = 0;   // of these: the window knows
  std::uint64_t arrived_ = 0;
  std::uint64_t result_bytes_ = 0;  // of these
  bool begun_ = false;
  bool exhausted_ = false;  // no more inputs
  bool over_ = false;       // no more results
  std::exception_ptr source_error_;
  std::map<std::uint64_t, OutcomeBlock> early_;  // in order: what came before its turn
  std::uint64_t next_decoded_ = 0;
  std::deque<Entry> decoded_;
  std::optional<Entry> current_;
};

}  // namespace procpool::inline v0_1::detail
