// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// A program that was compiled against the headers of another version of the library. It must not
// link, see procpool/detail/engine/interface_version.hpp.

#include <procpool/detail/engine/interface_version.hpp>

namespace procpool::inline v0_1::detail {

std::int64_t module_load_time(InterfaceVersion<interface_version + 1>) noexcept;

}  // namespace procpool::inline v0_1::detail

int main() {
  using namespace procpool::detail;
  return module_load_time(InterfaceVersion<interface_version + 1>()) > 0 ? 0 : 1;
}
