// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// expect: BOOST_CLASS_EXPORT
#include <procpool/detail/codec/codec.hpp>
struct Shape {
  virtual ~Shape() = default;
};
void use() {
  procpool::detail::Bytes out;
  procpool::detail::encode(out, std::shared_ptr<Shape>());
}
