// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#include "protocol/live_view.hpp"

#include "os/wire.hpp"

namespace procpool::inline v0_1::protocol {
namespace {

// The fields in their order, for both ways.
template <class Worker, class Each>
void each_field(Worker& worker, Each&& each)
  requires requires { worker.place; }
{
  each(worker.place);
  each(worker.pid);
  each(worker.starts);
  each(worker.done);
  each(worker.last_end);
  each(worker.runs);
  each(worker.task);
  each(worker.element);
  each(worker.label);
  each(worker.steps);
}

template <class View, class Each>
void each_field(View& view, Each&& each)
  requires requires { view.pool; }
{
  each(view.pool);
  each(view.time);
  each(view.wanted);
  each(view.ready);
  each(view.queued);
  each(view.running);
  each(view.done);
  each(view.starts);
  each(view.deaths);
  each(view.failed_starts);
  each(view.retries);
  each(view.waited_mean);
  each(view.waited_most);
  each(view.ran_mean);
  each(view.ran_most);
}

}  // namespace

std::vector<std::byte> encode(LiveView const& view) {
  std::vector<std::byte> bytes;
  os::WireWriter writer(bytes);
  auto const write = [&](auto const& field) { writer.field(field); };
  each_field(view, write);
  writer.number(static_cast<std::uint64_t>(view.workers.size()));
  for (LiveWorker const& worker : view.workers) {
    each_field(worker, write);
    writer.field(worker.all_steps.has_value());
    writer.field(worker.all_steps.value_or(0));
  }
  return bytes;
}

std::optional<LiveView> decode_live_view(std::span<std::byte const> bytes) {
  os::WireReader reader(bytes);
  auto const read = [&]<class Field>(Field& field) {
    if constexpr (std::is_same_v<Field, bool>) {
      field = reader.number<std::uint8_t>() != 0;
    } else {
      reader.field(field);
    }
  };
  LiveView view;
  each_field(view, read);
  auto const workers = reader.number<std::uint64_t>();
  for (std::uint64_t i = 0; i < workers && !reader.bad(); ++i) {
    LiveWorker& worker = view.workers.emplace_back();
    each_field(worker, read);
    bool all = false;
    read(all);
    auto const steps = reader.number<std::uint64_t>();
    if (all) worker.all_steps = steps;
  }
  if (reader.bad() || !reader.rest().empty()) return std::nullopt;
  return view;
}

}  // namespace procpool::inline v0_1::protocol
