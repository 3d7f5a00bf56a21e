// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#include "cluster/remote_host.hpp"

#include <algorithm>
#include <utility>

#include <procpool/detail/handle/share.hpp>

#include "engine/patience.hpp"
#include "protocol/function_registration.hpp"

namespace procpool::inline v0_1::cluster {

void RemoteHost::post(Message const& message, Conversation::Lane lane) {
  if (state == State::lost) return;
  conversation.post(detail::patiently([&] { return encode(message); }), lane);
}

void RemoteHost::give_values(detail::Resource::List const& resources,
                             std::vector<std::uint64_t>& ids) {
  for (auto const& resource : resources) {
    detail::patiently([&] { ids.push_back(resource->id()); });
    auto const [place, is_new] =
        detail::patiently([&] { return values_.try_emplace(resource->id(), resource); });
    if (!is_new && !place->second.expired()) continue;
    place->second = resource;
    auto const& share = static_cast<detail::Share const&>(*resource);
    post(Value{share.id(), share.parts().size(), share.bytes()});
  }
}

void RemoteHost::give(parent::Chunk const& chunk, std::uint64_t serial, bool granted,
                      TimePoint now) {
  detail::Task const& task = *chunk.task;
  if (!declared_.contains(task.id())) {
    Declare declare;
    declare.task = task.id();
    declare.random = task.random();
    give_values(task.function().resources, declare.values);
    detail::Bytes const registration = detail::patiently(
        [&] { return protocol::encode_registration(task.function(), task.label().text); });
    declare.registration = registration;
    detail::patiently([&] { declare.label = task.label().text; });
    declare.chunk = task.chunk();
    declare.priority = task.priority();
    if (task.key()) declare.key = task.key()->value();
    declare.on_each_worker = task.on_each_worker();
    if (task.on_each_worker()) declare.first_place = first_place;
    declare.timeout = task.timeout();
    if (task.deadline()) declare.deadline = *task.deadline() - now;
    post(std::move(declare));
    detail::patiently([&] { declared_.emplace(task.id(), chunk.task); });
  }
  ChunkMessage message;
  message.serial = serial;
  message.granted = granted;
  message.task = task.id();
  message.first = chunk.first;
  message.count = chunk.count;
  give_values(chunk.input->resources(), message.values);
  message.bytes = chunk.bytes();
  post(std::move(message));
}

void RemoteHost::sweep() {
  std::erase_if(declared_, [this](auto const& entry) {
    auto const task = entry.second.lock();
    bool const needed = ledger.holds(entry.first) || (task && !task->ended());
    if (!needed) post(Forget{entry.first});
    return !needed;
  });
  std::uint64_t const now = detail::Resource::ended();
  if (std::exchange(ended_resources_, now) == now) return;
  DropValues dropped;
  std::erase_if(values_, [&](auto const& entry) {
    if (!entry.second.expired()) return false;
    detail::patiently([&] { dropped.ids.push_back(entry.first); });
    return true;
  });
  if (!dropped.ids.empty()) post(std::move(dropped));
}

void RemoteHost::send(Link& link, TimePoint now) {
  if (state == State::lost) return;
  while (auto bytes = conversation.next()) {
    detail::patiently([&] { link.send(peer, std::move(*bytes)); });
    sent = now;
  }
}

}  // namespace procpool::inline v0_1::cluster
