// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// What a task is said to have thrown.

#include <future>
#include <stdexcept>
#include <string>
#include <system_error>

#include <procpool/detail/codec/exception_codec.hpp>
#include <procpool/errors.hpp>
#include <procpool/exceptions.hpp>

#include "fuzz/fuzz.hpp"

namespace {

struct Strange {};
struct Listed : std::runtime_error {
  explicit Listed(std::string const& text = {}) : std::runtime_error(text) {}
  template <class A>
  void serialize(A& archive, unsigned) {
    archive & parts;
  }
  std::vector<std::string> parts{"a", "b"};
};
struct Renamed : std::logic_error {
  using std::logic_error::logic_error;
};
constexpr procpool::ExceptionTypes listed = procpool::exception_types<Listed, Renamed>();

struct OwnCategory final : std::error_category {
  char const* name() const noexcept override { return "own"; }
  std::string message(int) const override { return "message"; }
};
OwnCategory const own_category;

template <class Throw>
fuzz::Bytes seed(Throw const& throws) {
  procpool::detail::Bytes bytes;
  try {
    throws();
  } catch (...) {
    procpool::detail::encode_current_exception(bytes, listed.functions());
  }
  return fuzz::Output().put_bytes(bytes).take();
}

}  // namespace

void fuzz::run(std::span<std::byte const> input) {
  std::exception_ptr const error =
      procpool::detail::decode_exception(input, {}, listed.functions());
  require(error != nullptr, "a failure has an error");
  static_cast<void>(procpool::detail::listed_kind(input, listed.functions()));
  try {
    std::rethrow_exception(error);
  } catch (std::system_error const& coded) {
    require(coded.code().category().name() != nullptr, "a category can be called");
    static_cast<void>(coded.code().message());
  } catch (procpool::Origin const& origin) {
    require(origin.causes.size() <= input.size(), "there are no more causes than bytes");
    std::size_t bytes = origin.type.size();
    for (std::string const& cause : origin.causes) bytes += cause.size();
    require(bytes <= 72 * std::size_t{1024}, "what it tells is bounded");
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
      seed([] { throw Listed("listed"); }),
      seed([] { throw Renamed("listed"); }),
      seed([] { throw std::system_error(3, own_category, "own"); }),
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
