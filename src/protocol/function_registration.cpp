// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#include "protocol/function_registration.hpp"

#include "identity/code_wire.hpp"

namespace procpool::inline v0_1::protocol {

detail::Bytes encode_registration(detail::Function const& function, std::string_view label) {
  detail::Bytes out;
  os::WireWriter<detail::Bytes> writer(out);
  writer.number(static_cast<std::uint64_t>(function.argument_size));
  writer.number(static_cast<std::uint64_t>(function.result_size));
  writer.number(static_cast<std::uint8_t>(function.returns_nothing));
  writer.text(label);
  identity::write(writer, identity::locate(reinterpret_cast<void const*>(function.code)));
  if (function.state) out.insert(out.end(), function.state->begin(), function.state->end());
  return out;
}

namespace {

// All but the code, to which this is the reference.
identity::CodeRef decode_reference(std::span<std::byte const> bytes,
                                   FunctionRegistration& registration) {
  os::WireReader reader(bytes);
  registration.argument_size = reader.number<std::uint64_t>();
  registration.result_size = reader.number<std::uint64_t>();
  registration.returns_nothing = reader.number<std::uint8_t>() != 0;
  registration.label = reader.text();
  identity::CodeRef ref = identity::read_code_ref(reader);
  registration.state = reader.rest();
  return ref;
}

}  // namespace

FunctionRegistration decode_registration(std::span<std::byte const> bytes) {
  FunctionRegistration registration;
  identity::CodeRef const ref = decode_reference(bytes, registration);
  registration.code = reinterpret_cast<detail::Trampoline>(identity::resolve(ref));
  return registration;
}

bool is_stale_here(std::span<std::byte const> registration) noexcept {
  try {
    FunctionRegistration ignored;
    return identity::is_stale_here(decode_reference(registration, ignored));
  } catch (std::exception const&) {  // the elements that need the code tell it
    return false;
  }
}

}  // namespace procpool::inline v0_1::protocol
