#pragma once

// InputWriter: encodes the elements of a call, on the caller's thread, and hands them to the engine
// in segments, so that workers begin while later elements are still encoded. What the caller's iterators
// throw passes through, and so does what encoding throws, with the element that it is of; the caller then gives the call up with abandon().

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <exception>
#include <memory>
#include <span>
#include <tuple>
#include <utility>

#include <procpool/detail/call/serialized_form.hpp>
#include <procpool/detail/call/signature.hpp>
#include <procpool/detail/codec/codec.hpp>
#include <procpool/detail/engine/engine.hpp>
#include <procpool/detail/engine/reason.hpp>

namespace procpool::inline v0::detail {

// An element above this size is a segment of its own, so that a chunk with it is only it; segments are
// handed over when they have reached the other.
inline constexpr std::size_t large_element = 32 * 1024;
inline constexpr std::size_t large_input = 256 * 1024;
// The first one, where nothing has to be encoded.
inline constexpr std::size_t first_packed_input = 32 * 1024;

template <class Ps>
class InputWriter;

template <class... Ps>
class InputWriter<Parameters<Ps...>> {
 public:
  InputWriter(Engine& engine, std::shared_ptr<Task> task)
      : engine_(&engine),
        task_(std::move(task)),
        element_size_(task_->function().argument_size),
        by_hand_(task_->chunk() != 0),
        max_elements_(engine_->input_elements(*task_)),
        next_elements_(first_input(task_->chunk(), max_elements_)),
        input_{0, 0, Bytes(Bytes::allocator_type(engine.message_memory())), {}, {}} {}

  // Encodes one element from the arguments of its call. A full segment is handed over only when another
  // element comes: the last one must be known as such, and an engine gets no empty ones.
  template <class... Args>
  void add(Args&&... args) {
    if (full_) flush(false);
    std::size_t const begin = input_.bytes.size();
    if (element_size_ == 0) input_.bytes.resize(begin + sizeof(std::uint64_t));
    try {
      if constexpr (((fixed_size<serialized_t<Ps>> != 0) && ...)) {
        encode_all(std::forward<Args>(args)...);
      } else {  // only what is of varying size can name shared values
        ShareCollector const collector(input_.shares);
        encode_all(std::forward<Args>(args)...);
      }
    } catch (std::exception const&) {
      input_.bytes.resize(begin);
      throw_of_element(task_->id(), added());
    } catch (...) {
      input_.bytes.resize(begin);
      throw;
    }
    if (element_size_ == 0) {
      std::uint64_t const length = input_.bytes.size() - begin - sizeof(std::uint64_t);
      std::memcpy(input_.bytes.data() + begin, &length, sizeof length);
    }
    finish_element(begin);
  }

  // Elements that already lie as they travel.
  void add_packed(std::span<std::byte const> bytes) {
    // Cut where add() would cut, but the first time: these take no time to come.
    if (!by_hand_) {
      next_elements_ =
          std::min(max_elements_, std::max(next_elements_, first_packed_input / element_size_));
    }
    while (!bytes.empty()) {
      std::size_t most = next_elements_;
      if (!by_hand_) {
        most = element_size_ > large_element ? 1 : std::min(most, large_input / element_size_ + 1);
      }
      std::size_t const room = most - input_.count;
      std::size_t const some = std::min(room, bytes.size() / element_size_);
      auto const front = bytes.first(some * element_size_);
      // insert() would go byte by byte, for the allocator's sake.
      std::size_t const before = input_.bytes.size();
      input_.bytes.resize(before + front.size());
      std::memcpy(input_.bytes.data() + before, front.data(), front.size());
      input_.count += some;
      bytes = bytes.subspan(front.size());
      if (input_.count == most && !bytes.empty()) flush(false);
    }
  }

  // Hands the rest over. Without any element the engine never hears of the task.
  void finish() {
    if (input_.count != 0) {
      flush(true);
    } else if (begun_) {
      engine_->seal(task_);
    } else {
      task_->seal();
    }
  }

  // For streams: hands over what there is; more may come.
  void hand_over() {
    if (input_.count != 0) flush(false);
  }

  std::uint64_t added() const noexcept { return next_ + input_.count; }
  std::uint64_t handed_over() const noexcept { return next_; }
  std::uint64_t bytes() const noexcept { return bytes_ + input_.bytes.size(); }
  // False: the call was cancelled, or stopped by a failure, and the next element would not run.
  bool wanted() const noexcept { return added() < task_->cancelled_from(); }

  // Gives the call up: what has begun is waited for, what has not never will.
  void abandon() noexcept {
    if (!begun_) return;
    try {
      engine_->cancel(task_, Engine::Running::goes_on);
      task_->wait_until(std::nullopt);
    } catch (...) {  // the caller's own error is the one to tell
    }
  }

  bool begun() const noexcept { return begun_; }

 private:
  // Workers should have something to do soon; from there on each segment is twice as large as the one
  // before it, up to the engine's measure, because handing one over has a price.
  static std::size_t first_input(std::size_t chunk, std::size_t most) {
    constexpr std::size_t enough = 256;
    std::size_t const whole =
        chunk == 0 ? enough : chunk * std::max<std::size_t>(1, enough / chunk);
    return std::min(most, whole);
  }

  template <class... Args>
  void encode_all(Args&&... args) {
    (encode<serialized_t<Ps>>(input_.bytes, as_serialized<Ps>(std::forward<Args>(args))), ...);
  }

  void finish_element(std::size_t begin) {
    std::size_t const size = input_.bytes.size() - begin;
    if (!by_hand_ && size > large_element && input_.count != 0) {
      // The large one was written behind smaller ones: it moves to a segment of its own.
      Bytes large(input_.bytes.get_allocator().for_message());
      large.resize(size);
      std::memcpy(large.data(), input_.bytes.data() + begin, size);
      input_.bytes.resize(begin);
      Share::List shares = input_.shares;  // whichever of the two names them
      flush(false);
      input_.bytes = std::move(large);
      input_.shares = std::move(shares);
    }
    ++input_.count;
    if (element_size_ == 0 && input_.count > 1) {
      if (input_.count == 2) input_.ends.push_back(begin);
      input_.ends.push_back(input_.bytes.size());
    }
    full_ = input_.count == next_elements_ ||
            (!by_hand_ && (size > large_element || input_.bytes.size() > large_input));
  }

  void flush(bool last) {
    InputBuffer input = std::exchange(input_, {});
    input.first = next_;
    std::uint64_t const count = input.count;
    bytes_ += input.bytes.size();
    full_ = false;
    if (!input.shares.empty()) task_->keep(input.shares);
    engine_->append(task_, std::move(input), last);
    next_ += count;
    next_elements_ = std::min(max_elements_, 2 * next_elements_);
    begun_ = true;
  }

  Engine* engine_;
  std::shared_ptr<Task> task_;
  std::size_t element_size_;
  bool by_hand_;
  std::size_t max_elements_;
  std::size_t next_elements_;  // of the segment that is being written, at most
  InputBuffer input_;
  std::uint64_t next_ = 0;   // elements handed over
  std::uint64_t bytes_ = 0;  // of them
  bool full_ = false;
  bool begun_ = false;
};

}  // namespace procpool::inline v0::detail
