// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// Exceptions of tasks: standard exceptions come back as themselves and tell where they come from,
// those that are derived from one as that, all else as RemoteError.

#include <gtest/gtest.h>
#include <signal.h>

#include <any>
#include <exception>
#include <filesystem>
#include <functional>
#include <future>
#include <ios>
#include <memory>
#include <new>
#include <optional>
#include <procpool.hpp>
#include <regex>
#include <stdexcept>
#include <string>
#include <system_error>
#include <typeinfo>
#include <utility>
#include <variant>
#include <vector>

#include "support/build.hpp"
#include "support/errors.hpp"

namespace {

struct Mine : std::runtime_error {
  using std::runtime_error::runtime_error;
};
struct NoException {
  int value = 0;
};

template <class E>
void throw_with_text() {
  throw E("the text of it");
}
template <class E>
void throw_without_text() {
  throw E();
}

void throw_int() { throw 42; }
void throw_text() { throw "a literal"; }
void throw_string() { throw std::string("a string"); }
void throw_object() { throw NoException{7}; }
void throw_mine() { throw Mine("my text"); }
void throw_system() { throw std::system_error(ENOSPC, std::generic_category(), "writing"); }
void throw_file() {
  throw std::filesystem::filesystem_error("copying", "/from", "/to",
                                          std::make_error_code(std::errc::permission_denied));
}
void throw_stream() { throw std::ios_base::failure("reading", std::io_errc::stream); }
void throw_nested() {
  try {
    throw std::out_of_range("inner");
  } catch (...) {
    std::throw_with_nested(std::runtime_error("outer"));
  }
}
void throw_long() { throw std::runtime_error(std::string(300'000, 'x')); }
void throw_from_noexcept() noexcept { throw_int(); }
void terminate() { std::terminate(); }
int throw_index(int x) { throw std::out_of_range(std::to_string(x)); }

procpool::ProcessPool& pool() {
  static procpool::ProcessPool one{1};
  return one;
}

// Catches it as E, and as Origin.
template <class E, auto Function>
std::string expect_itself() {
  std::string text;
  try {
    pool().call<Function>();
    ADD_FAILURE() << "nothing was thrown";
  } catch (E const& error) {
    text = error.what();
    auto const* const origin = dynamic_cast<procpool::Origin const*>(&error);
    EXPECT_NE(origin, nullptr);
    if (origin == nullptr) return text;
    EXPECT_EQ(origin->worker, 0);
    EXPECT_GT(origin->pid, 1);
    EXPECT_GT(origin->task, 0u);
    EXPECT_EQ(origin->element, 0u);
    EXPECT_FALSE(origin->type.empty());
  } catch (...) {
    ADD_FAILURE() << support::current_exception_text();
  }
  return text;
}

template <class E>
void expect_with_text() {
  SCOPED_TRACE(typeid(E).name());
  std::string const text = expect_itself<E, throw_with_text<E>>();
  EXPECT_NE(text.find("the text of it"), std::string::npos) << text;
}

template <class E>
void expect_without_text() {
  SCOPED_TRACE(typeid(E).name());
  EXPECT_EQ((expect_itself<E, throw_without_text<E>>()), std::string(E().what()));
}

template <auto Function>
procpool::RemoteError remote() {
  return support::thrown_by<procpool::RemoteError>([] { pool().call<Function>(); });
}

}  // namespace

TEST(Throw, StandardTypesComeBackAsThemselves) {
  expect_with_text<std::logic_error>();
  expect_with_text<std::invalid_argument>();
  expect_with_text<std::domain_error>();
  expect_with_text<std::length_error>();
  expect_with_text<std::out_of_range>();
  expect_with_text<std::runtime_error>();
  expect_with_text<std::range_error>();
  expect_with_text<std::overflow_error>();
  expect_with_text<std::underflow_error>();
  expect_without_text<std::exception>();
  expect_without_text<std::bad_exception>();
  expect_without_text<std::bad_alloc>();
  expect_without_text<std::bad_array_new_length>();
  expect_without_text<std::bad_cast>();
  expect_without_text<std::bad_typeid>();
  expect_without_text<std::bad_function_call>();
  expect_without_text<std::bad_optional_access>();
  expect_without_text<std::bad_variant_access>();
  expect_without_text<std::bad_weak_ptr>();
  expect_without_text<std::bad_any_cast>();
}

TEST(Throw, ErrorCodesComeAlong) {
  expect_itself<std::system_error, throw_system>();
  try {
    pool().call<throw_system>();
  } catch (std::system_error const& error) {
    EXPECT_EQ(error.code(), std::errc::no_space_on_device);
    EXPECT_EQ(error.code().category(), std::generic_category());
    EXPECT_TRUE(support::says(error, "writing"));
  }
  std::string const file = expect_itself<std::filesystem::filesystem_error, throw_file>();
  EXPECT_NE(file.find("copying"), std::string::npos) << file;
  try {
    pool().call<throw_file>();
  } catch (std::system_error const& error) {
    EXPECT_EQ(error.code(), std::errc::permission_denied);
  }
  std::string const stream = expect_itself<std::ios_base::failure, throw_stream>();
  EXPECT_NE(stream.find("reading"), std::string::npos) << stream;
}

TEST(Throw, OtherThingsComeAsRemoteError) {
  auto const number = remote<throw_int>();
  EXPECT_NE(number.type.find("int"), std::string::npos) << number.type;
  EXPECT_TRUE(support::says(number, "42"));
  EXPECT_EQ(number.worker, 0);
  EXPECT_GT(number.pid, 1);

  EXPECT_TRUE(support::says(remote<throw_string>(), "a string"));
  EXPECT_NE(remote<throw_object>().type.find("NoException"), std::string::npos);
  EXPECT_FALSE(remote<throw_text>().type.empty());
}

TEST(Throw, DerivedTypesComeAsTheirStandardBase) {
  auto const mine = support::thrown_by<procpool::FromWorker<std::runtime_error>>(
      [] { pool().call<throw_mine>(); });
  EXPECT_NE(mine.type.find("Mine"), std::string::npos) << mine.type;
  EXPECT_TRUE(support::says(mine, "my text"));
}

TEST(Throw, NestedCausesAreTold) {
  try {
    pool().call<throw_nested>();
    FAIL();
  } catch (procpool::Origin const& origin) {
    ASSERT_FALSE(origin.causes.empty());
    EXPECT_NE(origin.causes.back().find("inner"), std::string::npos) << origin.causes.back();
    EXPECT_NE(origin.causes.back().find("out_of_range"), std::string::npos);
  }
}

TEST(Throw, LongTextsAreCut) {
  std::string const text = expect_itself<std::runtime_error, throw_long>();
  EXPECT_LE(text.size(), 64u * 1024);
  EXPECT_TRUE(text.starts_with(std::string(30'000, 'x')));
  EXPECT_TRUE(text.ends_with("(cut, 300000 bytes)")) << text.substr(text.size() - 40);
}

TEST(Throw, ThroughNoexceptIsADeath) {
  auto const died =
      support::thrown_by<procpool::WorkerDied>([] { pool().call<throw_from_noexcept>(); });
  EXPECT_EQ(died.signal(), SIGABRT);
}

TEST(Throw, TerminateIsADeath) {
  auto const died = support::thrown_by<procpool::WorkerDied>([] { pool().call<terminate>(); });
  EXPECT_EQ(died.signal(), SIGABRT);
}

TEST(Throw, EachElementHasItsOwn) {
  std::vector<int> inputs;
  for (int i = 0; i < 50; ++i) inputs.push_back(i);
  for (int const chunk : {1, 50}) {
    auto const outcomes = pool().with({.chunk = chunk}).outcomes().map<throw_index>(inputs);
    for (int i = 0; i < 50; ++i) {
      auto const error = support::error_of<procpool::FromWorker<std::out_of_range>>(
          outcomes.at(static_cast<std::size_t>(i)));
      EXPECT_EQ(error.what(), std::to_string(i));
      EXPECT_EQ(error.element, static_cast<std::uint64_t>(i));
    }
  }
}

// More errors than any ring can hold, and nobody takes them for a while.
TEST(Throw, ManyLargeErrorsBlockNobody) {
  auto const fail = [](int x) {
    if (x >= 0) throw std::runtime_error(std::string(10'000, 'e'));
    return x;
  };
  std::vector<procpool::Future<int>> futures;
  int const count = support::rounds(500, 100);
  for (int i = 0; i < count; ++i) futures.push_back(pool().submit(fail, i));
  EXPECT_EQ(pool().submit(fail, -1).get(), -1);
  for (auto& future : futures) EXPECT_THROW(future.get(), std::runtime_error);
}

// A value thrown away is not a value that is leaked into what comes next.
TEST(Throw, PoolGoesOn) {
  for (int i = 0; i < 20; ++i) {
    EXPECT_THROW(pool().call<throw_mine>(), std::runtime_error);
    EXPECT_EQ(pool().call([](int x) { return x; }, i), i);
  }
}
