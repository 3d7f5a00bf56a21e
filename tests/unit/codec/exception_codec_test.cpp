// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// Exceptions as bytes: standard types come back as themselves with text, code and origin, types derived from
// them as the nearest of these, listed ones as themselves, everything else as RemoteError; whatever the bytes
// are, the answer is an exception, and no longer than an error may be.

#include <procpool/detail/codec/exception_codec.hpp>

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

#include <boost/throw_exception.hpp>

#include <procpool/detail/call/type_name.hpp>
#include <procpool/exceptions.hpp>

#include "identity/category.hpp"
#include "identity/code_wire.hpp"
#include "os/wire.hpp"

#include "support/errors.hpp"

namespace app {

struct Broken : std::runtime_error {
  using std::runtime_error::runtime_error;
};
struct Plain {};
class Wordless : public std::exception {
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
  expect_itself(std::runtime_error(std::string(40'000, 'x')), "std::runtime_error");
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

OwnCategory const own_category;
std::error_category const& local_category() {
  static OwnCategory const category;
  return category;
}

TEST(ExceptionCodec, AStaticCategoryIsFoundByItsPlace) {
  EXPECT_EQ(round_trip(std::system_error(77, own_category)).code(),
            std::error_code(77, own_category));
  EXPECT_EQ(round_trip(std::system_error(77, local_category())).code().message(), "own 77");
  EXPECT_NE(round_trip(std::system_error(77, local_category())).code(),
            std::error_code(77, own_category));
}

// By its name it would be another.
TEST(ExceptionCodec, ACategoryWithTheNameOfAStandardOneIsItself) {
  struct Generic final : std::error_category {
    char const* name() const noexcept override { return "generic"; }
    std::string message(int) const override { return "mine"; }
  };
  static Generic const mine;
  auto const code = round_trip(std::system_error(ENOENT, mine)).code();
  EXPECT_EQ(code, std::error_code(ENOENT, mine));
  EXPECT_NE(code, std::errc::no_such_file_or_directory);
  Generic const on_the_stack;
  EXPECT_NE(round_trip(std::system_error(ENOENT, on_the_stack)).code(),
            std::errc::no_such_file_or_directory);
}

// What a worker says that a category is.
struct NoCategory {
  virtual ~NoCategory() = default;
  virtual char const* name() const noexcept { return "none"; }
  virtual int more() { return 0; }
  virtual int and_more() { return 0; }
  virtual int still_more() { return 0; }
  virtual int much_more() { return 0; }
  virtual int most() { return 0; }
};
NoCategory no_category;
std::uintptr_t wild = 0x4141414141414140;
std::uintptr_t to_writable[16] = {};
std::uintptr_t zero = 0;

TEST(ExceptionCodec, WhatIsNoCategoryIsNotTakenForOne) {
  namespace identity = procpool::identity;
  to_writable[0] = reinterpret_cast<std::uintptr_t>(&to_writable[4]);
  to_writable[3] = reinterpret_cast<std::uintptr_t>(&typeid(OwnCategory));
  auto const good = identity::locate_category(own_category);
  ASSERT_TRUE(good.has_value());
  EXPECT_EQ(identity::find_category(*good), &own_category);
  for (void const* const place : std::initializer_list<void const*>{
           &no_category, &wild, to_writable, &zero,
           reinterpret_cast<char const*>(&own_category) + 1, &typeid(OwnCategory)}) {
    auto const ref = identity::locate_data(place, sizeof(void*));
    ASSERT_TRUE(ref.has_value());
    EXPECT_EQ(identity::find_category(*ref), nullptr) << place;
  }
  auto other = *good;
  for (std::uint64_t const offset :
       {std::uint64_t{0}, std::numeric_limits<std::uint64_t>::max(),
        std::numeric_limits<std::uint64_t>::max() - 7, std::uint64_t{1} << 47}) {
    other.offset = offset;
    EXPECT_EQ(identity::find_category(other), nullptr);
  }
  other = *good;
  other.module = {};
  EXPECT_EQ(identity::find_category(other), nullptr);
}

// Whatever the offset is: nothing is called that is none.
TEST(ExceptionCodec, EveryOffsetAroundACategoryIsRefusedOrACategory) {
  namespace identity = procpool::identity;
  auto ref = *identity::locate_category(own_category);
  std::uint64_t const middle = ref.offset;
  std::size_t found = 0;
  for (std::uint64_t i = 0; i < 16 * 1024; ++i) {
    ref.offset = middle - 8 * 1024 + i;
    if (auto const* const category = identity::find_category(ref)) {
      ++found;
      EXPECT_FALSE(std::string(category->name()).empty());
    }
  }
  EXPECT_GE(found, 1u);
}

TEST(ExceptionCodec, ACategoryThatIsNotKnownKeepsNumberAndText) {
  OwnCategory const own;
  std::system_error const error(77, own, "doing");
  auto const got = round_trip(error);
  EXPECT_EQ(got.code().value(), 77);
  EXPECT_STREQ(got.what(), "doing: own 77");
  EXPECT_FALSE(got.code().message().empty());
  EXPECT_STREQ(got.code().category().name(), "own");
  EXPECT_EQ(got.code(), round_trip(error).code());
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

template <class E>
FromWorker<E> as(std::exception_ptr const& error) {
  return support::thrown_by<FromWorker<E>>([&] { std::rethrow_exception(error); });
}

struct Virtual : virtual std::overflow_error {
  Virtual() : std::overflow_error("virtual") {}
};
struct Twice : app::Broken, std::bad_cast {
  Twice() : app::Broken("twice") {}
  char const* what() const noexcept override { return app::Broken::what(); }
};
struct NoSpace : std::system_error {
  NoSpace() : std::system_error(ENOSPC, std::generic_category(), "no space") {}
};
struct Moved : std::filesystem::filesystem_error {
  Moved() : filesystem_error("moved", "/from", "/to", std::make_error_code(std::errc::io_error)) {}
};
struct Cast : std::bad_any_cast {
  char const* what() const noexcept override { return "cast"; }
};
struct Ours : procpool::SerializationError {
  using SerializationError::SerializationError;
};

TEST(ExceptionCodec, UserTypesComeAsTheirNearestStandardBase) {
  auto const error = as<std::runtime_error>(arrived([] { throw app::Broken("it broke"); }));
  EXPECT_EQ(error.type, "app::Broken");
  EXPECT_STREQ(error.what(), "it broke");
  EXPECT_EQ(error.pid, 4711);
  EXPECT_EQ(as<std::logic_error>(arrived([] { throw app::Generic<int>("g"); })).type,
            "app::Generic<int>");
  EXPECT_STREQ(as<std::overflow_error>(arrived([] { throw Virtual(); })).what(), "virtual");
  EXPECT_STREQ(as<std::bad_any_cast>(arrived([] { throw Cast(); })).what(), "cast");
  EXPECT_STREQ(as<procpool::SerializationError>(arrived([] { throw Ours("o"); })).what(), "o");
  EXPECT_EQ(as<std::system_error>(arrived([] { throw NoSpace(); })).code(),
            std::errc::no_space_on_device);
  auto const moved = as<std::filesystem::filesystem_error>(arrived([] { throw Moved(); }));
  EXPECT_EQ(moved.code(), std::errc::io_error);
  EXPECT_EQ(moved.path2(), "/to");
}

// There is no one std::exception in it, so that a handler for that does not catch it.
TEST(ExceptionCodec, WithTwoBasesItComesAsOneOfThem) {
  auto const error = as<std::runtime_error>(arrived([] { throw Twice(); }));
  EXPECT_STREQ(error.what(), "twice");
  EXPECT_NE(error.type.find("Twice"), std::string::npos) << error.type;
}

TEST(ExceptionCodec, WhatBoostThrowsIsWhatItWraps) {
  auto const error =
      as<std::out_of_range>(arrived([] { boost::throw_exception(std::out_of_range("index")); }));
  EXPECT_STREQ(error.what(), "index");
  EXPECT_EQ(error.type, "std::out_of_range");
  EXPECT_EQ(as<std::runtime_error>(arrived([] { boost::throw_exception(app::Broken("b")); })).type,
            "app::Broken");
}

// ---- listed types

struct Parse : std::runtime_error {
  explicit Parse(std::string const& text = {}, int at = 0) : std::runtime_error(text), line(at) {}
  template <class A>
  void serialize(A& archive, unsigned) {
    archive & line;
  }
  int line;
};
struct ParseHeader : Parse {
  using Parse::Parse;
  template <class A>
  void serialize(A& archive, unsigned version) {
    Parse::serialize(archive, version);
    archive & field;
  }
  std::string field;
};
struct ParseBody : Parse {
  using Parse::Parse;
};
struct Renamed : std::invalid_argument {
  using std::invalid_argument::invalid_argument;
};
struct Stop : std::exception {
  char const* what() const noexcept override { return "stop"; }
};
struct Point {
  int x = 0;
  int y = 0;
};
struct Last final : std::runtime_error {
  using std::runtime_error::runtime_error;
};
struct Refuses : std::out_of_range {
  explicit Refuses(std::string const& text = {}) : std::out_of_range(text) {}
  template <class A>
  void serialize(A& archive, unsigned) {
    if (A::is_loading::value ? refuses_loading : refuses_saving) throw std::domain_error("no");
    archive & value;
  }
  int value = 0;
  static inline bool refuses_loading = false;
  static inline bool refuses_saving = false;
};

constexpr procpool::ExceptionTypes listed =
    procpool::exception_types<Parse, Renamed, ParseHeader, Stop, Point, int, Last, Refuses>();

template <class Throw>
Bytes listed_bytes(Throw const& throw_it) {
  Bytes bytes;
  try {
    throw_it();
  } catch (...) {
    procpool::detail::encode_current_exception(bytes, listed.functions());
  }
  return bytes;
}
template <class E, class Throw>
void listed_trip(Throw const& throw_it, void (*check)(E const&)) {
  auto const error =
      procpool::detail::decode_exception(listed_bytes(throw_it), here(), listed.functions());
  try {
    std::rethrow_exception(error);
  } catch (E const& itself) {
    check(itself);
  } catch (...) {
    FAIL() << support::current_exception_text();
  }
}

TEST(ExceptionCodec, ListedTypesComeBackAsThemselves) {
  listed_trip<Parse>([] { throw Parse("bad line", 17); },
                     [](Parse const& error) {
                       EXPECT_EQ(error.line, 17);
                       EXPECT_STREQ(error.what(), "bad line");
                       auto const* const origin = dynamic_cast<Origin const*>(&error);
                       ASSERT_NE(origin, nullptr);
                       EXPECT_NE(origin->type.find("Parse"), std::string::npos);
                       EXPECT_EQ(origin->element, 5u);
                     });
  listed_trip<Renamed>([] { throw Renamed("other"); },
                       [](Renamed const& error) { EXPECT_STREQ(error.what(), "other"); });
  listed_trip<Stop>([] { throw Stop(); },
                    [](Stop const& error) { EXPECT_STREQ(error.what(), "stop"); });
  listed_trip<Point>([] { throw Point{3, 4}; },
                     [](Point const& point) {
                       EXPECT_EQ(point.x, 3);
                       EXPECT_EQ(point.y, 4);
                       // As what is derived from it, which has its origin.
                     });
  listed_trip<Origin>([] { throw Point{3, 4}; },
                      [](Origin const& origin) { EXPECT_EQ(origin.task, 17u); });
  listed_trip<int>([] { throw 42; }, [](int const& number) { EXPECT_EQ(number, 42); });
  listed_trip<Last>([] { throw Last("last"); },
                    [](Last const& error) { EXPECT_STREQ(error.what(), "last"); });
}

TEST(ExceptionCodec, TheNearestOfTheListedIsTaken) {
  listed_trip<ParseHeader>(
      [] {
        ParseHeader error("bad header", 1);
        error.field = "Host";
        throw error;
      },
      [](ParseHeader const& error) { EXPECT_EQ(error.field, "Host"); });
  listed_trip<Parse>([] { throw ParseBody("bad body", 9); },
                     [](Parse const& error) {
                       EXPECT_EQ(error.line, 9);
                       EXPECT_NE(dynamic_cast<Origin const&>(error).type.find("ParseBody"),
                                 std::string::npos);
                     });
}

TEST(ExceptionCodec, AListedTypeThatCannotTravelComesAsItsBase) {
  Refuses::refuses_saving = true;
  listed_trip<FromWorker<std::out_of_range>>(
      [] { throw Refuses("text"); },
      [](FromWorker<std::out_of_range> const& error) { EXPECT_STREQ(error.what(), "text"); });
  Refuses::refuses_saving = false;
  Refuses::refuses_loading = true;
  listed_trip<FromWorker<std::out_of_range>>([] { throw Refuses("text"); },
                                             [](FromWorker<std::out_of_range> const& error) {
                                               ASSERT_EQ(error.causes.size(), 1u);
                                               EXPECT_NE(error.causes[0].find("no"),
                                                         std::string::npos);
                                             });
  Refuses::refuses_loading = false;
  // Who has no list takes it as what is not listed.
  EXPECT_STREQ(as<std::runtime_error>(procpool::detail::decode_exception(
                                          listed_bytes([] { throw Parse("bad"); }), here()))
                   .what(),
               "bad");
}

TEST(ExceptionCodec, AListedKindIsToldWithoutAnObject) {
  auto const kind = procpool::detail::listed_kind(listed_bytes([] { throw ParseHeader("x"); }),
                                                  listed.functions());
  EXPECT_TRUE(support::is<ParseHeader const*>(kind));
  EXPECT_TRUE(support::is<Parse const*>(kind));
  EXPECT_TRUE(support::is<std::exception const*>(kind));
  EXPECT_FALSE(support::is<Renamed const*>(kind));
  EXPECT_EQ(procpool::detail::listed_kind(listed_bytes([] { throw app::Broken("x"); }),
                                          listed.functions()),
            nullptr);
}

TEST(ExceptionCodec, ListedHostileBytesGiveAnException) {
  for (Bytes const& whole : {listed_bytes([] { throw Parse("bad line", 17); }),
                             listed_bytes([] { throw Point{3, 4}; })}) {
    for (std::size_t length = 0; length < whole.size(); ++length) {
      Bytes const cut(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(length));
      EXPECT_TRUE(support::is<procpool::BadMessage>(
          procpool::detail::decode_exception(cut, here(), listed.functions())));
    }
    for (std::size_t i = 0; i < whole.size(); ++i) {
      for (unsigned mask = 1; mask < 256; ++mask) {
        Bytes changed = whole;
        changed[i] ^= static_cast<std::byte>(mask);
        auto const error = procpool::detail::decode_exception(changed, here(), listed.functions());
        ASSERT_NE(error, nullptr);
        EXPECT_FALSE(procpool::describe(error).empty());
        procpool::detail::listed_kind(changed, listed.functions());
      }
    }
  }
}

// ---- how much travels

std::string_view text_of(std::exception_ptr const& error, std::string& kept) {
  try {
    std::rethrow_exception(error);
  } catch (std::exception const& exception) {
    kept = exception.what();
  } catch (...) {
  }
  return kept;
}

TEST(ExceptionCodec, AnErrorTravelsInSixtyFourKibibytes) {
  constexpr std::size_t most = 64 * 1024;
  std::string const huge(8 << 20, 'x');
  std::string kept;
  for (Bytes const& bytes :
       {bytes_of([&] { throw std::runtime_error(huge); }), bytes_of([&] { throw huge; }),
        bytes_of([&] { throw app::Broken(huge); }),
        bytes_of([&] { throw std::system_error(5, local_category(), huge); }), bytes_of([&] {
          throw std::filesystem::filesystem_error(huge, huge, huge, std::error_code());
        })}) {
    EXPECT_LE(bytes.size(), most);
    EXPECT_GE(bytes.size(), most / 2);
    EXPECT_NE(text_of(procpool::detail::decode_exception(bytes, here()), kept).find("(cut, "),
              std::string::npos);
  }
  // Causes are not crowded out by the text, and are themselves bounded in sum.
  Bytes const chain = bytes_of([&] {
    std::exception_ptr inner = std::make_exception_ptr(std::runtime_error("root"));
    for (int i = 0; i < 40; ++i) {
      try {
        try {
          std::rethrow_exception(inner);
        } catch (...) {
          std::throw_with_nested(std::runtime_error(huge));
        }
      } catch (...) {
        inner = std::current_exception();
      }
    }
    std::rethrow_exception(inner);
  });
  EXPECT_LE(chain.size(), most);
  auto const error = as<std::runtime_error>(procpool::detail::decode_exception(chain, here()));
  EXPECT_GE(std::string(error.what()).size(), most / 2);
  EXPECT_GE(error.causes.size(), 4u);
  EXPECT_GE(error.causes[0].size(), 1000u);
}

TEST(ExceptionCodec, ATextIsNotCutInTheMiddleOfACharacter) {
  std::string text;
  while (text.size() < 100'000) text += "\xe2\x82\xac";
  auto const error = as<std::runtime_error>(arrived([&] { throw std::runtime_error(text); }));
  std::string const what = error.what();
  auto const note = what.find("...");
  ASSERT_NE(note, std::string::npos);
  EXPECT_EQ(note % 3, 0u);
}

// A worker that does not cut is cut here.
TEST(ExceptionCodec, WhatIsTooLongIsCutWhereItArrives) {
  Bytes bytes;
  procpool::os::WireWriter<Bytes> writer(bytes);
  Bytes const sample = bytes_of([] { throw std::out_of_range(""); });
  writer.number(static_cast<std::uint16_t>(std::to_integer<unsigned>(sample[0]) |
                                           std::to_integer<unsigned>(sample[1]) << 8U));
  std::string const huge(1 << 20, 'y');
  writer.text(huge);
  writer.text(huge);
  writer.number(std::uint32_t{20});
  for (int i = 0; i < 20; ++i) writer.text(huge);
  writer.number(std::uint32_t{0});
  auto const error = as<std::out_of_range>(procpool::detail::decode_exception(bytes, here()));
  std::size_t sum = error.type.size() + std::string(error.what()).size();
  for (std::string const& cause : error.causes) sum += cause.size();
  EXPECT_LE(sum, 64u * 1024);
}

// ---- which element

TEST(ExceptionCodec, OursKeepTheirElement) {
  auto const error =
      as<procpool::TaskTimeout>(arrived([] { throw procpool::TaskTimeout("late", 3, 9); }));
  procpool::TaskTimeout const& timeout = error;
  EXPECT_EQ(timeout.task(), 3u);
  EXPECT_EQ(timeout.element(), 9u);
  auto const bad = procpool::detail::decode_exception({}, here());
  auto const message =
      support::thrown_by<procpool::BadMessage>([&] { std::rethrow_exception(bad); });
  EXPECT_EQ(message.task(), 17u);
  EXPECT_EQ(message.element(), 5u);
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
  auto const wordless = as<std::exception>(arrived([] { throw app::Wordless(); }));
  EXPECT_STREQ(wordless.what(), "");
  EXPECT_EQ(wordless.type, "app::Wordless");
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
  auto const error =
      as<std::logic_error>(arrived([] { throw_nested(app::Generic<int>("outer")); }));
  EXPECT_EQ(error.type, "app::Generic<int>");
  EXPECT_EQ(error.causes, nested_causes);
  // A template as the last argument: the names close with "> >".
  EXPECT_EQ(as<std::logic_error>(arrived([] {
              throw_nested(app::Generic<app::Generic<int>>("x"));
            })).type,
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

TEST(ExceptionCodec, CausesOfWhatIsNoException) {
  auto const error = remote(arrived([] {
    try {
      throw std::out_of_range("inner");
    } catch (...) {
      std::throw_with_nested(app::Plain());
    }
  }));
  EXPECT_EQ(error.causes, std::vector<std::string>{"std::out_of_range: inner"});
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
  auto const error = as<std::runtime_error>(arrived([&] { std::rethrow_exception(first); }));
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
  all.push_back(bytes_of([] { throw std::system_error(5, own_category, "t"); }));
  all.push_back(bytes_of([] { throw procpool::TaskCancelled("t", 1, 2); }));
  all.push_back(bytes_of([] { throw 42; }));
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
    // All that there are, and of the others some.
    for (unsigned number = 0; number <= 0xffff; number += number < 300 ? 1 : 97) {
      Bytes changed = whole;
      changed[0] = static_cast<std::byte>(number & 0xff);
      changed[1] = static_cast<std::byte>(number >> 8);
      expect_an_exception(changed);
    }
  }
}

}  // namespace
