// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#pragma once

// Caller: makes one call of an operation: the task, with its options, and the elements, encoded on
// this thread and handed to the engine. Lives as long as the call is being made.

#include <cstdint>
#include <memory>
#include <optional>
#include <ranges>
#include <span>
#include <tuple>
#include <type_traits>
#include <utility>

#include <procpool/call_options.hpp>
#include <procpool/detail/async/call_context.hpp>
#include <procpool/detail/async/cancel.hpp>
#include <procpool/detail/call/call.hpp>
#include <procpool/detail/call/trampoline.hpp>
#include <procpool/detail/engine/engine.hpp>
#include <procpool/detail/operations/input_writer.hpp>
#include <procpool/detail/operations/progress_report.hpp>

namespace procpool::inline v0_1::detail {

template <class R>
using reference_t = std::ranges::range_reference_t<R>;

// How many elements a zip of these ranges has, if that is known without reading them.
template <class... Rs>
std::optional<std::uint64_t> known_size([[maybe_unused]] Rs&... ranges) {
  if constexpr ((std::ranges::sized_range<Rs&> && ...)) {
    std::uint64_t least = UINT64_MAX;
    ((least = std::ranges::size(ranges) < least ? std::ranges::size(ranges) : least), ...);
    return least;
  } else {
    return std::nullopt;
  }
}

class Caller {
 public:
  Caller(std::shared_ptr<Engine> const& engine, std::shared_ptr<CallContext const> const& context,
         CallOptions const& options)
      : engine_(engine), context_(context), options_(options) {}

  Engine& engine() const noexcept { return *engine_; }
  std::shared_ptr<Engine> const& shared_engine() const noexcept { return engine_; }
  CallOptions const& options() const noexcept { return options_; }
  OnError on_error() const noexcept {
    return outcomes_ ? OnError::finish : options_.on_error.value_or(on_error_);
  }

  bool stops_on_error() const noexcept { return on_error() == OnError::stop; }

  // The same, but what finds no room in the queue throws QueueFull, whatever the options say.
  Caller refusing() const {
    Caller caller = *this;
    caller.refusing_ = true;
    return caller;
  }

  // The same for calls whose elements are all run, unless the options say otherwise.
  Caller finishing_on_error() const {
    Caller caller = *this;
    caller.on_error_ = OnError::finish;
    return caller;
  }

  // The same for calls that give outcomes: all elements are run, and their details kept.
  Caller giving_outcomes() const {
    Caller caller = *this;
    caller.outcomes_ = true;
    return caller;
  }

  std::size_t chunk() const {
    return options_.chunk ? checked(*options_.chunk, "chunk", max_chunk) : 0;
  }

  // Starts one call.
  template <class C, class... Args>
  std::shared_ptr<Task> start_one(C const& callable, Args&&... args) const {
    using Ps = typename Call<C, Args&&...>::Params;
    auto task = engine_->make_task(make_function(callable, Ps{}), in_context({}));
    if (options_.stop) stop_with(task, *options_.stop);
    InputWriter<Ps> writer(*engine_, task);
    writer.add(std::forward<Args>(args)...);
    writer.finish();
    return task;
  }

  // Starts a call in each worker.
  template <class C, class... Args>
  std::shared_ptr<Task> start_on_each_worker(C const& callable, Args const&... args) const {
    using Ps = typename Call<C, Args const&...>::Params;
    auto own = std::make_shared<CallContext>(*context_);
    own->control.key = Key(0);
    own->control.on_each_worker = true;
    TaskOptions options = in_context({.stop_on_error = stops_on_error()});
    options.control = &own->control;
    options.context = std::move(own);
    auto task = engine_->make_task(make_function(callable, Ps{}), std::move(options));
    if (options_.stop) stop_with(task, *options_.stop);
    std::size_t const places = engine_->begin_on_each_worker(task);
    feed<Ps>(task, [&](auto& writer) {
      for (std::size_t place = 0; place < places; ++place) {
        writer.add(args...);
        writer.hand_over();  // each is a chunk of its own
      }
    });
    return task;
  }

  // A task for the elements of a range; `total` of them, if that is known.
  template <class Ps, class C>
  std::shared_ptr<Task> many(C const& callable, TaskOptions task,
                             std::optional<std::uint64_t> total) const {
    task = in_context(std::move(task));
    if (options_.progress) {
      task.progress = std::make_shared<ProgressReport>(context_, options_.progress, total);
    }
    auto made = engine_->make_task(make_function(callable, Ps{}), std::move(task));
    if (options_.stop) stop_with(made, *options_.stop);
    return made;
  }

  // Encodes and hands over all elements that `feed` gives to the writer.
  template <class Ps, class Feed>
  void feed(std::shared_ptr<Task> const& task, Feed const& feed) const {
    InputWriter<Ps> writer(*engine_, task);
    try {
      feed(writer);
      writer.finish();
    } catch (...) {
      writer.abandon();
      if (ProgressReport* const report = task->progress()) report->mute();
      throw;
    }
  }

  static void finish(Task& task) {
    task.wait_until(std::nullopt);
    if (ProgressReport* const report = task.progress()) report->wait_until_told();
  }

  // Starts a call per element of the zipped ranges.
  template <class C, class R, class... Rs>
  std::shared_ptr<Task> start(C const& callable, R& range, Rs&... ranges) const {
    using Ps = typename Call<C, reference_t<R>, reference_t<Rs>...>::Params;
    auto task = many<Ps>(callable, {.chunk = chunk(), .stop_on_error = stops_on_error()},
                         known_size(range, ranges...));
    feed<Ps>(task, [&](auto& writer) {
      if constexpr (sizeof...(Rs) == 0 && packed<Ps, R>()) {
        writer.add_packed(
            std::as_bytes(std::span(std::ranges::data(range), std::ranges::size(range))));
      } else {
        zip(writer, std::pair(std::ranges::begin(range), std::ranges::end(range)),
            std::pair(std::ranges::begin(ranges), std::ranges::end(ranges))...);
      }
    });
    return task;
  }

  // Starts a call per tuple of the range.
  template <class Ps, class C, class R>
  std::shared_ptr<Task> start_star(C const& callable, R& tuples) const {
    auto task = many<Ps>(callable, {.chunk = chunk(), .stop_on_error = stops_on_error()},
                         known_size(tuples));
    feed<Ps>(task, [&](auto& writer) {
      for (auto&& tuple : tuples) {
        std::apply(
            [&writer](auto&&... parts) { writer.add(std::forward<decltype(parts)>(parts)...); },
            std::forward<decltype(tuple)>(tuple));
        if (!writer.wanted()) break;
      }
    });
    return task;
  }

 private:
  TaskOptions in_context(TaskOptions task) const {
    task.context = context_;
    task.control = &context_->control;
    task.refuse_when_full = refusing_;
    task.detailed = outcomes_;
    return task;
  }

  template <class Writer, class... Pairs>
  static void zip(Writer& writer, Pairs... places) {
    for (; writer.wanted() && ((places.first != places.second) && ...); (++places.first, ...)) {
      writer.add(*places.first...);
    }
  }

  // The elements lie in memory exactly as they are sent.
  template <class Ps, class R>
  static consteval bool packed() {
    if constexpr (std::ranges::contiguous_range<R> && std::ranges::sized_range<R>) {
      using Element = std::remove_cv_t<std::ranges::range_value_t<R>>;
      return []<class... Each>(Parameters<Each...>) {
        if constexpr (sizeof...(Each) == 1) {
          return (std::is_same_v<serialized_t<Each>, Element> && ...) && bitwise<Element>;
        } else {
          return false;
        }
      }(Ps{});
    } else {
      return false;
    }
  }

  std::shared_ptr<Engine> const& engine_;
  std::shared_ptr<CallContext const> const& context_;
  CallOptions const& options_;
  OnError on_error_ = OnError::stop;  // if the options do not say
  bool refusing_ = false;
  bool outcomes_ = false;
};

}  // namespace procpool::inline v0_1::detail
