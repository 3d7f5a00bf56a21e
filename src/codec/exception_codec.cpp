// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#include <procpool/detail/codec/exception_codec.hpp>

#include <cxxabi.h>

#include <algorithm>
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

#include <procpool/detail/call/type_name.hpp>
#include <procpool/detail/export.hpp>

#include "codec/error_code.hpp"
#include "os/text.hpp"
#include "os/wire.hpp"

namespace procpool::inline v0_1::detail {

// As people write it: without the names that only tell the linker versions apart.
std::string type_name(std::type_info const& type) {
  int status = 0;
  std::unique_ptr<char, void (*)(void*)> const demangled(
      abi::__cxa_demangle(type.name(), nullptr, nullptr, &status), std::free);
  std::string name = demangled ? demangled.get() : type.name();
  constexpr std::pair<std::string_view, std::string_view> plain[] = {
      {"procpool::v0_1::", "procpool::"},
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

// What comes back as itself, and what everything derived from it comes back as: derived ones first,
// so that the first that fits is the nearest. The position here is the number on the way; both ends
// are the same program.
template <class... Es>
struct Types {};

using Known = Types<
    // with a code
    std::regex_error, std::filesystem::filesystem_error, std::ios_base::failure, std::system_error,
    std::future_error,
    // ours
    SerializationError, TaskTimeout, TaskCancelled, PoolClosed, SetupError, BadMessage, QueueFull,
    HolderDied, StillShared, RemoteError, Error,
    // with a text
    std::invalid_argument, std::domain_error, std::length_error, std::out_of_range,
    std::logic_error, std::range_error, std::overflow_error, std::underflow_error,
    std::runtime_error,
    // without one
    std::bad_array_new_length, std::bad_alloc, std::bad_any_cast, std::bad_cast, std::bad_typeid,
    std::bad_exception, std::bad_function_call, std::bad_optional_access, std::bad_variant_access,
    std::bad_weak_ptr, std::exception>;

template <class E, class... Es>
consteval bool derived_first(Types<E, Es...>) {
  if constexpr (sizeof...(Es) == 0) {
    return true;
  } else {
    return !(std::is_base_of_v<E, Es> || ...) && derived_first(Types<Es...>{});
  }
}
static_assert(derived_first(Known{}));

constexpr std::uint16_t unknown_type = std::numeric_limits<std::uint16_t>::max();

template <class Wanted, class... Es>
consteval std::uint16_t number_in(Types<Es...>) {
  std::uint16_t found = unknown_type;
  std::uint16_t number = 0;
  ((std::is_same_v<Wanted, Es> ? void(found = number) : void(), ++number), ...);
  return found;
}
template <class E>
constexpr std::uint16_t number_of = number_in<E>(Known{});

// Null: a handler for E would not catch it.
template <class E>
E const* object_of(std::exception_ptr const& error) noexcept {
  return static_cast<E const*>(caught(error, typeid(E)).value_or(nullptr));
}

template <class E>
bool is_a(std::exception const& exception) {
  if constexpr (std::is_same_v<E, std::exception>) {
    return true;
  } else {
    return dynamic_cast<E const*>(&exception) != nullptr;
  }
}

template <class... Es>
std::uint16_t nearest(std::exception const& exception, Types<Es...>) {
  // Ours that cannot be made anew of what travels.
  if (is_a<WorkerDied>(exception) || is_a<ElementErrors>(exception)) {
    return number_of<RemoteError>;
  }
  std::uint16_t number = 0;
  static_cast<void>(((is_a<Es>(exception) || (++number, false)) || ...));
  return number;
}

// RemoteError is one that has its Origin.
template <class... Es>
bool is_exactly_one(std::exception const& exception, Types<Es...>) {
  return ((typeid(exception) == typeid(Es) && !std::is_same_v<Es, RemoteError>) || ...);
}

// ---- how long what travels may be, in bytes: all of an error in 64 KiB

constexpr std::size_t max_error = std::size_t{64} * 1024;
constexpr std::size_t max_numbers = 1024;  // lengths, codes, references
constexpr std::size_t max_type = 2048;
constexpr std::size_t max_path = 4096;
constexpr std::size_t max_causes = 32;
constexpr std::size_t max_cause = 4096;
constexpr std::size_t kept_for_causes = std::size_t{16} * 1024;  // if the text is long

// ---- encoding

using Writer = os::WireWriter<Bytes>;

// The type that was thrown first: before a pool brought it here, and without what
// std::throw_with_nested and boost::throw_exception put around it.
std::string name_of(std::exception const& exception) {
  if (auto const* const origin = dynamic_cast<Origin const*>(&exception)) return origin->type;
  std::string name = type_name(typeid(exception));
  for (std::string_view const wrapper : {"std::_Nested_exception<", "boost::wrapexcept<"}) {
    if (!name.starts_with(wrapper) || !name.ends_with(">")) continue;
    name = name.substr(wrapper.size(), name.size() - wrapper.size() - 1);
    if (name.ends_with(" ")) name.pop_back();
    std::string_view constexpr constant = " const";  // a const lvalue was thrown
    if (name.ends_with(constant)) name.resize(name.size() - constant.size());
  }
  // What streams throw is a type of the standard library's own, derived from the one that people
  // catch.
  if (name == "std::__ios_failure") name = type_name(typeid(std::ios_base::failure));
  return name;
}

std::string_view text_of(std::exception const& exception) {
  char const* const text = exception.what();
  return text != nullptr ? text : "";
}

void collect_causes(std::exception const& exception, std::vector<std::string>& causes);

void collect_causes(std::nested_exception const* nested, std::vector<std::string>& causes) {
  if (nested == nullptr || !nested->nested_ptr() || causes.size() >= max_causes) return;
  std::exception_ptr const inner = nested->nested_ptr();
  if (auto const* const cause = object_of<std::exception>(inner)) {
    causes.push_back(os::cut(name_of(*cause), max_type) + ": " +
                     os::cut(text_of(*cause), max_cause - max_type));
    collect_causes(*cause, causes);
  } else {
    causes.push_back(os::cut(type_name(*inner.__cxa_exception_type()), max_type));
  }
}

void collect_causes(std::exception const& exception, std::vector<std::string>& causes) {
  if (auto const* const origin = dynamic_cast<Origin const*>(&exception)) {
    causes.insert(causes.end(), origin->causes.begin(), origin->causes.end());
  }
  collect_causes(dynamic_cast<std::nested_exception const*>(&exception), causes);
}

std::size_t bytes_of(std::vector<std::string> const& texts) {
  std::size_t bytes = 0;
  for (std::string const& text : texts) bytes += text.size();
  return bytes;
}

// Of every error: its type, its text and its causes, in `room` bytes.
void write_texts(Writer& writer, std::string_view type, std::string_view text,
                 std::vector<std::string> causes, std::size_t room) {
  if (causes.size() > max_causes) causes.resize(max_causes);
  std::string const name = os::cut(type, max_type);
  room -= name.size();
  std::string const what = os::cut(text, room - std::min(bytes_of(causes), kept_for_causes));
  room -= what.size();
  writer.text(name);
  writer.text(what);
  writer.number(static_cast<std::uint32_t>(causes.size()));
  for (std::string const& cause : causes) {
    std::string const kept = os::cut(cause, std::min(max_cause, room));
    room -= kept.size();
    writer.text(kept);
  }
}

template <class E>
bool write_place(Writer& writer, std::exception const& exception) {
  auto const* const error = dynamic_cast<E const*>(&exception);
  if (error == nullptr) return false;
  writer.number(error->task());
  writer.number(error->element());
  return true;
}

void write_std(Writer& writer, std::exception const& exception) {
  std::uint16_t const number = nearest(exception, Known{});
  writer.number(number);
  std::vector<std::string> causes;
  collect_causes(exception, causes);
  auto const* const file = dynamic_cast<std::filesystem::filesystem_error const*>(&exception);
  std::size_t const paths = file != nullptr ? 2 * max_path : 0;
  write_texts(writer, name_of(exception), text_of(exception), std::move(causes),
              max_error - max_numbers - max_path / 2 - paths);
  if (number == number_of<std::regex_error>) {
    writer.number(
        static_cast<std::int32_t>(dynamic_cast<std::regex_error const&>(exception).code()));
  } else if (auto const* const system = dynamic_cast<std::system_error const*>(&exception)) {
    write_code(writer, system->code());
    if (file != nullptr) {
      writer.text(os::cut(file->path1().native(), max_path));
      writer.text(os::cut(file->path2().native(), max_path));
    }
  } else if (auto const* const future = dynamic_cast<std::future_error const*>(&exception)) {
    write_code(writer, future->code());
  } else {
    static_cast<void>(write_place<TaskTimeout>(writer, exception) ||
                      write_place<TaskCancelled>(writer, exception) ||
                      write_place<BadMessage>(writer, exception));
  }
}

void write_other(Writer& writer, std::string_view type, std::string_view text,
                 std::vector<std::string> causes = {}) {
  writer.number(number_of<RemoteError>);
  write_texts(writer, type, text, std::move(causes), max_error - max_numbers);
}

// As one of the types that are known, though there is no one std::exception in it: two bases have
// one each.
template <class... Es>
bool write_one_base(Writer& writer, std::exception_ptr const& error, Types<Es...>) {
  auto const as = [&]<class E>(Types<E>) {
    auto const* const base = object_of<E>(error);
    if (base != nullptr) write_std(writer, *base);
    return base != nullptr;
  };
  return (as(Types<Es>{}) || ...);
}

void write_unknown(Writer& writer, std::exception_ptr const& error, std::string const& name) {
  if (write_one_base(writer, error, Known{})) return;
  std::vector<std::string> causes;
  collect_causes(object_of<std::nested_exception>(error), causes);
  write_other(writer, name, "an exception of type " + os::cut(name, max_type), std::move(causes));
}

void write_known(Bytes& out, std::exception_ptr const& error) {
  Writer writer(out);
  if (auto const* const exception = object_of<std::exception>(error)) {
    return write_std(writer, *exception);
  }
  // Null: of another language.
  std::string const name = error ? type_name(*error.__cxa_exception_type()) : "unknown";
  if (auto const* const value = object_of<int>(error)) {
    write_other(writer, name, std::to_string(*value));
  } else if (auto const pointer = caught(error, typeid(char const*))) {
    auto const* const text = static_cast<char const*>(*pointer);
    write_other(writer, name, text != nullptr ? text : "null");
  } else if (auto const* const string = object_of<std::string>(error)) {
    write_other(writer, name, *string);
  } else {
    write_unknown(writer, error, name);
  }
}

// Behind the rest: which of the listed types it is, counted from 1, and its value; 0: none.
PROCPOOL_PASSES_FORCED_END void write_listed(Bytes& out, std::exception_ptr const& error,
                                             std::span<ExceptionFunction const> listed) {
  Writer writer(out);
  for (std::size_t i = 0; i < listed.size(); ++i) {
    if (listed[i] == nullptr) continue;
    Bytes value;
    ExceptionOperation save;
    save.kind = ExceptionOperation::Kind::save;
    save.output = &value;
    save.error = error;
    try {
      listed[i](save);
    } catch (abi::__forced_unwind&) {
      throw;
    } catch (...) {  // its value cannot be serialized; the bytes written before can
      break;
    }
    if (!save.matches) continue;
    writer.number(static_cast<std::uint32_t>(i + 1));
    writer.bytes(value);
    return;
  }
  writer.number(std::uint32_t{0});
}

}  // namespace

void encode_exception(Bytes& out, std::exception_ptr const& error,
                      std::span<ExceptionFunction const> listed) {
  write_known(out, error);
  write_listed(out, error, listed);
}

void encode_current_exception(Bytes& out, std::span<ExceptionFunction const> listed) {
  encode_exception(out, std::current_exception(), listed);
}

// ---- decoding

namespace {

std::string_view text_in(os::WireReader& reader) {
  auto const bytes = reader.bytes();
  return {reinterpret_cast<char const*>(bytes.data()), bytes.size()};
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
std::exception_ptr rebuilt(Arrived const& arrived, E error) {
  return std::make_exception_ptr(FromWorker<E>(std::move(error), arrived.text, arrived.origin));
}

// Null: there can be no such one.
template <class E>
std::exception_ptr rebuild(Arrived const& arrived, os::WireReader& reader) {
  if constexpr (std::is_same_v<E, std::regex_error>) {
    // Only values of the enumeration may become one.
    auto const code = reader.number<std::int32_t>();
    for (auto const known : regex_codes) {
      if (static_cast<std::int32_t>(known) == code) return rebuilt(arrived, E(known));
    }
    return nullptr;
  } else if constexpr (std::is_same_v<E, std::future_error>) {
    return rebuilt(arrived, E(static_cast<std::future_errc>(read_code(reader).value())));
  } else if constexpr (std::is_same_v<E, std::filesystem::filesystem_error>) {
    std::error_code const code = read_code(reader);
    std::string const path1 = os::cut(text_in(reader), max_path);
    return rebuilt(arrived, E(std::string(), path1, os::cut(text_in(reader), max_path), code));
  } else if constexpr (std::is_same_v<E, std::ios_base::failure>) {
    return rebuilt(arrived, E(std::string(), read_code(reader)));
  } else if constexpr (std::is_same_v<E, std::system_error>) {
    return rebuilt(arrived, E(read_code(reader)));
  } else if constexpr (std::is_same_v<E, RemoteError>) {
    return std::make_exception_ptr(RemoteError(arrived.text, arrived.origin));
  } else if constexpr (std::is_constructible_v<E, std::string, std::uint64_t, std::uint64_t>) {
    auto const task = reader.number<std::uint64_t>();
    return rebuilt(arrived, E(arrived.text, task, reader.number<std::uint64_t>()));
  } else if constexpr (std::is_constructible_v<E, std::string>) {
    return rebuilt(arrived, E(arrived.text));
  } else {
    return rebuilt(arrived, E());
  }
}

template <class... Es>
std::exception_ptr rebuild(Types<Es...>, Arrived const& arrived, os::WireReader& reader) {
  std::exception_ptr result;
  std::uint16_t number = 0;
  static_cast<void>(((number++ == arrived.number &&
                      (static_cast<void>(result = rebuild<Es>(arrived, reader)), true)) ||
                     ...));
  return result;
}

void read_texts(os::WireReader& reader, Arrived& arrived) {
  std::size_t room = max_error;
  auto const take = [&](std::size_t most) {
    std::string text = os::cut(text_in(reader), std::min(most, room));
    room -= text.size();
    return text;
  };
  arrived.origin.type = take(max_type);
  arrived.text = take(max_error);
  auto const causes = reader.number<std::uint32_t>();
  for (std::uint32_t i = 0; i < causes && i < max_causes && !reader.bad(); ++i) {
    arrived.origin.causes.push_back(take(max_cause));
  }
}

// As the listed type that it says it is. Null: it says nothing like that, or its value cannot be
// read.
PROCPOOL_PASSES_FORCED_END std::exception_ptr rebuild_listed(
    std::span<ExceptionFunction const> listed, std::uint32_t which,
    std::span<std::byte const> value, Arrived& arrived) {
  if (which == 0 || which > listed.size()) return nullptr;
  ExceptionOperation load;
  load.kind = ExceptionOperation::Kind::load;
  load.input = value;
  load.text = &arrived.text;
  load.origin = &arrived.origin;
  try {
    listed[which - 1](load);
    return load.error;
  } catch (abi::__forced_unwind&) {
    throw;  // the caller's own thread is being ended
  } catch (std::exception const& error) {
    arrived.origin.causes.push_back("it could not be made anew as what it was: " +
                                    os::cut(text_of(error), max_cause));
  } catch (...) {
    arrived.origin.causes.emplace_back("it could not be made anew as what it was");
  }
  return nullptr;
}

std::exception_ptr not_understood(Origin const& origin) {
  return std::make_exception_ptr(BadMessage(
      "task " + std::to_string(origin.task) + ", element " + std::to_string(origin.element) +
          ": the error that worker " + std::to_string(origin.worker) + " (pid " +
          std::to_string(origin.pid) + ") reported cannot be understood",
      origin.task, origin.element));
}

// Looks at all of it before it makes anything of it.
PROCPOOL_PASSES_FORCED_END std::exception_ptr decode(std::span<std::byte const> bytes,
                                                     Origin const& origin,
                                                     std::span<ExceptionFunction const> listed) {
  os::WireReader reader(bytes);
  Arrived arrived;
  arrived.origin = origin;
  arrived.number = reader.number<std::uint16_t>();
  read_texts(reader, arrived);
  if (reader.bad()) return not_understood(origin);
  std::exception_ptr plain = rebuild(Known{}, arrived, reader);
  auto const which = reader.number<std::uint32_t>();
  auto const value = which != 0 ? reader.bytes() : std::span<std::byte const>();
  if (!plain || reader.bad()) return not_understood(origin);
  if (which == 0 || listed.empty()) return plain;
  std::size_t const causes = arrived.origin.causes.size();
  if (auto itself = rebuild_listed(listed, which, value, arrived)) return itself;
  if (arrived.origin.causes.size() == causes) return plain;
  // Once more, with why it is not what it was.
  os::WireReader again(bytes);
  again.number<std::uint16_t>();
  Arrived dropped;
  read_texts(again, dropped);
  return rebuild(Known{}, arrived, again);
}

}  // namespace

PROCPOOL_PASSES_FORCED_END std::exception_ptr decode_exception(
    std::span<std::byte const> bytes, Origin const& origin,
    std::span<ExceptionFunction const> listed) {
  try {
    return decode(bytes, origin, listed);
  } catch (abi::__forced_unwind&) {
    throw;
  } catch (std::bad_alloc const&) {  // no memory for a text
    return std::current_exception();
  } catch (...) {
    return not_understood(origin);
  }
}

std::exception_ptr with_origin(std::exception_ptr const& error, Origin const& origin) {
  auto const* const exception = object_of<std::exception>(error);
  if (exception == nullptr || !is_exactly_one(*exception, Known{})) return error;
  try {
    Bytes bytes;
    encode_exception(bytes, error);
    return decode_exception(bytes, origin);
  } catch (std::exception const&) {  // no memory
    return error;
  }
}

std::exception_ptr listed_kind(std::span<std::byte const> bytes,
                               std::span<ExceptionFunction const> listed) {
  if (listed.empty()) return nullptr;
  try {
    os::WireReader reader(bytes);
    Arrived arrived;
    arrived.number = reader.number<std::uint16_t>();
    read_texts(reader, arrived);
    if (reader.bad() || !rebuild(Known{}, arrived, reader)) return nullptr;
    auto const which = reader.number<std::uint32_t>();
    if (reader.bad() || which == 0 || which > listed.size()) return nullptr;
    ExceptionOperation ask;
    ask.kind = ExceptionOperation::Kind::kind;
    listed[which - 1](ask);
    return ask.error;
  } catch (...) {  // no memory, or no sense
    return nullptr;
  }
}

}  // namespace procpool::inline v0_1::detail
