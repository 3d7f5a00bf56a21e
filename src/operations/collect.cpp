// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#include <algorithm>
#include <cstring>

#include <procpool/detail/codec/exception_codec.hpp>
#include <procpool/detail/operations/collect.hpp>

namespace procpool::inline v0_1::detail {

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
  return reason_of(block, task.id(), task.context() ? task.context()->exceptions : ExceptionTypes(),
                   task.retries() ? task.earlier_attempts(block.first) : Attempts(),
                   task.label().text);
}

BlockDetails::BlockDetails(Task& task, OutcomeBlock const& block)
    : task_(task),
      differ_(task.has_special_elements()),
      common_(std::make_shared<OutcomeFacts const>([&] {
        OutcomeFacts facts;
        facts.times.queued = task.queued(block);
        if (task.detailed()) facts.times.ended = block.ended;
        if (facts.times.queued && block.nanoseconds != 0) {
          // The worker may say anything.
          std::chrono::nanoseconds const most = block.ended - *facts.times.queued;
          auto const took = std::min(block.nanoseconds, static_cast<std::uint64_t>(most.count()));
          facts.times.started = block.ended - std::chrono::nanoseconds(took);
        }
        bool const begun = block.kind != OutcomeBlock::Kind::failed || block.begun;
        facts.attempts = begun ? 1 : 0;
        facts.worker = block.worker;
        facts.pid = block.pid;
        return facts;
      }())) {}

OutcomeDetails BlockDetails::of(std::uint64_t element) const {
  if (!differ_) return common_;
  std::uint64_t const failed = task_.earlier_attempts(element).failed;
  std::string output = task_.take_output(element);
  if (failed == 0 && output.empty()) return common_;
  auto own = std::make_shared<OutcomeFacts>(*common_);
  own->attempts += failed;
  own->output = std::move(output);
  return own;
}

std::exception_ptr undecodable(OutcomeBlock const& block, Task const& task, std::uint64_t element,
                               std::exception_ptr const& error) {
  Origin origin = origin_of(block, task.id());
  origin.element = element;
  origin.label = task.label().text;
  return with_origin(error, origin);
}

void throw_reason(OutcomeBlock const& block, Task const& task, std::exception_ptr reason) {
  std::rethrow_exception(SharedReason(std::move(reason)).of(task.id(), block.first));
}

std::exception_ptr only_failure(Task& task) {
  OutcomeBlock const block = task.take_only();
  return SharedReason(reason_of(block, task)).of(task.id(), block.first);
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
  if (keeps()) errors_.push_back({next_, Failure(reason)});
  failed_ = true;
  ++next_;
}

std::exception_ptr ErrorSink::failure() {
  if (!failed_) return nullptr;
  if (all_) return std::make_exception_ptr(ElementErrors(std::move(errors_)));
  return errors_.front().error.exception();
}

}  // namespace procpool::inline v0_1::detail
