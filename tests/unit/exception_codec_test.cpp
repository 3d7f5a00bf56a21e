// Exceptions as bytes: standard types come back as themselves with text, code and origin,
// everything else as RemoteError; whatever the bytes are, the answer is an exception.

#include <procpool/detail/exception_codec.hpp>

#include <gtest/gtest.h>

#include <any>
#include <array>
#include <cerrno>
#include <exception>
#include <filesystem>
#include <functional>
#include <future>
#include <ios>
#include <limits>
#include <memory>
#include <new>
#include <optional>
#include <regex>
#include <stdexcept>
#include <string>
#include <system_error>
#include <typeinfo>
#include <variant>
#include <vector>

#include <procpool/detail/type_name.hpp>

#include "support/errors.hpp"

namespace app {

struct Broken : std::runtime_error {
  using std::runtime_error::runtime_error;
};
struct Plain {};
class Silent : public std::exception {
  char const* what() const noexcept override { return nullptr; }
};
template <class T>
struct Generic : std::logic_error {
  using std::logic_error::logic_error;
};

}  // namespace app

namespace {

using procpool::FromWorker;
using procpool::Origin;
using procpool::RemoteError;
using procpool::detail::Bytes;

Origin here() {
  Origin origin;
  origin.worker = 2;
  origin.pid = 4711;
  origin.task = 17;
  origin.element = 5;
  return origin;
}

template <class Throw>
Bytes bytes_of(Throw const& throw_it) {
  Bytes bytes;
  try {
    throw_it();
  } catch (...) {
    procpool::detail::encode_current_exception(bytes);
  }
  return bytes;
}

template <class Throw>
std::exception_ptr arrived(Throw const& throw_it) {
  return procpool::detail::decode_exception(bytes_of(throw_it), here());
}

// What arrives when `error` is thrown; fails the test unless it is an E with an origin.
template <class E>
FromWorker<E> round_trip(E const& error) {
  auto const pointer = arrived([&] { throw error; });
  return support::thrown_by<FromWorker<E>>([&] { std::rethrow_exception(pointer); });
}

template <class E>
void expect_itself(E const& error, std::string const& type) {
  auto const pointer = arrived([&] { throw error; });
  try {
    std::rethrow_exception(pointer);
  } catch (E const& got) {
    EXPECT_STREQ(got.what(), error.what());
    EXPECT_STREQ(static_cast<std::exception const&>(got).what(), error.what());
  } catch (...) {
    FAIL() << type << " arrives as " << support::current_exception_text();
  }
  try {
    std::rethrow_exception(pointer);
  } catch (Origin const& origin) {
    EXPECT_EQ(origin.type, type);
    EXPECT_EQ(origin.worker, 2);
    EXPECT_EQ(origin.pid, 4711);
    EXPECT_EQ(origin.task, 17u);
    EXPECT_EQ(origin.element, 5u);
    EXPECT_TRUE(origin.causes.empty());
  }
}

RemoteError remote(std::exception_ptr const& error) {
  return support::thrown_by<RemoteError>([&] { std::rethrow_exception(error); });
}

// ---- types

TEST(ExceptionCodec, StandardTypesWithATextComeBackAsThemselves) {
  std::string const text = "a text, of some length, with a \0 inside";
  expect_itself(std::logic_error(text), "std::logic_error");
  expect_itself(std::invalid_argument(text), "std::invalid_argument");
  expect_itself(std::domain_error(text), "std::domain_error");
  expect_itself(std::length_error(text), "std::length_error");
  expect_itself(std::out_of_range(text), "std::out_of_range");
  expect_itself(std::runtime_error(text), "std::runtime_error");
  expect_itself(std::range_error(text), "std::range_error");
  expect_itself(std::overflow_error(text), "std::overflow_error");
  expect_itself(std::underflow_error(text), "std::underflow_error");
  expect_itself(std::runtime_error(""), "std::runtime_error");
  expect_itself(std::runtime_error(std::string(100'000, 'x')), "std::runtime_error");
}

TEST(ExceptionCodec, StandardTypesWithoutATextComeBackAsThemselves) {
  expect_itself(std::exception(), "std::exception");
  expect_itself(std::bad_alloc(), "std::bad_alloc");
  expect_itself(std::bad_array_new_length(), "std::bad_array_new_length");
  expect_itself(std::bad_cast(), "std::bad_cast");
  expect_itself(std::bad_typeid(), "std::bad_typeid");
  expect_itself(std::bad_exception(), "std::bad_exception");
  expect_itself(std::bad_function_call(), "std::bad_function_call");
  expect_itself(std::bad_optional_access(), "std::bad_optional_access");
  expect_itself(std::bad_variant_access(), "std::bad_variant_access");
  expect_itself(std::bad_weak_ptr(), "std::bad_weak_ptr");
  expect_itself(std::bad_any_cast(), "std::bad_any_cast");
}

TEST(ExceptionCodec, OurOwnComeBackAsThemselves) {
  expect_itself(procpool::Error("e"), "procpool::Error");
  expect_itself(procpool::SerializationError("e"), "procpool::SerializationError");
  expect_itself(procpool::TaskTimeout("e"), "procpool::TaskTimeout");
  expect_itself(procpool::TaskCancelled("e"), "procpool::TaskCancelled");
  expect_itself(procpool::PoolClosed("e"), "procpool::PoolClosed");
  expect_itself(procpool::SetupError("e"), "procpool::SetupError");
  expect_itself(procpool::BadMessage("e"), "procpool::BadMessage");
}

TEST(ExceptionCodec, AWorkerThatDiedUnderANestedPoolIsTold) {
  procpool::WorkerDeath death;
  death.signal = 11;
  procpool::WorkerDied const died(death);
  auto const error = remote(arrived([&] { throw died; }));
  EXPECT_EQ(error.type, "procpool::WorkerDied");
  EXPECT_STREQ(error.what(), died.what());
}

TEST(ExceptionCodec, TypesAreNamedAsPeopleWriteThem) {
  using procpool::detail::type_name;
  EXPECT_EQ(type_name(typeid(procpool::WorkerDied)), "procpool::WorkerDied");
  EXPECT_EQ(type_name(typeid(FromWorker<procpool::PoolClosed>)),
            "procpool::FromWorker<procpool::PoolClosed>");
  EXPECT_EQ(type_name(typeid(std::string)), "std::string");
  EXPECT_EQ(type_name(typeid(std::filesystem::filesystem_error)),
            "std::filesystem::filesystem_error");
  EXPECT_EQ(type_name(typeid(std::ios_base::failure)), "std::ios_base::failure");
  EXPECT_EQ(type_name(typeid(int)), "int");
}

// ---- codes

TEST(ExceptionCodec, SystemErrorsKeepTheirCode) {
  for (auto const* category : {&std::generic_category(), &std::system_category(),
                               &std::iostream_category(), &std::future_category()}) {
    for (int value : {0, 1, ENOENT, -5, std::numeric_limits<int>::max()}) {
      std::system_error const error(value, *category, "opening");
      auto const got = round_trip(error);
      EXPECT_EQ(got.code(), error.code());
      EXPECT_STREQ(got.what(), error.what());
    }
  }
  expect_itself(std::system_error(ENOENT, std::generic_category(), "opening"), "std::system_error");
}

class OwnCategory : public std::error_category {
 public:
  char const* name() const noexcept override { return "own"; }
  std::string message(int value) const override { return "own " + std::to_string(value); }
};

TEST(ExceptionCodec, ACategoryThatIsNotKnownKeepsNumberAndText) {
  OwnCategory const own;
  std::system_error const error(77, own, "doing");
  auto const got = round_trip(error);
  EXPECT_EQ(got.code().value(), 77);
  EXPECT_STREQ(got.what(), "doing: own 77");
  EXPECT_FALSE(got.code().message().empty());
  EXPECT_NE(got.code(), std::error_code(77, std::generic_category()));
}

TEST(ExceptionCodec, FilesystemErrorsKeepTheirPaths) {
  std::filesystem::filesystem_error const error("copying", "/from here", "/to/\xc3\xa4",
                                                std::make_error_code(std::errc::permission_denied));
  auto const got = round_trip(error);
  EXPECT_EQ(got.path1(), "/from here");
  EXPECT_EQ(got.path2(), "/to/\xc3\xa4");
  EXPECT_EQ(got.code(), std::errc::permission_denied);
  EXPECT_STREQ(got.what(), error.what());
  expect_itself(error, "std::filesystem::filesystem_error");
  EXPECT_TRUE(
      round_trip(std::filesystem::filesystem_error("x", std::error_code())).path1().empty());
}

TEST(ExceptionCodec, RegexErrorsKeepTheirCode) {
  namespace codes = std::regex_constants;
  for (auto const code :
       {codes::error_collate, codes::error_ctype, codes::error_escape, codes::error_backref,
        codes::error_brack, codes::error_paren, codes::error_brace, codes::error_badbrace,
        codes::error_range, codes::error_space, codes::error_badrepeat, codes::error_complexity,
        codes::error_stack}) {
    std::regex_error const error(code);
    EXPECT_EQ(round_trip(error).code(), code);
    expect_itself(error, "std::regex_error");
  }
}

TEST(ExceptionCodec, FutureErrorsKeepTheirCode) {
  for (auto const code : {std::future_errc::broken_promise, std::future_errc::no_state,
                          std::future_errc::promise_already_satisfied}) {
    std::future_error const error(code);
    EXPECT_EQ(round_trip(error).code(), code);
    expect_itself(error, "std::future_error");
  }
}

TEST(ExceptionCodec, StreamFailuresKeepTheirCode) {
  std::ios_base::failure const error("reading", std::io_errc::stream);
  EXPECT_EQ(round_trip(error).code(), std::io_errc::stream);
  expect_itself(error, "std::ios_base::failure");
}

// ---- everything else

TEST(ExceptionCodec, UserTypesAreToldByNameAndText) {
  auto const error = remote(arrived([] { throw app::Broken("it broke"); }));
  EXPECT_EQ(error.type, "app::Broken");
  EXPECT_STREQ(error.what(), "it broke");
  EXPECT_EQ(error.pid, 4711);
  EXPECT_EQ(remote(arrived([] { throw app::Generic<int>("g"); })).type, "app::Generic<int>");
}

TEST(ExceptionCodec, WhatIsNoException) {
  auto const number = remote(arrived([] { throw 42; }));
  EXPECT_STREQ(number.what(), "42");
  EXPECT_EQ(number.type, "int");
  auto const literal = remote(arrived([] { throw "text"; }));
  EXPECT_STREQ(literal.what(), "text");
  EXPECT_EQ(literal.type, "char const*");
  auto const text = remote(arrived([] { throw std::string("string"); }));
  EXPECT_STREQ(text.what(), "string");
  EXPECT_EQ(text.type, "std::string");
  auto const plain = remote(arrived([] { throw app::Plain(); }));
  EXPECT_STREQ(plain.what(), "an exception of type app::Plain");
  EXPECT_EQ(plain.type, "app::Plain");
}

TEST(ExceptionCodec, NullTexts) {
  EXPECT_STREQ(remote(arrived([] { throw static_cast<char const*>(nullptr); })).what(), "null");
  auto const silent = remote(arrived([] { throw app::Silent(); }));
  EXPECT_STREQ(silent.what(), "");
  EXPECT_EQ(silent.type, "app::Silent");
}

// ---- nested

template <class E>
void throw_nested(E const& outer) {
  try {
    throw std::bad_alloc();
  } catch (...) {
    try {
      std::throw_with_nested(std::logic_error("middle"));
    } catch (...) {
      std::throw_with_nested(outer);
    }
  }
}

std::vector<std::string> const nested_causes{"std::logic_error: middle",
                                             "std::bad_alloc: std::bad_alloc"};

template <class E>
FromWorker<E> nested_trip(E const& error) {
  auto const pointer = arrived([&] { throw_nested(error); });
  return support::thrown_by<FromWorker<E>>([&] { std::rethrow_exception(pointer); });
}

TEST(ExceptionCodec, NestedOnesComeBackAsTheOuterTypeWithItsCauses) {
  auto const error = nested_trip(std::out_of_range("outer"));
  EXPECT_STREQ(error.what(), "outer");
  EXPECT_EQ(error.type, "std::out_of_range");
  EXPECT_EQ(error.causes, nested_causes);
}

TEST(ExceptionCodec, NestedOnesKeepTheirCodes) {
  EXPECT_EQ(nested_trip(std::system_error(ENOENT, std::generic_category())).code().value(), ENOENT);
  auto const file = nested_trip(std::filesystem::filesystem_error(
      "x", "/path", std::make_error_code(std::errc::is_a_directory)));
  EXPECT_EQ(file.path1(), "/path");
  EXPECT_EQ(file.causes, nested_causes);
  auto const stream = nested_trip(std::ios_base::failure("x", std::io_errc::stream));
  EXPECT_EQ(stream.code(), std::io_errc::stream);
  EXPECT_EQ(stream.type, "std::ios_base::failure");
  auto const regex = nested_trip(std::regex_error(std::regex_constants::error_paren));
  EXPECT_EQ(regex.code(), std::regex_constants::error_paren);
  auto const future = nested_trip(std::future_error(std::future_errc::no_state));
  EXPECT_EQ(future.code(), std::future_errc::no_state);
}

TEST(ExceptionCodec, NestedUserTypesKeepTheirName) {
  auto const error = remote(arrived([] { throw_nested(app::Generic<int>("outer")); }));
  EXPECT_EQ(error.type, "app::Generic<int>");
  EXPECT_EQ(error.causes, nested_causes);
  // A template as the last argument: the names close with "> >".
  EXPECT_EQ(remote(arrived([] { throw_nested(app::Generic<app::Generic<int>>("x")); })).type,
            procpool::detail::type_name(typeid(app::Generic<app::Generic<int>>)));
}

TEST(ExceptionCodec, ACauseThatIsNoException) {
  auto const error = support::thrown_by<std::runtime_error>([] {
    std::rethrow_exception(arrived([] {
      try {
        throw 42;
      } catch (...) {
        std::throw_with_nested(std::runtime_error("outer"));
      }
    }));
  });
  EXPECT_STREQ(error.what(), "outer");
}

TEST(ExceptionCodec, AnEndlessChainOfCausesIsCut) {
  std::exception_ptr chain = std::make_exception_ptr(std::runtime_error("root"));
  for (int i = 0; i < 200; ++i) {
    try {
      try {
        std::rethrow_exception(chain);
      } catch (...) {
        std::throw_with_nested(std::runtime_error("link"));
      }
    } catch (...) {
      chain = std::current_exception();
    }
  }
  auto const error = support::thrown_by<FromWorker<std::runtime_error>>(
      [&] { std::rethrow_exception(arrived([&] { std::rethrow_exception(chain); })); });
  EXPECT_EQ(error.causes.size(), 32u);
}

// ---- from pool to pool

TEST(ExceptionCodec, PassedOnItKeepsItsFirstTypeAndCauses) {
  auto const first = arrived([] { throw_nested(std::out_of_range("outer")); });
  auto const second = arrived([&] { std::rethrow_exception(first); });
  auto const error =
      support::thrown_by<FromWorker<std::out_of_range>>([&] { std::rethrow_exception(second); });
  EXPECT_STREQ(error.what(), "outer");
  EXPECT_EQ(error.type, "std::out_of_range");
  EXPECT_EQ(error.causes, nested_causes);
}

TEST(ExceptionCodec, PassedOnItKeepsItsCode) {
  auto const again = [](std::exception_ptr const& error) {
    return arrived([&] { std::rethrow_exception(error); });
  };
  auto const regex =
      again(arrived([] { throw std::regex_error(std::regex_constants::error_brace); }));
  EXPECT_EQ(support::thrown_by<std::regex_error>([&] { std::rethrow_exception(regex); }).code(),
            std::regex_constants::error_brace);
  auto const system =
      again(arrived([] { throw std::system_error(ENOENT, std::generic_category(), "opening"); }));
  EXPECT_EQ(support::thrown_by<std::system_error>([&] { std::rethrow_exception(system); }).code(),
            std::errc::no_such_file_or_directory);
}

TEST(ExceptionCodec, PassedOnAUserTypeKeepsItsName) {
  auto const first = arrived([] { throw app::Broken("it broke"); });
  auto const error = remote(arrived([&] { std::rethrow_exception(first); }));
  EXPECT_EQ(error.type, "app::Broken");
  EXPECT_STREQ(error.what(), "it broke");
}

TEST(ExceptionCodec, PassedOnAsACauseItIsNamedByItsFirstType) {
  auto const first = arrived([] { throw std::out_of_range("inner"); });
  auto const pointer = arrived([&] {
    try {
      std::rethrow_exception(first);
    } catch (...) {
      std::throw_with_nested(std::runtime_error("outer"));
    }
  });
  auto const error =
      support::thrown_by<FromWorker<std::runtime_error>>([&] { std::rethrow_exception(pointer); });
  EXPECT_EQ(error.causes, std::vector<std::string>{"std::out_of_range: inner"});
}

// ---- hostile bytes

std::vector<Bytes> samples() {
  std::vector<Bytes> all;
  all.push_back(bytes_of([] { throw std::out_of_range("text"); }));
  all.push_back(bytes_of([] { throw std::bad_alloc(); }));
  all.push_back(bytes_of([] { throw std::system_error(5, std::generic_category(), "t"); }));
  all.push_back(bytes_of([] { throw std::future_error(std::future_errc::no_state); }));
  all.push_back(bytes_of([] { throw std::ios_base::failure("t", std::io_errc::stream); }));
  all.push_back(bytes_of([] { throw std::regex_error(std::regex_constants::error_paren); }));
  all.push_back(bytes_of(
      [] { throw std::filesystem::filesystem_error("t", "/a", "/b", std::error_code()); }));
  all.push_back(bytes_of([] { throw app::Broken("text"); }));
  all.push_back(bytes_of([] { throw_nested(std::runtime_error("text")); }));
  return all;
}

// Whatever they are, the bytes give an exception that can be described.
void expect_an_exception(Bytes const& bytes) {
  std::exception_ptr error;
  EXPECT_NO_THROW(error = procpool::detail::decode_exception(bytes, here()));
  ASSERT_NE(error, nullptr);
  EXPECT_FALSE(procpool::describe(error).empty());
}

TEST(ExceptionCodec, EveryCutIsABadMessage) {
  for (Bytes const& whole : samples()) {
    for (std::size_t length = 0; length < whole.size(); ++length) {
      // A copy of its own, so that a sanitizer sees a read past the end.
      Bytes const cut(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(length));
      auto const error = procpool::detail::decode_exception(cut, here());
      EXPECT_TRUE(support::is<procpool::BadMessage>(error)) << length << " of " << whole.size();
    }
  }
}

TEST(ExceptionCodec, EveryChangedByteGivesAnException) {
  for (Bytes const& whole : samples()) {
    for (std::size_t i = 0; i < whole.size(); ++i) {
      for (unsigned mask = 1; mask < 256; ++mask) {
        Bytes changed = whole;
        changed[i] ^= static_cast<std::byte>(mask);
        expect_an_exception(changed);
      }
    }
  }
}

TEST(ExceptionCodec, EveryTypeNumberGivesAnException) {
  for (Bytes const& whole : samples()) {
    for (unsigned number = 0; number <= 0xffff; ++number) {
      Bytes changed = whole;
      changed[0] = static_cast<std::byte>(number & 0xff);
      changed[1] = static_cast<std::byte>(number >> 8);
      expect_an_exception(changed);
    }
  }
}

}  // namespace
