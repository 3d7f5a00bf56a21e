#include "engine/local/declaration.hpp"

#include <algorithm>

#include "identity/code_wire.hpp"

namespace procpool::inline v0::local {

detail::Bytes encode_declaration(detail::Function const& function) {
  detail::Bytes out;
  os::WireWriter<detail::Bytes> writer(out);
  writer.number(static_cast<std::uint64_t>(function.argument_size));
  writer.number(static_cast<std::uint64_t>(function.result_size));
  writer.number(static_cast<std::uint8_t>(function.returns_nothing));
  identity::write(writer, identity::locate(reinterpret_cast<void const*>(function.code)));
  if (function.state) out.insert(out.end(), function.state->begin(), function.state->end());
  return out;
}

namespace {

// All but the code, to which this is the reference.
identity::CodeRef decode_reference(std::span<std::byte const> bytes, Declaration& declaration) {
  os::WireReader reader(bytes);
  declaration.argument_size = reader.number<std::uint64_t>();
  declaration.result_size = reader.number<std::uint64_t>();
  declaration.returns_nothing = reader.number<std::uint8_t>() != 0;
  identity::CodeRef ref = identity::read_code_ref(reader);
  declaration.state = reader.rest();
  return ref;
}

}  // namespace

Declaration decode_declaration(std::span<std::byte const> bytes) {
  Declaration declaration;
  identity::CodeRef const ref = decode_reference(bytes, declaration);
  declaration.code = reinterpret_cast<detail::Trampoline>(identity::resolve(ref));
  return declaration;
}

bool is_stale_here(std::span<std::byte const> declaration) noexcept {
  try {
    Declaration ignored;
    return identity::is_stale_here(decode_reference(declaration, ignored));
  } catch (std::exception const&) {  // whoever needs the code is told
    return false;
  }
}

FunctionTable::Place FunctionTable::place(detail::Task const& task) {
  detail::Function const& function = task.function();
  std::uint64_t const owner = function.state ? task.id() : 0;
  auto const matches = [&](Entry const& entry) {
    return entry.code == function.code && entry.loaded == function.loaded && entry.task == owner;
  };
  ++clock_;
  Entry& last = entries_[last_];  // mostly it is the one used last
  if (matches(last)) {
    last.used = clock_;
    return {last_, true};
  }
  if (auto const known = std::ranges::find_if(entries_, matches); known != entries_.end()) {
    known->used = clock_;
    last_ = static_cast<std::size_t>(known - entries_.begin());
    return {last_, true};
  }
  // The worker keeps a callable's state until another is put in its place, and that may be large.
  auto const is_left_over = [](Entry const& entry) {
    return entry.task != 0 && entry.state.expired();
  };
  auto free = std::ranges::find_if(entries_, is_left_over);
  if (free == entries_.end()) free = std::ranges::min_element(entries_, {}, &Entry::used);
  *free = Entry{function.code, function.loaded, owner, function.state, clock_};
  last_ = static_cast<std::size_t>(free - entries_.begin());
  return {last_, false};
}

}  // namespace procpool::inline v0::local
