// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#include "engine/listed_exceptions.hpp"

#include <exception>
#include <utility>

#include <procpool/detail/call/function_identity.hpp>
#include <procpool/detail/engine/bytes.hpp>

namespace procpool::inline v0_1 {

std::string ListedExceptions::text_of(ExceptionTypes types) {
  detail::Bytes bytes;
  for (detail::ExceptionFunction const function : types.functions()) {
    detail::encode_code(bytes, reinterpret_cast<void const*>(function));
  }
  return {reinterpret_cast<char const*>(bytes.data()), bytes.size()};
}

std::span<detail::ExceptionFunction const> ListedExceptions::functions() {
  if (!told_.empty()) {
    std::vector<detail::ExceptionFunction> functions;
    auto rest = std::as_bytes(std::span(told_));
    while (!rest.empty()) {
      auto const before = rest.size();
      detail::ExceptionFunction function = nullptr;
      try {
        function = reinterpret_cast<detail::ExceptionFunction>(detail::decode_code(rest));
      } catch (std::exception const&) {  // another build, or a module that cannot be opened
        if (rest.size() == before) break;
      }
      functions.push_back(function);
    }
    functions_ = std::move(functions);
    told_.clear();  // not earlier: refused memory only delays the search
  }
  return functions_;
}

}  // namespace procpool::inline v0_1
