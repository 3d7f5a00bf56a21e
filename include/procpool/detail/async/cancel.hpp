// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#pragma once

// Cancelling: how calls, and what was composed of them, are ended before their time. cancel() waits
// for the effect, and request_stop() does not. Any thread.

#include <memory>
#include <stop_token>

#include <procpool/call_options.hpp>
#include <procpool/detail/async/completion.hpp>
#include <procpool/detail/export.hpp>

namespace procpool::inline v0_1::detail {

// Cancels, as Handle::cancel says.
PROCPOOL_API Cancel cancel(std::shared_ptr<Completion> const& what);

// The same without waiting. False: it has ended already, or can never end in this process.
PROCPOOL_API bool request_stop(std::shared_ptr<Completion> const& what) noexcept;

// Requests of the token stop it, until it has ended. If the token is stopped, at once: before a task
// is given to its engine, nothing of it runs then. Throws std::bad_alloc.
PROCPOOL_API void stop_with(std::shared_ptr<Completion> const& what, std::stop_token const& token);

}  // namespace procpool::inline v0_1::detail
