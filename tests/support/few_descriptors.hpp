// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#pragma once

// FewDescriptors: a low limit of descriptors of this process, until the end of a scope.

#include <sys/resource.h>

#include <procpool/errors.hpp>
#include <string>
#include <utility>

namespace support {

class FewDescriptors {
 public:
  explicit FewDescriptors(rlim_t count) {
    ::getrlimit(RLIMIT_NOFILE, &before_);
    rlimit const few{count, before_.rlim_max};
    ::setrlimit(RLIMIT_NOFILE, &few);
  }
  FewDescriptors(FewDescriptors const&) = delete;
  FewDescriptors& operator=(FewDescriptors const&) = delete;
  ~FewDescriptors() { ::setrlimit(RLIMIT_NOFILE, &before_); }

 private:
  rlimit before_{};
};

// The text of the SetupError that `use` ends with; empty: it ends with none.
template <class Use>
std::string refusal_with_few_descriptors(rlim_t count, Use&& use) {
  FewDescriptors const few(count);
  try {
    std::forward<Use>(use)();
  } catch (procpool::SetupError const& error) {
    return error.what();
  }
  return {};
}

}  // namespace support
