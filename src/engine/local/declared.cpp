#include "engine/local/declared.hpp"

#include <cxxabi.h>

#include <algorithm>
#include <new>
#include <utility>

#include <procpool/detail/type_name.hpp>
#include <procpool/errors.hpp>

#include "engine/local/process_title.hpp"
#include "engine/patience.hpp"

namespace procpool::inline v0::local {
namespace {

Declaration find_code(detail::Bytes const& declaration) {
  try {
    return decode_declaration(declaration);
  } catch (std::bad_alloc const&) {
    throw;
  } catch (std::exception const& error) {
    throw SetupError(std::string("this worker cannot run the function: ") + error.what());
  }
}

}  // namespace

void Declared::load() {
  if (callable) return;
  if (unusable) std::rethrow_exception(unusable);
  try {
    shares.clear();
    decoded = find_code(declaration);
    detail::ShareCollector const collector(shares);
    callable.emplace(decoded->code, decoded->state);
    detail::if_possible([this] { name = short_name(detail::type_name(callable->type())); });
  } catch (abi::__forced_unwind&) {
    throw;
  } catch (std::bad_alloc const&) {  // another time there may be memory for it
    throw;
  } catch (...) {
    unusable = std::current_exception();
    throw;
  }
}

bool DeclaredFunctions::declare(std::size_t place,
                                std::span<std::byte const> declaration) noexcept {
  Declared& declared = functions_[place];
  put_aside(declared);
  try {
    declared.declaration.assign(declaration.begin(), declaration.end());
    return true;
  } catch (...) {
    declared.unusable = std::current_exception();
    return false;
  }
}

void DeclaredFunctions::declare_unusable(std::size_t place, std::exception_ptr why) noexcept {
  put_aside(functions_[place]);
  functions_[place].unusable = std::move(why);
}

void DeclaredFunctions::forget(std::uint64_t share) {
  for (Declared& function : functions_) {
    if (std::ranges::find(function.shares, share, &detail::Share::id) == function.shares.end()) {
      continue;
    }
    put_aside(function);
  }
}

void DeclaredFunctions::put_aside(Declared& function) noexcept {
  if (function.callable) {
    // Where there is no memory for it, here and now.
    detail::if_possible([&] { unneeded_.push_back(std::move(function)); });
  }
  function = Declared();
}

}  // namespace procpool::inline v0::local
