// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#pragma once

// Exceptions as bytes: the exception of a task, on its way to the thread that asks for the result.
//
// encode_exception is called in the worker. decode_exception is called on the asking thread and
// believes nothing: malformed bytes give a BadMessage. Nothing is thrown on the way, because a throw
// costs more than most elements.

#include <cstddef>
#include <exception>
#include <span>

#include <procpool/detail/codec/exception_types.hpp>
#include <procpool/detail/engine/bytes.hpp>
#include <procpool/detail/export.hpp>
#include <procpool/errors.hpp>

namespace procpool::inline v0_1::detail {

// Appends the exception: the nearest of the known types, its own type's name, its
// text, its error code if it has one, and the chain of exceptions nested in it; of what is no
// std::exception the value of an int or the text of a string. All of that is cut to 64 KiB. Behind
// it, if it is one of the types `listed`, its value.
PROCPOOL_API void encode_exception(Bytes& out, std::exception_ptr const& error,
                                   std::span<ExceptionFunction const> listed = {});
// The exception being handled.
PROCPOOL_API void encode_current_exception(Bytes& out,
                                           std::span<ExceptionFunction const> listed = {});

// The exception rebuilt: a listed one as itself, a standard one, or one of procpool's, as
// FromWorker<itself>, one derived from these as FromWorker<the nearest of them>, everything else as
// RemoteError. `origin` has no type and may have causes; the bytes bring theirs. Runs code of
// listed types; without such a list none of the user's.
PROCPOOL_API std::exception_ptr decode_exception(std::span<std::byte const> bytes,
                                                 Origin const& origin,
                                                 std::span<ExceptionFunction const> listed = {});

// An error that arose in this process, with where: one whose type is exactly a standard one, or one
// of procpool's, as FromWorker<itself>; what has an Origin already, and what is of another type, as
// it is.
PROCPOOL_API std::exception_ptr with_origin(std::exception_ptr const& error, Origin const& origin);

// If the bytes say that it is of a listed type: something thrown that a handler for a pointer to
// that type, or to a base of it, catches. Runs no code of the type. Null: they do not.
PROCPOOL_API std::exception_ptr listed_kind(std::span<std::byte const> bytes,
                                            std::span<ExceptionFunction const> listed);

}  // namespace procpool::inline v0_1::detail
