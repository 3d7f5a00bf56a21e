// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#include <algorithm>
#include <cstring>
#include <exception>
#include <utility>

#include <procpool/detail/engine/reason.hpp>
#include <procpool/detail/operations/input_writer.hpp>

namespace procpool::inline v0_1::detail {
namespace {

// A larger element has a buffer of its own, so that it is alone in its chunk.
constexpr std::size_t large_element = 32 * 1024;
// A buffer of this size is handed over.
constexpr std::size_t large_input = 256 * 1024;
// The first buffer, if nothing has to be encoded.
constexpr std::size_t first_packed_input = 32 * 1024;

// Workers should have something to do soon. From there on each buffer is twice as large as the one
// before it, up to the engine's measure, because each handover has a price.
std::size_t first_input(std::size_t chunk, std::size_t most) {
  constexpr std::size_t enough = 256;
  std::size_t const whole = chunk == 0 ? enough : chunk * std::max<std::size_t>(1, enough / chunk);
  return std::min(most, whole);
}

// Leaves an empty buffer whose memory comes from the same place.
InputBuffer take(InputBuffer& input) noexcept {
  return {input.first, std::exchange(input.count, 0), std::move(input.bytes), std::move(input.ends),
          std::move(input.resources)};
}

}  // namespace

InputWriterBase::InputWriterBase(Engine& engine, std::shared_ptr<Task> task)
    : input_{0, 0, Bytes(Bytes::allocator_type(engine.message_memory())), {}, {}},
      engine_(&engine),
      task_(std::move(task)),
      element_size_(task_->function().argument_size),
      user_chunk_(task_->chunk() != 0),
      max_elements_(engine_->input_elements(*task_)),
      next_elements_(first_input(task_->chunk(), max_elements_)) {}

std::size_t InputWriterBase::begin_element() {
  // A full buffer is handed over only when another element comes: the last one must be known as
  // such, and an engine gets no empty ones.
  if (full_) flush(false);
  std::size_t const begin = input_.bytes.size();
  named_before_ = input_.resources.size();
  if (element_size_ == 0) input_.bytes.resize(begin + sizeof(std::uint64_t));
  return begin;
}

void InputWriterBase::end_element(std::size_t begin) {
  std::size_t const size = input_.bytes.size() - begin;
  if (element_size_ == 0) {
    std::uint64_t const length = size - sizeof(std::uint64_t);
    std::memcpy(input_.bytes.data() + begin, &length, sizeof length);
  }
  // At most one worker at a time has what is carried: that of the element.
  bool const alone = carries() || (!user_chunk_ && size > large_element);
  if (alone && input_.count != 0) move_to_own_buffer(begin);
  ++input_.count;
  if (element_size_ == 0 && input_.count > 1) {
    if (input_.count == 2) input_.ends.push_back(begin);
    input_.ends.push_back(input_.bytes.size());
  }
  full_ = alone || input_.count == next_elements_ ||
          (!user_chunk_ && input_.bytes.size() > large_input);
}

bool InputWriterBase::carries() const noexcept {
  return any_is_carried(std::span(input_.resources).subspan(named_before_));
}

void InputWriterBase::refuse_element(std::size_t begin) {
  input_.bytes.resize(begin);
  return_to_owner(std::span(input_.resources).subspan(named_before_));
  input_.resources.resize(named_before_);
  try {
    throw;
  } catch (std::exception const&) {
    throw_of_element(task_->id(), added());
  }
}

void InputWriterBase::move_to_own_buffer(std::size_t begin) {
  std::size_t const size = input_.bytes.size() - begin;
  Bytes large(input_.bytes.get_allocator().for_message());
  Resource::List resources;  // the element may name earlier ones too
  try {
    large.resize(size);
    resources = input_.resources;
    std::memcpy(large.data(), input_.bytes.data() + begin, size);
    input_.bytes.resize(begin);
    input_.resources.resize(named_before_);
    flush(false);
  } catch (...) {
    // Handles have given away what the element carries.
    return_to_owner(resources.empty() ? input_.resources : resources);
    throw;
  }
  input_.bytes = std::move(large);
  input_.resources = std::move(resources);
}

void InputWriterBase::add_packed(std::span<std::byte const> bytes) {
  // Cut as other elements are, except for the first buffer: these elements take no time to come.
  if (!user_chunk_) {
    next_elements_ =
        std::min(max_elements_, std::max(next_elements_, first_packed_input / element_size_));
  }
  while (!bytes.empty()) {
    std::size_t most = next_elements_;
    if (!user_chunk_) {
      most = element_size_ > large_element ? 1 : std::min(most, large_input / element_size_ + 1);
    }
    std::size_t const room = most - input_.count;
    std::size_t const some = std::min(room, bytes.size() / element_size_);
    auto const front = bytes.first(some * element_size_);
    append(input_.bytes, front.data(), front.size());
    input_.count += some;
    bytes = bytes.subspan(front.size());
    if (input_.count == most && !bytes.empty()) flush(false);
  }
}

void InputWriterBase::finish() {
  if (input_.count != 0) {
    flush(true);
  } else if (begun_) {
    engine_->seal(task_);
  } else {
    task_->seal();
  }
}

void InputWriterBase::abandon() noexcept {
  if (!begun_) return;
  try {
    engine_->cancel(task_, Engine::Running::goes_on);
    task_->wait_until(std::nullopt);
  } catch (...) {  // the caller's own error is the one to tell
  }
}

void InputWriterBase::flush(bool last) {
  input_.first = next_;
  std::uint64_t const count = input_.count;
  bytes_ += input_.bytes.size();
  full_ = false;
  Resource::List named;
  try {
    if (carries()) named = input_.resources;
    if (task_->detailed()) task_->note_queued(next_, count);
    engine_->append(task_, take(input_), last);
  } catch (...) {
    return_to_owner(named.empty() ? input_.resources : named);
    throw;
  }
  next_ += count;
  next_elements_ = std::min(max_elements_, 2 * next_elements_);
  begun_ = true;
}

}  // namespace procpool::inline v0_1::detail
