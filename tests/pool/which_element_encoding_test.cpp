// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// Errors of encoding and decoding tell their element too, wherever they arise: an argument on the
// caller's thread and in the worker, a result there and on the caller's thread again; from every
// operation. Those of types of the program's own stay what they are where they are thrown in the
// program.

#include <gtest/gtest.h>

#include <functional>
#include <procpool.hpp>
#include <ranges>
#include <stdexcept>
#include <string>
#include <tuple>
#include <vector>

#include "support/errors.hpp"
#include "support/start.hpp"

namespace {

using procpool::OnError;
using procpool::Origin;
using procpool::SerializationError;
using procpool::Start;

enum class Where { nowhere, argument_saved, argument_loaded, result_saved, result_loaded };

// Fails where it says.
template <class E>
struct Picky {
  Where where = Where::nowhere;
  int number = 0;

  template <class A>
  void serialize(A& archive, unsigned) {
    archive & where & number;
    bool const in_task = procpool::this_task::running();
    Where const here = A::is_saving::value
                           ? (in_task ? Where::result_saved : Where::argument_saved)
                           : (in_task ? Where::argument_loaded : Where::result_loaded);
    if (where == here) throw E("does not travel");
  }
};

template <class E>
Picky<E> same_picky(Picky<E> const& value) {
  return value;
}
template <class E>
Picky<E> first(std::vector<Picky<E>> const& slice) {
  return slice.front();
}
template <class E, Where where>
Picky<E> third(int number) {
  return {number == 3 ? where : Where::nowhere, number};
}
template <class E>
Picky<E> worse(Picky<E> one, Picky<E> other) {
  return one.where == Where::nowhere ? other : one;
}

struct OwnError : std::runtime_error {
  using std::runtime_error::runtime_error;
};

class EncodingTells : public testing::TestWithParam<Start> {
 protected:
  procpool::ProcessPool pool{{.workers = 2, .start = {.method = GetParam()}}};

  // Four, of which the last one fails.
  template <class E>
  static std::vector<Picky<E>> four(Where where) {
    return {{}, {}, {}, {where, 3}};
  }

  template <class E>
  static void expect_place(std::uint64_t element, char const* operation, Where where,
                           std::function<void()> const& call) {
    SCOPED_TRACE(std::string(operation) + ", " + std::to_string(static_cast<int>(where)));
    try {
      call();
      ADD_FAILURE() << "nothing was thrown";
    } catch (E const& error) {
      auto const* const origin = dynamic_cast<Origin const*>(&error);
      ASSERT_NE(origin, nullptr);
      EXPECT_EQ(origin->element, element);
      EXPECT_GT(origin->task, 0u);
      EXPECT_GT(origin->pid, 0);
      EXPECT_TRUE(support::says(error, "does not travel")) << error.what();
      EXPECT_FALSE(origin->type.empty());
    } catch (...) {
      ADD_FAILURE() << procpool::describe(std::current_exception());
    }
  }

  template <class E>
  void expect_each_operation_tells(Where where) {
    auto const inputs = four<E>(where);
    auto const expect = [&](std::uint64_t element, char const* operation,
                            std::function<void()> const& call) {
      expect_place<E>(element, operation, where, call);
    };
    expect(0, "call", [&] { pool.call<same_picky<E>>(inputs[3]); });
    expect(0, "submit", [&] { (void)pool.submit<same_picky<E>>(inputs[3]).get(); });
    expect(0, "try_submit", [&] { (void)pool.try_submit<same_picky<E>>(inputs[3])->get(); });
    expect(0, "then",
           [&] { pool.submit<same_picky<E>>(inputs[3]).then([](Picky<E> const&) {}).get(); });
    expect(3, "map", [&] { pool.map<same_picky<E>>(inputs); });
    expect(3, "map, in chunks",
           [&] { pool.with({.chunk = 4}).template map<same_picky<E>>(inputs); });
    expect(3, "map, finish",
           [&] { pool.with({.on_error = OnError::finish}).template map<same_picky<E>>(inputs); });
    expect(3, "map, collect", [&] {
      try {
        pool.with({.on_error = OnError::collect}).template map<same_picky<E>>(inputs);
      } catch (procpool::ElementErrors const& errors) {
        EXPECT_EQ(errors.failures().size(), 1u);
        errors.failures().front().error.rethrow();
      }
    });
    expect(3, "map_async", [&] { pool.map_async<same_picky<E>>(inputs).get(); });
    expect(3, "starmap", [&] {
      std::vector<std::tuple<Picky<E>>> tuples;
      for (auto const& input : inputs) tuples.emplace_back(input);
      pool.starmap<same_picky<E>>(tuples);
    });
    expect(3, "outcomes().map", [&] {
      auto const outcomes = pool.outcomes().map<same_picky<E>>(inputs);
      EXPECT_TRUE(outcomes.at(2).has_value());
      outcomes.at(3).value();
    });
    expect(3, "imap", [&] {
      for (auto const& value : pool.imap<same_picky<E>>(inputs)) EXPECT_EQ(value.number, 0);
    });
    expect(3, "imap_unordered", [&] {
      for (auto const& [index, value] : pool.imap_unordered<same_picky<E>>(inputs)) {
        EXPECT_EQ(value.number, 0);
      }
    });
    expect(3, "parallelize",
           [&] { pool.with({.slices = 4}).template parallelize<first<E>>(inputs); });
    expect(3, "parallelize_timed",
           [&] { pool.with({.slices = 4}).template parallelize_timed<first<E>>(inputs); });
  }

  template <class E, Where where>
  void expect_reduce_tells() {
    expect_place<E>(3, "parallelize_reduce", where, [&] {
      pool.with({.slices = 4})
          .template parallelize_reduce<third<E, where>, worse<E>>(0, 4, Picky<E>());
    });
  }
};

TEST_P(EncodingTells, WhereAnArgumentIsSaved) {
  expect_each_operation_tells<SerializationError>(Where::argument_saved);
  expect_each_operation_tells<std::runtime_error>(Where::argument_saved);
}

TEST_P(EncodingTells, WhereAnArgumentIsLoaded) {
  expect_each_operation_tells<SerializationError>(Where::argument_loaded);
  expect_each_operation_tells<std::out_of_range>(Where::argument_loaded);
}

TEST_P(EncodingTells, WhereAResultIsSaved) {
  expect_each_operation_tells<SerializationError>(Where::result_saved);
  expect_reduce_tells<SerializationError, Where::result_saved>();
}

TEST_P(EncodingTells, WhereAResultIsLoaded) {
  expect_each_operation_tells<SerializationError>(Where::result_loaded);
  expect_each_operation_tells<std::domain_error>(Where::result_loaded);
  expect_reduce_tells<SerializationError, Where::result_loaded>();
}

TEST_P(EncodingTells, WhatAnErrorIsStaysWhatItIs) {
  EXPECT_THROW(pool.call<same_picky<OwnError>>(Picky<OwnError>{Where::argument_saved}), OwnError);
  EXPECT_THROW(pool.call<same_picky<OwnError>>(Picky<OwnError>{Where::result_loaded}), OwnError);
}

TEST_P(EncodingTells, WhatTheRangeThrowsIsNoElements) {
  auto const broken = std::views::iota(0, 5) | std::views::transform([](int i) {
                        if (i == 3) throw std::runtime_error("no more");
                        return Picky<SerializationError>{Where::nowhere, i};
                      });
  try {
    pool.map<same_picky<SerializationError>>(broken);
    FAIL();
  } catch (std::runtime_error const& error) {
    EXPECT_TRUE(support::says(error, "no more"));
  }
}

TEST_P(EncodingTells, TheTextOfItSaysThatItWasHere) {
  try {
    pool.map<same_picky<SerializationError>>(four<SerializationError>(Where::argument_saved));
    FAIL();
  } catch (...) {
    std::string const text = procpool::describe(std::current_exception());
    EXPECT_NE(text.find("element 3, in this process"), std::string::npos) << text;
  }
}

INSTANTIATE_TEST_SUITE_P(Starts, EncodingTells, testing::Values(Start::spawn, Start::in_process),
                         support::start_name);

}  // namespace
