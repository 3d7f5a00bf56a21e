// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#include "protocol/fork_messages.hpp"

#include "os/wire.hpp"

namespace procpool::inline v0_1::protocol {
namespace {

constexpr std::uint32_t greeting_magic = 0x50505734;
constexpr std::uint32_t order_magic = 0x50505735;
constexpr std::uint32_t report_magic = 0x50505736;
constexpr std::uint32_t preload_magic = 0x50505737;

}  // namespace

std::vector<std::byte> encode(Greeting const& greeting) {
  return os::write_packet(greeting_magic, greeting.protocol, greeting.pool, greeting.depth,
                          greeting.preloads);
}

std::optional<Greeting> decode_greeting(std::span<std::byte const> bytes) {
  Greeting greeting;
  if (!os::read_packet(bytes, greeting_magic, greeting.protocol, greeting.pool, greeting.depth,
                       greeting.preloads)) {
    return std::nullopt;
  }
  return greeting;
}

std::vector<std::byte> encode(PreloadReport const& report) {
  return os::write_packet(preload_magic, report.thrown, report.reason);
}

std::optional<PreloadReport> decode_preload_report(std::span<std::byte const> bytes) {
  PreloadReport report;
  if (!os::read_packet(bytes, preload_magic, report.thrown, report.reason)) return std::nullopt;
  return report;
}

std::vector<std::byte> encode(ForkOrder const& order) {
  return os::write_packet(order_magic, order.kind, order.request_id, order.title);
}

std::optional<ForkOrder> decode_fork_order(std::span<std::byte const> bytes) {
  ForkOrder order;
  if (!os::read_packet(bytes, order_magic, order.kind, order.request_id, order.title) ||
      order.kind > ForkOrder::Kind::reap) {
    return std::nullopt;
  }
  return order;
}

std::vector<std::byte> encode(ForkReport const& report) {
  return os::write_packet(report_magic, report.kind, report.request_id, report.pid,
                          report.exit.kind, report.exit.code, report.exit.peak, report.reason);
}

std::optional<ForkReport> decode_fork_report(std::span<std::byte const> bytes) {
  ForkReport report;
  if (!os::read_packet(bytes, report_magic, report.kind, report.request_id, report.pid,
                       report.exit.kind, report.exit.code, report.exit.peak, report.reason) ||
      report.kind > ForkReport::Kind::reaped || report.exit.kind > os::Exit::Kind::unknown) {
    return std::nullopt;
  }
  return report;
}

}  // namespace procpool::inline v0_1::protocol
