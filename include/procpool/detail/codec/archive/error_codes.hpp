// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#pragma once

// std::error_code and std::error_condition: the value and the category. A category of the standard
// library is known by its kind, another one by its place in its module: what arrives equals what
// was sent. A category that this process does not have (on the heap, in a module that is not
// loaded) arrives as one with its name, which equals no other.

#include <cstddef>
#include <cstdint>
#include <system_error>

#include <procpool/detail/codec/archive/std_shapes.hpp>
#include <procpool/detail/codec/archive/values.hpp>
#include <procpool/detail/export.hpp>

namespace procpool::inline v0_1::detail {

PROCPOOL_API void save_category(Sink& out, std::error_category const& category);
PROCPOOL_API std::error_category const& load_category(Source& in);

template <StdErrorCode Code>
struct StdCodec<Code> {
  using Parts = Types<>;
  static constexpr std::size_t least = sizeof(std::int32_t) + 1;

  static void save(Sink& out, Code const& value) {
    out.scalar(static_cast<std::int32_t>(value.value()));
    save_category(out, value.category());
  }
  static void load(Source& in, Code& value) {
    auto const number = in.scalar<std::int32_t>();
    value.assign(number, load_category(in));
  }
};

}  // namespace procpool::inline v0_1::detail
