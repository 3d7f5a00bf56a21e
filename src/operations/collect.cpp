#include <algorithm>
#include <cstring>

#include <procpool/detail/codec/exception_codec.hpp>
#include <procpool/detail/operations/collect.hpp>

namespace procpool::inline v0::detail {

std::vector<OutcomeBlock> take_in_order(Task& task) {
  std::vector<OutcomeBlock> blocks = task.take();
  std::ranges::sort(blocks, {}, &OutcomeBlock::first);
  return blocks;
}

std::uint64_t count_elements(std::vector<OutcomeBlock> const& blocks) noexcept {
  std::uint64_t elements = 0;
  for (OutcomeBlock const& block : blocks) elements += block.count;
  return elements;
}

std::exception_ptr malformed(OutcomeBlock const& block, std::uint64_t task) {
  return std::make_exception_ptr(BadMessage(
      "task " + std::to_string(task) + ", elements " + std::to_string(block.first) + " to " +
      std::to_string(block.first + block.count - 1) + ": worker " + std::to_string(block.worker) +
      " (pid " + std::to_string(block.pid) + ") sent results whose lengths cannot be"));
}

std::exception_ptr reason_of(OutcomeBlock const& block, Task const& task) {
  return reason_of(block, task.id(),
                   task.context() ? task.context()->exceptions : ExceptionTypes());
}

std::exception_ptr undecodable(OutcomeBlock const& block, Task const& task, std::uint64_t element,
                               std::exception_ptr const& error) {
  Origin origin = origin_of(block, task.id());
  origin.element = element;
  return with_origin(error, origin);
}

void throw_reason(OutcomeBlock const& block, Task const& task, std::exception_ptr reason) {
  std::rethrow_exception(SharedReason(std::move(reason)).of(task.id(), block.first));
}

bool well_formed(std::span<std::byte const> bytes, std::uint64_t count) noexcept {
  for (std::uint64_t i = 0; i < count; ++i) {
    std::uint64_t size = 0;
    if (bytes.size() < sizeof size) return false;
    std::memcpy(&size, bytes.data(), sizeof size);
    bytes = bytes.subspan(sizeof size);
    if (bytes.size() < size) return false;
    bytes = bytes.subspan(size);
  }
  return bytes.empty();
}

void ErrorSink::error(std::exception_ptr const& reason) {
  if (keeps()) errors_.push_back({next_, reason});
  failed_ = true;
  ++next_;
}

void ErrorSink::throw_errors() {
  if (all_) throw ElementErrors(std::move(errors_));
  std::rethrow_exception(errors_.front().error);
}

}  // namespace procpool::inline v0::detail
