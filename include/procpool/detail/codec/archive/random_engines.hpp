// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#pragma once

// The engines and engine adaptors of <random>: the text that the library itself writes of their
// state. Reading checks each number of it first. An index beyond its table would be used as it is,
// and a state of zeros gives zeros for ever, for which some distributions wait in vain.

#include <cstddef>
#include <cstdint>
#include <sstream>  // as <chrono> does
#include <string>
#include <type_traits>
#include <utility>

#include <procpool/detail/codec/archive/containers.hpp>
#include <procpool/detail/codec/archive/std_shapes.hpp>

namespace procpool::inline v0_1::detail {

// The numbers of such a text, each held against what it may be.
class EngineNumbers {
 public:
  explicit EngineNumbers(std::string const& text) : in_(text) { in_.imbue(std::locale::classic()); }

  bool at_end() { return (in_ >> std::ws).eof(); }

  std::uint64_t next(std::uint64_t least, std::uint64_t most) {
    std::uint64_t number = 0;
    if (!(in_ >> number) || number < least || number > most) refuse_engine();
    return number;
  }

  // So many numbers. Returns the bits that they have, all of them together.
  std::uint64_t table(std::size_t size, std::uint64_t least, std::uint64_t most) {
    std::uint64_t bits = 0;
    for (std::size_t i = 0; i < size; ++i) bits |= next(least, most);
    return bits;
  }

  [[noreturn]] static void refuse_engine() {
    refuse("procpool: a random number engine in a message has no such state");
  }

 private:
  std::istringstream in_;
};

template <class Engine>
void check_engine(EngineNumbers& numbers) {
  if constexpr (requires { Engine::state_size; }) {  // mersenne_twister_engine
    if (numbers.table(Engine::state_size, 0, Engine::max()) == 0) EngineNumbers::refuse_engine();
    if (numbers.at_end()) return;
    numbers.next(0, Engine::state_size);  // libstdc++ tells the next one in the table
  } else if constexpr (requires { Engine::long_lag; }) {  // subtract_with_carry_engine
    auto const bits = numbers.table(Engine::long_lag, 0, Engine::max());
    auto const carry = numbers.next(0, 1);
    if ((bits | carry) == 0) EngineNumbers::refuse_engine();
    numbers.next(0, Engine::long_lag - 1);
  } else if constexpr (requires { Engine::multiplier; }) {  // linear_congruential_engine
    numbers.next(Engine::min(), Engine::max());
  } else {
    using Base = std::remove_cvref_t<decltype(std::declval<Engine const&>().base())>;
    check_engine<Base>(numbers);
    if constexpr (requires { Engine::used_block; }) {  // discard_block_engine
      numbers.next(0, Engine::block_size);
    } else if constexpr (requires { Engine::table_size; }) {  // shuffle_order_engine
      numbers.table(Engine::table_size + 1, Base::min(), Base::max());
    }
  }
}

template <StdEngine Engine>
struct StdCodec<Engine> {
  using Parts = Types<>;
  static constexpr std::size_t least = sizeof(std::uint64_t);

  static void save(Sink& out, Engine const& value) {
    std::ostringstream text;
    text.imbue(std::locale::classic());
    text << value;
    save_value<std::string>(out, std::move(text).str());
  }
  static void load(Source& in, Engine& value) {
    auto const text = make_value<std::string>(in);
    EngineNumbers numbers(text);
    check_engine<Engine>(numbers);
    if (!numbers.at_end()) EngineNumbers::refuse_engine();
    std::istringstream state(text);
    state.imbue(std::locale::classic());
    if (!(state >> value)) EngineNumbers::refuse_engine();
  }
};

}  // namespace procpool::inline v0_1::detail
