// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// Items from process to process.

#include <optional>
#include <procpool.hpp>
#include <utility>

#include "procpool/tasks.hpp"
#include "support/item_shapes.hpp"

namespace bench {
namespace {

class Ours {
 public:
  void push(Item const& item) { queue_.push(item); }
  Item pop() { return *queue_.pop(); }

 private:
  procpool::Queue<Item> queue_;
};

using PipeEnd = procpool::PipeEnd<Item>;

class OurEnd {
 public:
  explicit OurEnd(PipeEnd end) : end_(std::move(end)) {}

  void send(Item const& item) { end_.send(item); }
  Item receive() { return end_.receive().value(); }

 private:
  PipeEnd end_;
};

void answer_in_process(PipeEnd end) {
  OurEnd here(std::move(end));
  try {
    answer_items(here);
  } catch (std::bad_optional_access const&) {
    // The measuring process has closed its end.
  }
}

// Our end, and the process that has the other.
class OurPipe {
 public:
  OurPipe() : OurPipe(procpool::make_pipe<Item>()) {}

  void send(Item const& item) { end_.send(item); }
  Item receive() { return end_.receive(); }

 private:
  explicit OurPipe(std::pair<PipeEnd, PipeEnd> ends)
      : process_(answer_in_process, std::move(ends.second)), end_(std::move(ends.first)) {}

  procpool::Process<void> process_;
  OurEnd end_;  // closed first
};

[[maybe_unused]] bool const added = [] {
  add_item_cases(ours, [] { return Ours(); });
  add_pipe_cases(ours, [] { return OurPipe(); });
  return true;
}();

}  // namespace
}  // namespace bench
