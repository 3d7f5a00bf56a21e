// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// The resources that outcomes name: records in the outbox of a worker, and packets with descriptors on
// its control socket, which writes both as it likes. An outcome gets what this worker was given or
// has sent, and nothing else; no descriptor is left.

#include <algorithm>
#include <map>
#include <memory>
#include <set>

#include "fuzz/descriptors.hpp"
#include "fuzz/worker_side.hpp"
#include "os/socket.hpp"
#include "parent/slot.hpp"

namespace {

using namespace procpool::parent;
namespace os = procpool::os;
namespace detail = procpool::detail;
namespace channel = procpool::channel;

constexpr int max_acts = 100;
constexpr std::size_t max_packets = 100;  // more than a socket holds

void trampoline(detail::Operation&) {}

class Harness {
 public:
  Harness() {
    auto [ours, theirs] = os::socket_pair();
    auto end = std::make_unique<channel::ParentEnd>(fuzz::ring_bytes);
    worker_ = std::make_unique<fuzz::WorkerSide>(*end);
    control_ = std::move(theirs);
    slot_.open(std::move(end), std::move(ours), 1);
  }

  // False: the worker was found out.
  bool act(std::uint8_t what, fuzz::Input& in) {
    switch (what % 8) {
      case 0: put(in); return true;
      case 1:
      case 2: return collect();
      case 3: packet(fuzz::any_id(in), fuzz::descriptors(in), in.take()); return true;
      case 4: record(fuzz::any_id(in), in.take() % 7, in.take() % 5, in.take()); return true;
      case 5: honest(in); return true;
      case 6: values(); return true;
      default: worker_->act(in.take(), in); return true;
    }
  }

  // A chunk that names some, of so many elements.
  void put(fuzz::Input& in) {
    detail::Function function;
    function.code = trampoline;
    function.argument_size = 1;
    detail::InputBuffer buffer{0, 1, detail::Bytes(1), {}, {}};
    std::uint8_t const named = in.take();
    for (std::size_t i = 0; i < fuzz::Living::count; ++i) {
      if ((named >> i) % 2 == 0) continue;
      buffer.resources.push_back(fuzz::Living::only()[i]);
    }
    auto const resources = buffer.resources;
    Chunk chunk{std::make_shared<detail::Task>(std::move(function)),
                std::make_shared<SharedInput>(std::move(buffer), 1), 0, 1};
    if (slot_.put(std::span(&chunk, 1), {}).sent == 0) return;
    for (auto const& each : resources) {
      if (!each->is_carried()) allowed_.insert(each->id());
    }
  }

  bool collect() {
    auto report = slot_.collect();
    settle(report);
    return report.bad.empty();
  }

  void reap() {
    auto death = slot_.reap();
    settle(death.report);
    os::close_socket(std::move(death.control));
  }

 private:
  void packet(std::uint64_t id, std::vector<os::UniqueFd> const& descriptors, std::uint8_t form) {
    if (packets_++ == max_packets) return;
    std::vector<int> numbers;
    for (auto const& each : descriptors) numbers.push_back(each.get());
    fuzz::Bytes bytes(form % 8 == 7 ? form : sizeof id);
    std::memcpy(bytes.data(), &id, std::min(bytes.size(), sizeof id));
    try {
      os::send_packet(control_.get(), bytes, numbers, false);
      allowed_.insert(id);
    } catch (std::exception const&) {  // it is full
    }
  }

  void record(std::uint64_t id, std::uint32_t kind, std::uint32_t descriptors, std::uint8_t form) {
    channel::ResourceRecord const named{id, kind, descriptors};
    auto const size = static_cast<std::uint16_t>(form % 8 == 7 ? form : sizeof named);
    auto const bytes = fuzz::Output()
                           .put(static_cast<std::uint8_t>(channel::OutboxKind::resource))
                           .put(static_cast<std::uint8_t>(channel::Where::ring))
                           .put(size)
                           .put(std::uint16_t{0})
                           .put(std::uint8_t{0})
                           .put(std::uint8_t{0})
                           .put(std::uint8_t{0})
                           .put(named)
                           .put(std::array<std::byte, 256>{})
                           .take();
    fuzz::Input in(bytes);
    worker_->act(fuzz::WorkerSide::record, in);
  }

  // As a correct worker sends one of those that live here.
  void honest(fuzz::Input& in) {
    auto const& resource = *fuzz::Living::only()[in.take()];
    std::vector<os::UniqueFd> sent;
    for (int const each : resource.descriptors()) sent.push_back(os::duplicate(each));
    auto const count = static_cast<std::uint32_t>(sent.size());
    if (count != 0) packet(resource.id(), sent, 0);
    record(resource.id(), static_cast<std::uint32_t>(resource.kind()), count, 0);
  }

  void values() {
    auto const bytes = fuzz::Output().put(std::uint8_t{1}).put(std::uint8_t{4}).take();
    fuzz::Input in(bytes);
    worker_->act(fuzz::WorkerSide::values, in);
  }

  void settle(Slot::Report& report) {
    report.for_each_item([&](Slot::Item const& item) {
      if (!item.block.resources) return;
      fuzz::require(item.block.kind != detail::OutcomeBlock::Kind::failed,
                    "what has failed names nothing");
      fuzz::require(item.block.resources->size() <= channel::max_named, "there are not too many");
      for (auto const& each : *item.block.resources) {
        fuzz::require(allowed_.contains(each->id()), "it was given, or sent");
        fuzz::use(*each);
      }
    });
  }

  Slot slot_{0};
  std::unique_ptr<fuzz::WorkerSide> worker_;
  os::UniqueFd control_;
  std::size_t packets_ = 0;
  std::set<std::uint64_t> allowed_;
};

}  // namespace

void fuzz::run(std::span<std::byte const> input) {
  NoDescriptorIsLeft const none_is_left;
  Input in(input);
  Harness harness;
  harness.put(in);
  for (int i = 0; i < max_acts && !in.empty(); ++i) {
    if (!harness.act(in.take(), in)) break;
  }
  harness.reap();
}

std::vector<fuzz::Bytes> fuzz::seeds() {
  auto const number = [](int value) { return static_cast<std::uint8_t>(value); };
  std::vector<Bytes> all;
  // Each as a correct worker sends it.
  for (int i = 0; i < static_cast<int>(Living::count); ++i) {
    all.push_back(Output()
                      .put(number(31))
                      .put(number(5))
                      .put(number(i))
                      .put(number(6))
                      .put(number(1))
                      .take());
  }
  // A packet and a record that do not belong together; one without an outcome; a new file.
  all.push_back(Output()
                    .put(number(0))
                    .put(number(3))
                    .put(number(0))
                    .put(number(4))
                    .put(number(0))
                    .put(number(4))
                    .put(number(3))
                    .put(number(2))
                    .put(number(1))
                    .put(number(0))
                    .put(number(6))
                    .put(number(1))
                    .take());
  all.push_back(Output().put(number(0)).put(number(5)).put(number(0)).put(number(1)).take());
  all.push_back(Output()
                    .put(number(0))
                    .put(number(3))
                    .put(number(1))
                    .put(number(4 + 1))
                    .put(number(1))
                    .put(std::uint16_t{300})
                    .put(std::uint64_t{0})
                    .put(std::uint64_t{0})
                    .put(number(0))
                    .put(number(4))
                    .put(number(1))
                    .put(number(2))
                    .put(number(1))
                    .put(number(0))
                    .put(number(6))
                    .put(number(1))
                    .take());
  return all;
}
