// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// expect: the comparator or hash of a container is part of its value
#include <set>

#include <procpool/detail/codec/codec.hpp>
void use() {
  procpool::detail::Bytes out;
  procpool::detail::encode(out, std::set<int, bool (*)(int, int)>());
}
