// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#pragma once

// The operations that give streams: imap and imap_unordered. See operations.hpp.

#include <memory>
#include <ranges>
#include <type_traits>
#include <utility>

#include <procpool/callable.hpp>
#include <procpool/detail/call/call.hpp>
#include <procpool/detail/operations/call_options.hpp>
#include <procpool/detail/operations/caller.hpp>
#include <procpool/detail/operations/stream_source.hpp>
#include <procpool/detail/operations/stream_state.hpp>
#include <procpool/stream.hpp>

namespace procpool::inline v0_1::detail {

// The result of a refused call, after its sentence.
struct NoStream {};

template <class Derived, template <class> class Given = std::type_identity_t>
class StreamOperations {
 public:
  /// As map, but gives an input range of the results, in the order of the inputs, which are read as
  /// the results are taken: after k results at most k + window (CallOptions::window) of them. So
  /// the inputs may be endless, and memory stays flat. A named range is referred to; a temporary
  /// one is kept. Does not read or block before begin(). Where an element failed, `*it` throws, and
  /// the stream goes on. What the inputs throw comes after the results before it. Throws as submit
  /// does. After close() it goes on; a pool that is joined, shut down or destroyed takes no further
  /// inputs, and the stream ends with PoolClosed after what was read.
  template <class C, std::ranges::viewable_range R, std::ranges::viewable_range... Rs>
  auto imap(C callable, R&& range, Rs&&... ranges) {
    return stream<StreamOrder::inputs>("imap", callable, std::forward<R>(range),
                                       std::forward<Rs>(ranges)...);
  }
  template <auto F, std::ranges::viewable_range R, std::ranges::viewable_range... Rs>
  auto imap(R&& range, Rs&&... ranges) {
    return imap(fn<F>, std::forward<R>(range), std::forward<Rs>(ranges)...);
  }

  /// As imap, but gives results as they come, each as an Indexed<R>: {index of the input, value}.
  template <class C, std::ranges::viewable_range R, std::ranges::viewable_range... Rs>
  auto imap_unordered(C callable, R&& range, Rs&&... ranges) {
    return stream<StreamOrder::completion_order>("imap_unordered", callable, std::forward<R>(range),
                                                 std::forward<Rs>(ranges)...);
  }
  template <auto F, std::ranges::viewable_range R, std::ranges::viewable_range... Rs>
  auto imap_unordered(R&& range, Rs&&... ranges) {
    return imap_unordered(fn<F>, std::forward<R>(range), std::forward<Rs>(ranges)...);
  }

 private:
  template <StreamOrder Order, class C, class... Rs>
  auto stream(char const* operation, C const& callable, Rs&&... ranges) {
    using Checked = Call<C, reference_t<std::views::all_t<Rs>>...>;
    if constexpr (Checked::check()) {
      using Ps = typename Checked::Params;
      using Result = Given<result_t<C, reference_t<std::views::all_t<Rs>>...>>;
      using Inputs = StreamSource<std::views::all_t<Rs>...>;
      using State = StreamState<Result, Order, Ps, Inputs>;
      Caller const made = static_cast<Derived&>(*this).make_caller(
          use_chunk | use_window | use_progress | use_executor | use_always, operation);
      auto const& wanted = made.options().window;
      StreamWindow const window(
          wanted ? std::optional(checked(*wanted, "window", max_window)) : std::nullopt,
          made.chunk(), made.engine().size());
      auto task = made.template many<Ps>(callable, {.chunk = made.chunk(), .stream = true},
                                         known_size(ranges...));
      made.engine().open_stream(task);
      return Stream<State>(
          std::make_unique<State>(made.shared_engine(), std::move(task),
                                  Inputs(std::views::all(std::forward<Rs>(ranges))...), window));
    } else {
      return NoStream();
    }
  }
};

}  // namespace procpool::inline v0_1::detail
