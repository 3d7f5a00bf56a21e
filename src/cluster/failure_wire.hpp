// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#pragma once

// Failures as bytes: why an element has no value, on its way from a host to the client. What a task threw
// travels as its worker encoded it; these are the errors that a host makes itself. A death brings its
// stack as text, because the client cannot read the files of the host. Any thread.

#include <exception>
#include <span>
#include <string>
#include <vector>

#include <procpool/detail/engine/bytes.hpp>
#include <procpool/errors.hpp>

namespace procpool::inline v0_1::cluster {

// May read files, for the names of a stack. `here`, `there`: the id of the call at the host and at the
// client: texts that begin with it are told with the other.
detail::Bytes encode_failure(std::exception_ptr const& failure, std::uint64_t here = 0,
                             std::uint64_t there = 0);

// The text with the id of the client, if it begins with that of the host.
std::string with_task(std::string&& text, std::uint64_t here, std::uint64_t there);

// What the client knows better than the host.
struct FailurePlace {
  std::string pool;
  std::string host;
  int first_worker = 0;  // the place in the pool of the host's worker 0
  std::uint64_t task = 0;
  std::uint64_t element = 0;
  std::string label{};
  std::vector<std::string> earlier{};  // of its attempts, as in WorkerDeath
  std::uint64_t attempts_failed = 0;
};

// The same error as on one machine, with its host. Bytes that cannot be give a BadMessage.
std::exception_ptr decode_failure(std::span<std::byte const> bytes, FailurePlace const& place);

}  // namespace procpool::inline v0_1::cluster
