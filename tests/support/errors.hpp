// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#pragma once

// A thrown exception, in words and as itself.

#include <cxxabi.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <exception>
#include <procpool.hpp>
#include <stdexcept>
#include <string>
#include <utility>

namespace support {

inline std::string current_exception_text() {
  std::string type = "something";
  if (std::type_info const* const info = abi::__cxa_current_exception_type()) {
    int status = 0;
    char* const name = abi::__cxa_demangle(info->name(), nullptr, nullptr, &status);
    type = name != nullptr ? name : info->name();
    std::free(name);
  }
  try {
    throw;
  } catch (std::exception const& error) {
    return type + ": " + error.what();
  } catch (...) {
    return type;
  }
}

inline std::string text_of(std::exception_ptr const& error) {
  if (!error) return "nothing";
  try {
    std::rethrow_exception(error);
  } catch (...) {
    return current_exception_text();
  }
}

inline std::string text_of(procpool::Failure const& failure) {
  return text_of(failure.exception());
}

template <class T>
std::string text_of(procpool::Outcome<T> const& outcome) {
  return outcome.has_value() ? "a value" : text_of(outcome.error());
}

// The E that the call throws. Fails the test, and ends it, if it throws anything else or nothing.
template <class E, class Call>
E thrown_by(Call&& call) {
  std::string instead = "nothing";
  try {
    std::forward<Call>(call)();
  } catch (E const& error) {
    return error;
  } catch (...) {
    instead = current_exception_text();
  }
  throw std::logic_error("an exception of another type was expected; thrown was " + instead);
}

template <class E, class T>
E error_of(procpool::Outcome<T> const& outcome) {
  return thrown_by<E>([&] {
    if (!outcome.has_value()) outcome.error().rethrow();
  });
}

template <class E>
bool is(std::exception_ptr const& error) {
  if (!error) return false;
  try {
    std::rethrow_exception(error);
  } catch (E const&) {
    return true;
  } catch (...) {
    return false;
  }
}

template <class E>
bool is(procpool::Failure const& failure) {
  return failure.as<E>() != nullptr;
}

inline testing::AssertionResult says(std::exception const& error, std::string const& part) {
  if (std::string(error.what()).find(part) != std::string::npos) return testing::AssertionSuccess();
  return testing::AssertionFailure() << '"' << error.what() << "\" does not say \"" << part << '"';
}

}  // namespace support
