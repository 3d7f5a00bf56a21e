// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#pragma once

// InputWriter: encodes the elements of a call, on the caller's thread, and hands them to the engine
// in input buffers, so that workers begin while later elements are still encoded. Errors of the
// caller's iterators pass through. Errors of the encoding name their element. After either, the
// caller ends the call with abandon().

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <utility>

#include <procpool/detail/call/serialized_form.hpp>
#include <procpool/detail/call/signature.hpp>
#include <procpool/detail/codec/codec.hpp>
#include <procpool/detail/engine/engine.hpp>

namespace procpool::inline v0_1::detail {

// The half that knows no types.
class PROCPOOL_API InputWriterBase {
 public:
  InputWriterBase(Engine& engine, std::shared_ptr<Task> task);

  // Elements whose bytes lie in memory as they are sent.
  void add_packed(std::span<std::byte const> bytes);

  // Hands the rest over. Without any element the engine never hears of the task.
  void finish();

  // For streams: hands over the elements so far; more may come.
  void hand_over() {
    if (input_.count != 0) flush(false);
  }

  std::uint64_t added() const noexcept { return next_ + input_.count; }
  std::uint64_t handed_over() const noexcept { return next_; }
  std::uint64_t bytes() const noexcept { return bytes_ + input_.bytes.size(); }
  // False: the call was stopped by a failure, and the next element would not run. Of a call that was
  // cancelled as a whole each element ends with TaskCancelled, those that are still read too.
  bool wanted() const noexcept {
    std::uint64_t const end = task_->cancelled_from();
    return added() < end || end == 0;
  }

  // Gives the call up: elements that have begun are waited for, the others never begin.
  void abandon() noexcept;

 protected:
  // Makes room for an element. Returns where it begins, which the next functions are told.
  std::size_t begin_element();
  void end_element(std::size_t begin);
  // In a handler: drops the element, and throws the error again, as that of the element.
  [[noreturn]] void refuse_element(std::size_t begin);

  InputBuffer input_;

 private:
  void flush(bool last);
  void move_to_own_buffer(std::size_t begin);
  // The current element names something that has one owner.
  bool carries() const noexcept;

  Engine* engine_;
  std::shared_ptr<Task> task_;
  std::size_t element_size_;
  bool user_chunk_;  // the user has set the size of chunks
  std::size_t max_elements_;
  std::size_t next_elements_;     // of the buffer that is being written, at most
  std::uint64_t next_ = 0;        // elements handed over
  std::uint64_t bytes_ = 0;       // of them
  std::size_t named_before_ = 0;  // resources, by the elements before the current one
  bool full_ = false;
  bool begun_ = false;
};

template <class Ps>
class InputWriter;

template <class... Ps>
class InputWriter<Parameters<Ps...>> : public InputWriterBase {
 public:
  using InputWriterBase::InputWriterBase;

  // Encodes one element from the arguments of its call.
  template <class... Args>
  void add(Args&&... args) {
    std::size_t const begin = begin_element();
    try {
      if constexpr (((fixed_size<serialized_t<Ps>> != 0) && ...)) {
        encode_all(std::forward<Args>(args)...);
      } else {  // only values of varying size can name resources
        ResourceCollector const collector(input_.resources);
        encode_all(std::forward<Args>(args)...);
      }
    } catch (...) {
      refuse_element(begin);
    }
    end_element(begin);
  }

 private:
  template <class... Args>
  void encode_all(Args&&... args) {
    (encode<serialized_t<Ps>>(input_.bytes, as_serialized<Ps>(std::forward<Args>(args))), ...);
  }
};

}  // namespace procpool::inline v0_1::detail
