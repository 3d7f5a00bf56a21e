// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#pragma once

// log: lines of tasks for the log of their pool.

#include <cstdint>
#include <string_view>

#include <procpool/detail/export.hpp>

namespace procpool::inline v0_1 {

/// How much a line matters.
enum class LogLevel : std::uint8_t { trace, debug, info, warning, error };

/// The name of the level: "trace", "debug", "info", "warning", "error".
PROCPOOL_API char const* to_string(LogLevel level) noexcept;

/// Sends a line to the log of the pool, from a task or from a thread of a task. There PoolOptions::log
/// gets it with its level, worker, task and element, and PoolOptions::on_event gets it as
/// EventKind::task_logged. Both are called on the pool's callback thread. Lines are whole, and those of
/// one worker stay in order. The text is cut to 4 KiB. A line is there however its worker ends
/// afterwards. Takes about a microsecond. If the program reads more slowly than the worker logs, a
/// call waits up to 10 ms for room. Without room after that the line is dropped, and counted in the
/// next line. Outside of a task, and in a process that a task has forked, the line goes to standard
/// error.
PROCPOOL_API void log(LogLevel level, std::string_view text) noexcept;

}  // namespace procpool::inline v0_1
