#include "engine/local/fork_messages.hpp"

#include "os/wire.hpp"

namespace procpool::inline v0::local {
namespace {

constexpr std::uint32_t greeting_magic = 0x50505734;
constexpr std::uint32_t order_magic = 0x50505735;
constexpr std::uint32_t report_magic = 0x50505736;

using Writer = os::WireWriter<std::vector<std::byte>>;

}  // namespace

std::vector<std::byte> encode(Greeting const& greeting) {
  std::vector<std::byte> out;
  Writer writer(out);
  writer.number(greeting_magic);
  writer.number(greeting.protocol);
  writer.text(greeting.pool);
  return out;
}

std::optional<Greeting> decode_greeting(std::span<std::byte const> bytes) {
  os::WireReader reader(bytes);
  if (reader.number<std::uint32_t>() != greeting_magic) return std::nullopt;
  Greeting greeting;
  greeting.protocol = reader.number<std::uint32_t>();
  greeting.pool = reader.text();
  if (reader.bad()) return std::nullopt;
  return greeting;
}

std::vector<std::byte> encode(ForkOrder const& order) {
  std::vector<std::byte> out;
  Writer writer(out);
  writer.number(order_magic);
  writer.number(order.kind);
  writer.number(order.ticket);
  writer.text(order.title);
  return out;
}

std::optional<ForkOrder> decode_fork_order(std::span<std::byte const> bytes) {
  os::WireReader reader(bytes);
  if (reader.number<std::uint32_t>() != order_magic) return std::nullopt;
  ForkOrder order;
  order.kind = reader.number<ForkOrder::Kind>();
  order.ticket = reader.number<std::uint64_t>();
  order.title = reader.text();
  if (reader.bad() || order.kind > ForkOrder::Kind::bury) return std::nullopt;
  return order;
}

std::vector<std::byte> encode(ForkReport const& report) {
  std::vector<std::byte> out;
  Writer writer(out);
  writer.number(report_magic);
  writer.number(report.kind);
  writer.number(report.ticket);
  writer.number(report.pid);
  writer.number(report.exit.kind);
  writer.number(report.exit.code);
  writer.text(report.reason);
  return out;
}

std::optional<ForkReport> decode_fork_report(std::span<std::byte const> bytes) {
  os::WireReader reader(bytes);
  if (reader.number<std::uint32_t>() != report_magic) return std::nullopt;
  ForkReport report;
  report.kind = reader.number<ForkReport::Kind>();
  report.ticket = reader.number<std::uint64_t>();
  report.pid = reader.number<pid_t>();
  report.exit.kind = reader.number<os::Exit::Kind>();
  report.exit.code = reader.number<int>();
  report.reason = reader.text();
  if (reader.bad() || report.kind > ForkReport::Kind::buried ||
      report.exit.kind > os::Exit::Kind::unknown) {
    return std::nullopt;
  }
  return report;
}

}  // namespace procpool::inline v0::local
