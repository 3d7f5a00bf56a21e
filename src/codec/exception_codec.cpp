#include <procpool/detail/exception_codec.hpp>

#include <cxxabi.h>

#include <any>
#include <array>
#include <cstdlib>
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
#include <string_view>
#include <system_error>
#include <type_traits>
#include <typeinfo>
#include <utility>
#include <variant>

#include <procpool/detail/type_name.hpp>

#include "os/wire.hpp"

namespace procpool::inline v0::detail {

// As people write it: without the names that only tell the linker versions apart.
std::string type_name(std::type_info const& type) {
  int status = 0;
  std::unique_ptr<char, void (*)(void*)> const demangled(
      abi::__cxa_demangle(type.name(), nullptr, nullptr, &status), std::free);
  std::string name = demangled ? demangled.get() : type.name();
  constexpr std::pair<std::string_view, std::string_view> plain[] = {
      {"procpool::v0::", "procpool::"},
      {"std::__cxx11::", "std::"},
      {"::__cxx11::", "::"},
      {"[abi:cxx11]", ""},
      {"std::basic_string<char, std::char_traits<char>, std::allocator<char> >", "std::string"}};
  for (auto const& [from, to] : plain) {
    for (auto at = name.find(from); at != std::string::npos; at = name.find(from, at + to.size())) {
      name.replace(at, from.size(), to);
    }
  }
  return name;
}

namespace {

// What comes back as itself. The position in these lists is the number on the way; both ends are
// the same program.
template <class... Es>
struct Types {};

// Made of a text.
using WithText = Types<std::logic_error, std::invalid_argument, std::domain_error,
                       std::length_error, std::out_of_range, std::runtime_error, std::range_error,
                       std::overflow_error, std::underflow_error, Error, SerializationError,
                       TaskTimeout, TaskCancelled, PoolClosed, SetupError, BadMessage, QueueFull>;
// Made of nothing.
using WithoutText =
    Types<std::exception, std::bad_alloc, std::bad_array_new_length, std::bad_cast, std::bad_typeid,
          std::bad_exception, std::bad_function_call, std::bad_optional_access,
          std::bad_variant_access, std::bad_weak_ptr, std::bad_any_cast>;
// Made of an error code.
using WithCode = Types<std::system_error, std::ios_base::failure, std::future_error,
                       std::filesystem::filesystem_error>;

constexpr std::uint16_t unknown_type = std::numeric_limits<std::uint16_t>::max();
constexpr std::uint16_t without_text_from = 1000;
constexpr std::uint16_t with_code_from = 2000;
constexpr std::uint16_t regex_type = 3000;

template <class... Es>
std::uint16_t position(Types<Es...>, std::type_info const& type, std::uint16_t from) {
  std::uint16_t found = unknown_type;
  std::uint16_t number = from;
  ((type == typeid(Es) || type == typeid(FromWorker<Es>) ? void(found = number) : void(), ++number),
   ...);
  return found;
}

// A FromWorker<E> that a nested pool's task threw counts as an E.
std::uint16_t number_of(std::type_info const& type) {
  if (position(Types<std::regex_error>{}, type, 0) == 0) return regex_type;
  for (std::uint16_t const found :
       {position(WithText{}, type, 0), position(WithoutText{}, type, without_text_from),
        position(WithCode{}, type, with_code_from)}) {
    if (found != unknown_type) return found;
  }
  return unknown_type;
}

// ---- encoding

using Writer = os::WireWriter<Bytes>;

constexpr std::size_t most_causes = 32;

void write_code(Writer& writer, std::error_code const& code) {
  writer.text(code.category().name());
  writer.number(static_cast<std::int32_t>(code.value()));
}

// The type that was thrown first: before a pool brought it here, and without what
// std::throw_with_nested put around it.
std::string name_of(std::exception const& exception) {
  if (auto const* const origin = dynamic_cast<Origin const*>(&exception)) return origin->type;
  std::string name = type_name(typeid(exception));
  std::string_view constexpr nested = "std::_Nested_exception<";
  if (name.starts_with(nested) && name.ends_with(">")) {
    name = name.substr(nested.size(), name.size() - nested.size() - 1);
    if (name.ends_with(" ")) name.pop_back();
    std::string_view constexpr constant = " const";  // a const lvalue was thrown
    if (name.ends_with(constant)) name.resize(name.size() - constant.size());
  }
  return name;
}

std::string_view text_of(std::exception const& exception) {
  char const* const text = exception.what();
  return text != nullptr ? text : "";
}

void collect_causes(std::exception const& exception, std::vector<std::string>& causes) {
  if (auto const* const origin = dynamic_cast<Origin const*>(&exception)) {
    causes.insert(causes.end(), origin->causes.begin(), origin->causes.end());
  }
  auto const* const nested = dynamic_cast<std::nested_exception const*>(&exception);
  if (nested == nullptr || !nested->nested_ptr() || causes.size() >= most_causes) return;
  try {
    nested->rethrow_nested();
  } catch (std::exception const& cause) {
    causes.push_back(name_of(cause) + ": " + std::string(text_of(cause)));
    collect_causes(cause, causes);
  } catch (...) {
    std::type_info const* const type = abi::__cxa_current_exception_type();
    causes.push_back(type != nullptr ? type_name(*type) : "unknown");
  }
}

// The type inside of std::throw_with_nested's own, if it is one that comes back as itself.
std::type_info const* nested_type(std::exception const& exception) {
  std::type_info const* found = nullptr;
  auto const look = [&]<class... Es>(Types<Es...>) {
    ((typeid(exception) == typeid(std::_Nested_exception<Es>) ||
              typeid(exception) == typeid(std::_Nested_exception<Es const>) ||
              typeid(exception) == typeid(std::_Nested_exception<FromWorker<Es>>)
          ? void(found = &typeid(Es))
          : void()),
     ...);
  };
  look(WithText{});
  look(WithoutText{});
  look(WithCode{});
  look(Types<std::regex_error>{});
  return found;
}

void write_std(Writer& writer, std::exception const& exception) {
  std::type_info const* const inner = nested_type(exception);
  std::uint16_t number = number_of(inner != nullptr ? *inner : typeid(exception));
  std::string name = name_of(exception);
  // What streams throw is a type of the standard library's own, derived from the one that people catch.
  if (number == unknown_type && name == "std::__ios_failure") {
    number = number_of(typeid(std::ios_base::failure));
    name = type_name(typeid(std::ios_base::failure));
  }
  writer.number(number);
  writer.text(name);
  writer.text(text_of(exception));
  std::vector<std::string> causes;
  collect_causes(exception, causes);
  if (causes.size() > most_causes) causes.resize(most_causes);
  writer.number(static_cast<std::uint32_t>(causes.size()));
  for (std::string const& cause : causes) writer.text(cause);
  if (number == regex_type) {
    writer.number(
        static_cast<std::int32_t>(dynamic_cast<std::regex_error const&>(exception).code()));
  } else if (number >= with_code_from && number != unknown_type) {
    if (auto const* const system = dynamic_cast<std::system_error const*>(&exception)) {
      write_code(writer, system->code());
    } else if (auto const* const future = dynamic_cast<std::future_error const*>(&exception)) {
      write_code(writer, future->code());
    }
    if (auto const* const file =
            dynamic_cast<std::filesystem::filesystem_error const*>(&exception)) {
      writer.text(file->path1().native());
      writer.text(file->path2().native());
    }
  }
}

void write_other(Writer& writer, std::string_view type, std::string_view text) {
  writer.number(unknown_type);
  writer.text(type);
  writer.text(text);
  writer.number(std::uint32_t{0});
}

}  // namespace

void encode_current_exception(Bytes& out) {
  Writer writer(out);
  std::type_info const* const type = abi::__cxa_current_exception_type();
  std::string const name = type != nullptr ? type_name(*type) : "unknown";
  try {
    throw;
  } catch (std::exception const& exception) {
    write_std(writer, exception);
  } catch (int value) {
    write_other(writer, name, std::to_string(value));
  } catch (char const* text) {
    write_other(writer, name, text != nullptr ? text : "null");
  } catch (std::string const& text) {
    write_other(writer, name, text);
  } catch (...) {
    write_other(writer, name, "an exception of type " + name);
  }
}

// ---- decoding

namespace {

// An error code of a category that is not known here: its number and text stay right.
class ForeignCategory final : public std::error_category {
 public:
  char const* name() const noexcept override { return "worker"; }
  std::string message(int) const override { return "an error of a category known to the worker"; }
};

std::error_code read_code(os::WireReader& reader) {
  static ForeignCategory const foreign;
  std::string const category = reader.text();
  int const value = reader.number<std::int32_t>();
  for (std::error_category const* known : {&std::generic_category(), &std::system_category(),
                                           &std::iostream_category(), &std::future_category()}) {
    if (category == known->name()) return {value, *known};
  }
  return {value, foreign};
}

constexpr std::regex_constants::error_type regex_codes[] = {
    std::regex_constants::error_collate,   std::regex_constants::error_ctype,
    std::regex_constants::error_escape,    std::regex_constants::error_backref,
    std::regex_constants::error_brack,     std::regex_constants::error_paren,
    std::regex_constants::error_brace,     std::regex_constants::error_badbrace,
    std::regex_constants::error_range,     std::regex_constants::error_space,
    std::regex_constants::error_badrepeat, std::regex_constants::error_complexity,
    std::regex_constants::error_stack};

struct Arrived {
  std::uint16_t number = unknown_type;
  std::string text;
  Origin origin;
};

template <class E>
std::exception_ptr rebuilt(Arrived& arrived, E error) {
  return std::make_exception_ptr(
      FromWorker<E>(std::move(error), std::move(arrived.text), std::move(arrived.origin)));
}

template <class... Es>
std::exception_ptr rebuild(Types<Es...>, Arrived& arrived, std::uint16_t from, auto const& make) {
  std::exception_ptr result;
  std::uint16_t number = from;
  ((number++ == arrived.number ? void(result = rebuilt(arrived, make.template operator()<Es>()))
                               : void()),
   ...);
  return result;
}

std::exception_ptr rebuild_with_code(Arrived& arrived, os::WireReader& reader) {
  std::error_code const code = read_code(reader);
  return rebuild(WithCode{}, arrived, with_code_from, [&]<class E>() {
    if constexpr (std::is_same_v<E, std::future_error>) {
      return E(static_cast<std::future_errc>(code.value()));
    } else if constexpr (std::is_same_v<E, std::filesystem::filesystem_error>) {
      std::string const path1 = reader.text();
      return E(std::string(), path1, reader.text(), code);
    } else if constexpr (std::is_same_v<E, std::ios_base::failure>) {
      return E(std::string(), code);
    } else {
      return E(code);
    }
  });
}

std::exception_ptr decode(std::span<std::byte const> bytes, Origin origin) {
  os::WireReader reader(bytes);
  Arrived arrived;
  arrived.origin = std::move(origin);
  arrived.number = reader.number<std::uint16_t>();
  arrived.origin.type = reader.text();
  arrived.text = reader.text();
  auto const causes = reader.number<std::uint32_t>();
  for (std::uint32_t i = 0; i < causes && i < most_causes && !reader.bad(); ++i) {
    arrived.origin.causes.push_back(reader.text());
  }
  std::exception_ptr result;
  if (reader.bad()) {  // below
  } else if (arrived.number == unknown_type) {
    result = std::make_exception_ptr(RemoteError(arrived.text, std::move(arrived.origin)));
  } else if (arrived.number == regex_type) {
    // Only values of the enumeration may become one.
    auto const code = reader.number<std::int32_t>();
    for (auto const known : regex_codes) {
      if (static_cast<std::int32_t>(known) == code) {
        result = rebuilt(arrived, std::regex_error(known));
      }
    }
  } else if (arrived.number >= with_code_from) {
    result = rebuild_with_code(arrived, reader);
  } else if (arrived.number >= without_text_from) {
    result = rebuild(WithoutText{}, arrived, without_text_from, []<class E>() { return E(); });
  } else {
    result = rebuild(WithText{}, arrived, 0, [&]<class E>() { return E(arrived.text); });
  }
  if (!result || reader.bad()) {
    return std::make_exception_ptr(
        BadMessage("the error that a worker reported cannot be understood"));
  }
  return result;
}

}  // namespace

std::exception_ptr decode_exception(std::span<std::byte const> bytes, Origin origin) {
  try {
    return decode(bytes, std::move(origin));
  } catch (...) {  // no memory for a text
    return std::current_exception();
  }
}

}  // namespace procpool::inline v0::detail
