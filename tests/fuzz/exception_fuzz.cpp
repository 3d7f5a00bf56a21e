// What a task is said to have thrown.

#include <future>
#include <stdexcept>
#include <string>
#include <system_error>

#include <procpool/detail/exception_codec.hpp>
#include <procpool/errors.hpp>

#include "fuzz/fuzz.hpp"

namespace {

struct Strange {};

template <class Throw>
fuzz::Bytes seed(Throw const& throws) {
  procpool::detail::Bytes bytes;
  try {
    throws();
  } catch (...) {
    procpool::detail::encode_current_exception(bytes);
  }
  return fuzz::Output().put_bytes(bytes).take();
}

}  // namespace

void fuzz::run(std::span<std::byte const> input) {
  std::exception_ptr const error = procpool::detail::decode_exception(input, {});
  require(error != nullptr, "a failure has an error");
  try {
    std::rethrow_exception(error);
  } catch (procpool::Origin const& origin) {
    require(origin.causes.size() <= input.size(), "there are no more causes than bytes");
  } catch (std::exception const& other) {
    require(std::strlen(other.what()) <= 4 * input.size() + 4096,
            "a text is about as long as its message");
  }
  require(!procpool::describe(error).empty(), "an error can be described");
}

std::vector<fuzz::Bytes> fuzz::seeds() {
  return {
      seed([] { throw std::out_of_range("index 7 of 5"); }),
      seed([] { throw std::system_error(std::make_error_code(std::errc::io_error), "disk"); }),
      seed([] { throw std::future_error(std::future_errc::broken_promise); }),
      seed([] { throw std::bad_alloc(); }),
      seed([] { throw Strange(); }),
      seed([] { throw 42; }),
      seed([] { throw std::string("a text"); }),
      seed([] { throw procpool::TaskTimeout("late"); }),
      seed([] { throw procpool::SerializationError("no"); }),
      seed([] {
        try {
          throw std::runtime_error("inner");
        } catch (...) {
          std::throw_with_nested(std::logic_error("outer"));
        }
      }),
  };
}
