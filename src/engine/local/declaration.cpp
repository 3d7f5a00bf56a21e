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

Declaration decode_declaration(std::span<std::byte const> bytes) {
  os::WireReader reader(bytes);
  Declaration declaration;
  declaration.argument_size = reader.number<std::uint64_t>();
  declaration.result_size = reader.number<std::uint64_t>();
  declaration.returns_nothing = reader.number<std::uint8_t>() != 0;
  identity::CodeRef const ref = identity::read_code_ref(reader);
  declaration.code = reinterpret_cast<detail::Trampoline>(identity::resolve(ref));
  declaration.state = reader.rest();
  return declaration;
}

FunctionTable::Place FunctionTable::place(detail::Task const& task) {
  std::uint64_t const owner = task.function().state ? task.id() : 0;
  ++clock_;
  Entry& last = entries_[last_];  // mostly it is the one used last
  if (last.code == task.function().code && last.task == owner) {
    last.used = clock_;
    return {last_, true};
  }
  for (std::size_t slot = 0; slot < entries_.size(); ++slot) {
    Entry& entry = entries_[slot];
    if (entry.code == task.function().code && entry.task == owner) {
      entry.used = clock_;
      last_ = slot;
      return {slot, true};
    }
  }
  auto const oldest = std::ranges::min_element(entries_, {}, &Entry::used);
  *oldest = Entry{task.function().code, owner, clock_};
  last_ = static_cast<std::size_t>(oldest - entries_.begin());
  return {last_, false};
}

}  // namespace procpool::inline v0::local
