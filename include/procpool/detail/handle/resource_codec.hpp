// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#pragma once

// A resource in a message: its id. Encoding and decoding a handle also collects its resource.

#include <cstdint>
#include <memory>

#include <procpool/detail/codec/codec.hpp>
#include <procpool/detail/handle/resource.hpp>

namespace procpool::inline v0_1::detail {

// Null: of an empty handle.
template <class R>
void save_resource(Sink& out, std::shared_ptr<R> const& resource) {
  if (resource) ResourceCollector::save(resource);
  out.scalar(resource ? resource->id() : std::uint64_t{0});
}

// Throws as R::find(id, about...), which also refuses the id of an empty handle.
template <class R, class... About>
std::shared_ptr<R> find_resource(std::uint64_t id, About const&... about) {
  auto found = R::find(id, about...);
  ResourceCollector::note(found);
  return found;
}
template <class R, class... About>
std::shared_ptr<R> load_resource(Source& in, About const&... about) {
  return find_resource<R>(in.scalar<std::uint64_t>(), about...);
}
// Null for an empty handle.
template <class R, class... About>
std::shared_ptr<R> load_resource_or_null(Source& in, About const&... about) {
  auto const id = in.scalar<std::uint64_t>();
  return id == 0 ? nullptr : find_resource<R>(id, about...);
}

}  // namespace procpool::inline v0_1::detail
