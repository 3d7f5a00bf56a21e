// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#include "identity/code_wire.hpp"

#include <stdexcept>

#include <procpool/detail/call/function_identity.hpp>

namespace procpool::inline v0_1 {
namespace identity {

void write(os::WireWriter<detail::Bytes>& writer, CodeRef const& ref) {
  writer.number(ref.module.kind());
  writer.bytes(ref.module.bytes());
  writer.number(ref.offset);
  writer.text(ref.path);
}

CodeRef read_code_ref(os::WireReader& reader) {
  CodeRef ref;
  auto const kind = reader.number<std::uint8_t>();
  auto const id = BuildId::from_parts(kind, reader.bytes());
  ref.offset = reader.number<std::uint64_t>();
  ref.path = reader.text();
  if (!id || reader.bad()) throw std::runtime_error("the reference to a function is malformed");
  ref.module = *id;
  return ref;
}

}  // namespace identity

namespace detail {

void encode_code(Bytes& out, void const* code) {
  os::WireWriter<Bytes> writer(out);
  identity::write(writer, identity::locate(code));
}

void* decode_code(std::span<std::byte const>& in) {
  os::WireReader reader(in);
  identity::CodeRef const ref = identity::read_code_ref(reader);
  in = reader.rest();
  return identity::resolve(ref);
}

}  // namespace detail
}  // namespace procpool::inline v0_1
