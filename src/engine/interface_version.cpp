// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#include <procpool/detail/engine/interface_version.hpp>

#include <chrono>

namespace procpool::inline v0_1::detail {

std::int64_t module_load_time(InterfaceVersion<interface_version>) noexcept {
  return std::chrono::steady_clock::now().time_since_epoch().count();
}

}  // namespace procpool::inline v0_1::detail
