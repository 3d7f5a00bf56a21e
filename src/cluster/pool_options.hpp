// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#pragma once

// The options of a pool as bytes: all that concerns the workers of a host. What the client decides (the
// queue's limit, the end, defaults of calls, callbacks) stays there. Any thread.

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include <procpool/detail/codec/exception_types.hpp>
#include <procpool/detail/engine/bytes.hpp>
#include <procpool/options.hpp>

namespace procpool::inline v0_1::cluster {

// Throws SetupError for what cannot go to other machines, with a sentence.
detail::Bytes encode_pool_options(PoolOptions const& options);

struct HostedOptions {
  PoolOptions options{};
  // Of options.exceptions, which refers to it.
  std::vector<detail::ExceptionFunction> exceptions{};
};
// Nothing: the bytes are no options. Throws std::runtime_error if this process lacks a function that
// they name. May open modules.
std::optional<HostedOptions> decode_pool_options(std::span<std::byte const> bytes);

}  // namespace procpool::inline v0_1::cluster
