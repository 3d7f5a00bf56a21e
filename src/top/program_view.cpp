// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#include "top/program_view.hpp"

#include <cerrno>
#include <chrono>
#include <utility>

#include "os/text.hpp"
#include "top/columns.hpp"
#include "top/process_table.hpp"

namespace procpool::inline v0_1::top {
namespace {

// A pool whose dispatcher gets no processor for so long is told as one that does not answer.
constexpr std::chrono::seconds patience{2};

}  // namespace

ProgramView::ProgramView(pid_t pid) : pid_(pid), in_our_namespace_(top::in_our_namespace(pid)) {}

std::vector<std::string> ProgramView::lines(std::size_t columns, LiveViewReader::Wait const& wait) {
  // Of a zombie the system says that it has no descriptors, or that they must not be seen.
  if (is_zombie(pid_)) throw std::system_error(ESRCH, std::generic_category());
  std::vector<std::string> lines{os::one_line(program_of(pid_)) + ", process " +
                                 std::to_string(pid_)};
  if (!in_our_namespace_) {
    lines.emplace_back(
        "PIDs are those of the program's own namespace, so CPU and MEMORY are missing");
  }
  std::size_t const head = lines.size();
  std::map<std::uint64_t, PoolTable> tables;
  for (LiveViewReader& reader : LiveViewReader::of(pid_)) {
    lines.emplace_back();
    if (!reader.known()) {
      why_none_ =
          "a pool of another version of procpool: look with the procpool-top of that version";
      lines.push_back(why_none_);
      continue;
    }
    auto view = reader.look(patience, wait);
    if (!view) {
      why_none_ = "a pool that does not answer: it has ended, or its program is stopped";
      lines.push_back(why_none_);
      continue;
    }
    any_ = true;
    PoolTable table;
    if (auto const known = tables_.find(reader.id()); known != tables_.end())
      table = std::move(known->second);
    auto usages = usages_of(*view);
    table.update(*std::move(view), std::move(usages));
    for (std::string& line : table.lines()) lines.push_back(std::move(line));
    tables.emplace(reader.id(), std::move(table));
  }
  if (lines.size() == head) {
    why_none_ =
        any_ ? "its pools have ended" : "no pool works here: none has begun, or all have ended";
    lines.emplace_back();
    lines.push_back(why_none_);
  }
  tables_ = std::move(tables);
  for (std::string& line : lines) line = fit(line, columns);
  return lines;
}

PoolTable::Usages ProgramView::usages_of(protocol::LiveView const& view) const {
  PoolTable::Usages usages;
  // Numbers of processes in another namespace mean others here.
  if (!in_our_namespace_) return usages;
  for (auto const& worker : view.workers) {
    if (worker.pid <= 0) continue;
    if (auto const usage = usage_of(worker.pid)) usages.emplace(worker.pid, *usage);
  }
  return usages;
}

}  // namespace procpool::inline v0_1::top
