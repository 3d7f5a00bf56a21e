// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#include "worker/registered_functions.hpp"

#include <cxxabi.h>

#include <algorithm>
#include <new>
#include <utility>

#include <procpool/detail/call/type_name.hpp>
#include <procpool/errors.hpp>

#include "engine/patience.hpp"
#include "worker/process_title.hpp"

namespace procpool::inline v0_1::worker {
namespace {

protocol::FunctionRegistration find_code(detail::Bytes const& registration) {
  try {
    return protocol::decode_registration(registration);
  } catch (std::bad_alloc const&) {
    throw;
  } catch (std::exception const& error) {
    throw SetupError(std::string("this worker cannot run the function: ") + error.what());
  }
}

}  // namespace

void RegisteredFunction::load() {
  if (callable) return;
  if (unusable) std::rethrow_exception(unusable);
  try {
    resources.clear();
    decoded = find_code(registration);
    detail::ResourceCollector const collector(resources);
    callable.emplace(decoded->code, decoded->state);
    detail::if_possible([this] {
      std::string const& label = decoded->label;
      name =
          (label.empty() ? label : label + ": ") + short_name(detail::type_name(callable->type()));
    });
  } catch (abi::__forced_unwind&) {
    throw;
  } catch (std::bad_alloc const&) {  // the next call may find memory
    throw;
  } catch (...) {
    unusable = std::current_exception();
    throw;
  }
}

bool RegisteredFunctions::register_function(std::size_t place,
                                            std::span<std::byte const> registration) noexcept {
  RegisteredFunction& registered = functions_[place];
  put_aside(registered);
  try {
    registered.registration.assign(registration.begin(), registration.end());
    return true;
  } catch (...) {
    registered.unusable = std::current_exception();
    return false;
  }
}

void RegisteredFunctions::register_unusable(std::size_t place, std::exception_ptr why) noexcept {
  put_aside(functions_[place]);
  functions_[place].unusable = std::move(why);
}

void RegisteredFunctions::forget(std::uint64_t resource) {
  for (RegisteredFunction& function : functions_) {
    auto const& named = function.resources;
    if (std::ranges::find(named, resource, &detail::Resource::id) != named.end()) {
      put_aside(function);
    }
  }
}

void RegisteredFunctions::put_aside(RegisteredFunction& function) noexcept {
  if (function.callable) {
    // Without memory for that it is destroyed here.
    detail::if_possible([&] { unneeded_.push_back(std::move(function)); });
  }
  function = RegisteredFunction();
}

}  // namespace procpool::inline v0_1::worker
