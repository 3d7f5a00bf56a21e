// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// A table of a million numbers that workers read: a SharedObject, which they read in place, and a
// shared std::unordered_map, which each worker decodes for itself.

#include <boost/unordered_map.hpp>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <stdexcept>
#include <unordered_map>
#include <utility>

#include <procpool.hpp>
#include <procpool/shared_object.hpp>

#include "procpool/tasks.hpp"
#include "support/clock.hpp"
#include "support/program.hpp"

namespace bench {
namespace {

constexpr char const* decoded = "procpool (share)";

using InPlace =
    boost::unordered_map<std::uint64_t, double, boost::hash<std::uint64_t>, std::equal_to<>,
                         procpool::ObjectAllocator<std::pair<std::uint64_t const, double>>>;
using Copied = std::unordered_map<std::uint64_t, double>;

std::uint64_t entries_of(Measure const& measure) { return measure.tiny() ? 1000 : 1'000'000; }

template <class Table>
void fill(Table& table, std::uint64_t entries) {
  for (std::uint64_t i = 0; i < entries; ++i) table.emplace(i, 0.5 * static_cast<double>(i));
}

procpool::SharedObject<InPlace> make_in_place(std::uint64_t entries) {
  auto const build = [entries](procpool::ObjectBuilder& builder) -> InPlace& {
    auto& table = *builder.construct<InPlace>(boost::interprocess::anonymous_instance)(
        builder.get_allocator<InPlace::value_type>());
    fill(table, entries);
    return table;
  };
  return procpool::share_object<InPlace>(std::size_t{1} << 30, build);
}

procpool::Shared<Copied> make_copied(procpool::ProcessPool& pool, std::uint64_t entries) {
  Copied table;
  fill(table, entries);
  return pool.share(table);
}

struct Found {
  pid_t maker;
  double sum;
  double nanoseconds;  // per look-up
};

template <class Table>
Found look_up(Table const& table, std::uint64_t count) {
  Found found{::getpid(), 0, 0};
  std::uint64_t key = 1;
  auto const begin = now_ns();
  for (std::uint64_t i = 0; i < count; ++i) {
    key = key * 6364136223846793005U + 1442695040888963407U;
    found.sum += table.find((key >> 20) % table.size())->second;
  }
  found.nanoseconds = seconds_since(begin) * 1e9 / static_cast<double>(count);
  return found;
}

// From the call to its result, in a worker that has not had the table yet.
template <class Table, class Make>
void measure_open(Measure const& measure, Make make) {
  procpool::ProcessPool pool{1};
  Witness witness;
  for (int round = 0; round < measure.rounds(); ++round) {
    auto const table = make(pool, entries_of(measure));
    witness.saw(pool.call<empty>());
    auto const begin = now_ns();
    Found const found = pool.call<look_up<Table>>(table, std::uint64_t{1});
    measure.report(seconds_since(begin) * 1e6);
    witness.saw(found.maker);
    if (found.sum < 0) throw std::logic_error("this is another table");
  }
}

template <class Table, class Make>
void measure_look_ups(Measure const& measure, Make make) {
  procpool::ProcessPool pool{1};
  Witness witness;
  auto const table = make(pool, entries_of(measure));
  pool.call<look_up<Table>>(table, std::uint64_t{1000});
  for (int round = 0; round < measure.rounds(); ++round) {
    Found const found =
        pool.call<look_up<Table>>(table, measure.tiny() ? std::uint64_t{1000} : 1'000'000);
    witness.saw(found.maker);
    measure.report(found.nanoseconds);
  }
}

auto const in_place = [](procpool::ProcessPool&, std::uint64_t entries) {
  return make_in_place(entries);
};

Add const open_in_place("object_open", ours, "us",
                        [](Measure const& measure) { measure_open<InPlace>(measure, in_place); });
Add const open_copied("object_open", decoded, "us",
                      [](Measure const& measure) { measure_open<Copied>(measure, make_copied); });
Add const look_up_in_place("object_lookup", ours, "ns", [](Measure const& measure) {
  measure_look_ups<InPlace>(measure, in_place);
});
Add const look_up_copied("object_lookup", decoded, "ns", [](Measure const& measure) {
  measure_look_ups<Copied>(measure, make_copied);
});

}  // namespace
}  // namespace bench
