// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#include "protocol/handshake.hpp"

#include "os/text.hpp"
#include "os/wire.hpp"

namespace procpool::inline v0_1::protocol {
namespace {

constexpr std::uint32_t hello_magic = 0x50505731;  // also refuses a stranger's packet
constexpr std::uint32_t ready_magic = 0x50505732;
constexpr std::uint32_t refusal_magic = 0x50505733;

using Writer = os::WireWriter<std::vector<std::byte>>;

}  // namespace

std::vector<std::byte> encode(Hello const& hello) {
  std::vector<std::byte> out;
  Writer writer(out);
  writer.number(hello_magic);
  writer.number(hello.protocol);
  writer.number(hello.worker);
  writer.number(hello.parent);
  writer.number(hello.ring_bytes);
  writer.text(hello.pool);
  writer.number(static_cast<std::uint32_t>(hello.limits.size()));
  for (Hello::Limit const& limit : hello.limits) {
    writer.number(limit.resource);
    writer.number(limit.soft);
    writer.number(limit.hard);
  }
  writer.number(static_cast<std::uint32_t>(hello.cpus.size()));
  for (std::int32_t const cpu : hello.cpus) writer.number(cpu);
  writer.number(hello.nice);
  writer.number(hello.harden);
  writer.number(hello.depth);
  writer.number(hello.recycle_above);
  writer.number(hello.cgroup);
  writer.text(hello.output_token);
  writer.number(hello.parent_began);
  writer.number(hello.ignore_sigterm);
  writer.text(hello.exceptions);
  writer.number(hello.dedicated);
  writer.number(hello.whole_lines);
  writer.number(static_cast<std::uint32_t>(hello.environment.size()));
  for (std::string const& variable : hello.environment) writer.text(variable);
  return out;
}

std::optional<Hello> decode_hello(std::span<std::byte const> bytes) {
  os::WireReader reader(bytes);
  if (reader.number<std::uint32_t>() != hello_magic) return std::nullopt;
  Hello hello;
  hello.protocol = reader.number<std::uint32_t>();
  hello.worker = reader.number<std::uint32_t>();
  hello.parent = reader.number<std::int64_t>();
  hello.ring_bytes = reader.number<std::uint64_t>();
  hello.pool = reader.text();
  auto const limits = reader.number<std::uint32_t>();
  for (std::uint32_t i = 0; i < limits && !reader.bad(); ++i) {
    Hello::Limit& limit = hello.limits.emplace_back();
    limit.resource = reader.number<std::int32_t>();
    limit.soft = reader.number<std::uint64_t>();
    limit.hard = reader.number<std::uint64_t>();
  }
  auto const cpus = reader.number<std::uint32_t>();
  for (std::uint32_t i = 0; i < cpus && !reader.bad(); ++i) {
    hello.cpus.push_back(reader.number<std::int32_t>());
  }
  hello.nice = reader.number<std::int32_t>();
  hello.harden = reader.number<std::uint32_t>();
  hello.depth = reader.number<std::uint32_t>();
  hello.recycle_above = reader.number<std::uint64_t>();
  hello.cgroup = reader.number<std::uint32_t>();
  hello.output_token = reader.text();
  hello.parent_began = reader.number<std::uint64_t>();
  hello.ignore_sigterm = reader.number<std::uint32_t>();
  hello.exceptions = reader.text();
  hello.dedicated = reader.number<std::uint32_t>();
  hello.whole_lines = reader.number<std::uint32_t>();
  auto const variables = reader.number<std::uint32_t>();
  for (std::uint32_t i = 0; i < variables && !reader.bad(); ++i) {
    hello.environment.push_back(reader.text());
  }
  if (reader.bad()) return std::nullopt;
  return hello;
}

std::vector<std::byte> encode(Ready const& ready) {
  std::vector<std::byte> out;
  Writer writer(out);
  writer.number(ready_magic);
  writer.number(static_cast<std::uint64_t>(ready.modules.size()));
  for (identity::LoadedModule const& module : ready.modules) {
    writer.text(module.path);
    writer.number(module.id.kind());
    writer.bytes(module.id.bytes());
  }
  return out;
}

std::vector<std::byte> encode(Refusal const& refusal) {
  return os::write_packet(refusal_magic, refusal.reason);
}

std::optional<std::variant<Ready, Refusal>> decode_answer(std::span<std::byte const> bytes) {
  os::WireReader reader(bytes);
  auto const magic = reader.number<std::uint32_t>();
  if (magic == refusal_magic) {
    // Into an error and a log, as it is.
    constexpr std::size_t most = 4096;
    Refusal refusal{os::one_line(os::cut(reader.text(), most))};
    if (reader.bad()) return std::nullopt;
    return refusal;
  }
  if (magic != ready_magic) return std::nullopt;
  Ready ready;
  auto const count = reader.number<std::uint64_t>();
  // Ends with the bytes, whatever the count says: a module takes at least its two lengths.
  for (std::uint64_t i = 0; i < count && !reader.bad(); ++i) {
    identity::LoadedModule module;
    module.path = reader.text();
    auto const kind = reader.number<std::uint8_t>();
    auto const id = identity::BuildId::from_parts(kind, reader.bytes());
    if (!id) return std::nullopt;
    module.id = *id;
    ready.modules.push_back(std::move(module));
  }
  if (reader.bad()) return std::nullopt;
  return ready;
}

}  // namespace procpool::inline v0_1::protocol
