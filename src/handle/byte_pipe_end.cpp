// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#include <procpool/detail/handle/byte_pipe_end.hpp>

#include <fcntl.h>
#include <sys/socket.h>

#include <new>
#include <stdexcept>
#include <string>
#include <system_error>

#include <procpool/errors.hpp>

#include "engine/fork_detection.hpp"
#include "handle/item_handles.hpp"
#include "handle/pipe_layout.hpp"
#include "handle/pipe_reader.hpp"
#include "handle/pipe_writer.hpp"
#include "os/mapping.hpp"
#include "os/memfd.hpp"
#include "os/socket.hpp"

namespace procpool::inline v0_1::detail {

namespace {

using handle::PipeReader;
using handle::PipeWords;
using handle::PipeWriter;

constexpr char const* file_name = "procpool pipe";
constexpr int needed_seals = F_SEAL_SHRINK | F_SEAL_GROW;

// The order of the descriptors.
enum : std::size_t { fd_memory, fd_send, fd_receive, fd_count };
static_assert(fd_count <= Resource::max_descriptors);

// Of what the system refuses.
template <class Call>
auto with_errors(char const* what, Call const& call) {
  try {
    return call();
  } catch (std::system_error const& error) {
    throw SetupError(std::string(what) + ": " + error.what());
  }
}

}  // namespace

// The two ends send in different directions.
struct BytePipeEnd::State {
  // Takes the sockets only if nothing fails.
  State(os::Memfd of, Kind kind, os::UniqueFd&& sender, os::UniqueFd&& receiver)
      : memory(std::move(of)),
        // A task may fork, and its child may use the pipe.
        view(memory, os::Access::read_write, 0, handle::pipe_bytes,
             os::Visibility::children_and_dumps),
        sends_in(kind == Kind::pipe_end ? 0 : 1),
        send(std::move(sender)),
        receive(std::move(receiver)) {}
  ~State() {
    os::close_packet_socket(std::move(send));
    os::close_packet_socket(std::move(receive));
  }

  void attach() {
    auto& words = *reinterpret_cast<PipeWords*>(view.data());
    std::byte* const rings = view.data() + handle::pipe_control_bytes;
    std::size_t const other = 1 - sends_in;
    writer.emplace(words.directions[sends_in], rings + sends_in * handle::pipe_ring_bytes,
                   send.get());
    reader.emplace(words.directions[other], rings + other * handle::pipe_ring_bytes, receive.get());
  }

  os::Memfd memory;
  os::Mapping view;
  std::size_t const sends_in;
  os::UniqueFd send;
  os::UniqueFd receive;
  std::optional<PipeWriter> writer;  // of the owner
  std::optional<PipeReader> reader;
  std::optional<Bytes> kept;  // a message that found no memory
  bool is_last_try = false;   // the message that was received last had been kept
};

BytePipeEnd::BytePipeEnd(std::uint64_t id, Kind kind, std::unique_ptr<State> state) noexcept
    : Resource(id, kind, {}), state_(std::move(state)) {}

BytePipeEnd::~BytePipeEnd() = default;

std::pair<std::shared_ptr<BytePipeEnd>, std::shared_ptr<BytePipeEnd>> BytePipeEnd::make() {
  try {
    os::Memfd memory = os::Memfd::create(file_name, handle::pipe_bytes);
    memory.seal(needed_seals);
    auto [first_sends, second_receives] = os::socket_pair();
    auto [second_sends, first_receives] = os::socket_pair();
    os::Memfd other(memory.duplicate());
    auto const finish = [](Kind kind, os::Memfd of, os::UniqueFd sender, os::UniqueFd receiver) {
      auto state =
          std::make_unique<State>(std::move(of), kind, std::move(sender), std::move(receiver));
      state->attach();
      std::shared_ptr<BytePipeEnd> const made(new BytePipeEnd(new_id(), kind, std::move(state)));
      enter(made);
      return made;
    };
    return {finish(Kind::pipe_end, std::move(memory), std::move(first_sends),
                   std::move(first_receives)),
            finish(Kind::other_pipe_end, std::move(other), std::move(second_sends),
                   std::move(second_receives))};
  } catch (std::system_error const& error) {
    throw SetupError(std::string("no pipe can be made: ") + error.what());
  }
}

std::shared_ptr<Resource> BytePipeEnd::adopt(std::uint64_t id, Kind kind,
                                             std::vector<os::UniqueFd>& descriptors) {
  if (descriptors.size() != fd_count) throw BadResource("a pipe end came with other descriptors");
  os::Memfd memory(std::move(descriptors[fd_memory]));
  int const seals = memory.seals();
  if (seals < 0 || (seals & needed_seals) != needed_seals || memory.size() != handle::pipe_bytes) {
    throw BadResource("a pipe end came with memory that is none of a pipe");
  }
  for (std::size_t const which : {fd_send, fd_receive}) {
    if (!os::packet_peer(descriptors[which].get())) {
      throw BadResource("a pipe end came with a descriptor that is no socket of a pipe");
    }
  }
  auto state = std::make_unique<State>(std::move(memory), kind, std::move(descriptors[fd_send]),
                                       std::move(descriptors[fd_receive]));
  return enter(std::shared_ptr<BytePipeEnd>(new BytePipeEnd(id, kind, std::move(state))));
}

std::shared_ptr<BytePipeEnd> BytePipeEnd::find(std::uint64_t id, std::uint32_t kind) {
  bool const other = kind == static_cast<std::uint32_t>(Kind::other_pipe_end);
  return std::static_pointer_cast<BytePipeEnd>(
      Resource::find(id, other ? Kind::other_pipe_end : Kind::pipe_end));
}

std::vector<int> BytePipeEnd::descriptors() const {
  return {state_->memory.fd(), state_->send.get(), state_->receive.get()};
}

// ---- its owner

void BytePipeEnd::leave(std::shared_ptr<Owner> const& owner) {
  auto const& end = owner->end;
  if (end->state_->kept || (end->state_->reader && end->state_->reader->is_within_message())) {
    throw SerializationError("procpool: a message is just arriving at this end of a pipe: receive "
                             "it before you give the end away");
  }
  ResourceCollector::save(end);
  end->owner_ = owner;
  end->is_owned_.store(false, std::memory_order_release);
  owner->end.reset();
}

void BytePipeEnd::return_to_owner() noexcept {
  auto const owner = owner_.lock();
  if (!owner || owner->end || is_owned_.exchange(true, std::memory_order_acq_rel)) return;
  owner->end = std::static_pointer_cast<BytePipeEnd>(shared_from_this());
}

std::shared_ptr<BytePipeEnd::Owner> BytePipeEnd::arrive() {
  auto owner = std::make_shared<Owner>();
  if (is_owned_.exchange(true, std::memory_order_acq_rel)) {
    throw SerializationError("procpool: a message brings an end of a pipe that has an owner here");
  }
  owner->end = std::static_pointer_cast<BytePipeEnd>(shared_from_this());
  owner_.reset();
  forks_ = fork_count();
  // Another process may have moved the positions.
  state_->attach();
  return owner;
}

// ---- its use

void BytePipeEnd::send(std::span<std::byte const> message) {
  with_errors("a pipe cannot be used", [&] { state_->writer->send(message); });
}

void BytePipeEnd::send(Bytes& message, List const& handles) {
  std::vector<int> const descriptors = handle::append_handles(message, handles);
  with_errors("this process cannot send the handles in a value",
              [&] { state_->writer->send(message, descriptors); });
}

BytePipeEnd::Receive BytePipeEnd::receive(Bytes& message, List& handles,
                                          std::optional<TimePoint> deadline) {
  std::vector<os::UniqueFd> descriptors;
  Receive const received =
      receive("this process cannot take the handles in a value", message, deadline, &descriptors);
  if (received == Receive::message) {
    handles = handle::adopt_handles(message, std::move(descriptors));
  }
  return received;
}

BytePipeEnd::Receive BytePipeEnd::receive(Bytes& message, std::optional<TimePoint> deadline) {
  return receive("a pipe cannot be used", message, deadline, nullptr);
}

BytePipeEnd::Receive BytePipeEnd::receive(char const* refusal, Bytes& message,
                                          std::optional<TimePoint> const& deadline,
                                          std::vector<os::UniqueFd>* descriptors) {
  state_->is_last_try = state_->kept.has_value();
  if (state_->kept) {
    message = std::move(*state_->kept);
    state_->kept.reset();
    return Receive::message;
  }
  switch (with_errors(refusal,
                      [&] { return state_->reader->receive(message, deadline, descriptors); })) {
    case PipeReader::Receive::message: return Receive::message;
    case PipeReader::Receive::nothing: return Receive::nothing;
    case PipeReader::Receive::ended: break;
  }
  return Receive::ended;
}

void BytePipeEnd::keep(Bytes& message) noexcept {
  if (!state_->is_last_try) state_->kept = std::move(message);
}

void BytePipeEnd::keep(Bytes& message, List const& handles) noexcept {
  if (handle::append_no_handles(message, handles)) keep(message);
}

bool BytePipeEnd::peer_gone() const noexcept { return state_->reader->doorbell().hung_up(); }

int BytePipeEnd::native_handle() const noexcept { return state_->receive.get(); }

void BytePipeEnd::close() noexcept {
  is_owned_.store(false, std::memory_order_release);
  // A forked child has a copy of the handle, and its parent uses the pipe.
  if (forked_since(forks_)) return;
  state_->writer->doorbell().hang_up();
  state_->reader->doorbell().hang_up();
}

void refuse_pipe_end_without_owner() {
  throw std::logic_error("procpool: this pipe end was given away, or is empty");
}

}  // namespace procpool::inline v0_1::detail
