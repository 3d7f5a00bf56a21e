#pragma once

// Exceptions as bytes: what a task threw, on its way to whoever asks for its result.
//
// encode_current_exception is called in a handler, in the worker. decode_exception is called on the
// asker's thread and believes nothing: malformed bytes give a BadMessage.

#include <cstddef>
#include <exception>
#include <span>

#include <procpool/detail/bytes.hpp>
#include <procpool/detail/export.hpp>
#include <procpool/errors.hpp>

namespace procpool::inline v0::detail {

// Appends the exception being handled: its type's name, its text, its error code if it has one, and the
// chain of exceptions nested in it. Of what is no std::exception the type's name, and the value of an
// int or the text of a string.
PROCPOOL_API void encode_current_exception(Bytes& out);

// The exception rebuilt: a standard one as FromWorker<itself>, one of procpool's likewise, everything
// else as RemoteError. `origin` without type and causes, which the bytes bring.
PROCPOOL_API std::exception_ptr decode_exception(std::span<std::byte const> bytes, Origin origin);

}  // namespace procpool::inline v0::detail
