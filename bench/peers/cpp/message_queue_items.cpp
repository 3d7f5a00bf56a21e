// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// boost::interprocess::message_queue as a queue of items. It loses its name as soon as it is made, and
// the children inherit it.

#include <boost/interprocess/ipc/message_queue.hpp>
#include <memory>
#include <string>

#include "support/item_shapes.hpp"

namespace bench {
namespace {

namespace ipc = boost::interprocess;

class MessageQueue {
 public:
  MessageQueue() {
    static int made = 0;
    auto const name =
        "procpool-bench-items-" + std::to_string(getpid()) + "-" + std::to_string(made++);
    ipc::message_queue::remove(name.c_str());
    queue_ =
        std::make_unique<ipc::message_queue>(ipc::create_only, name.c_str(), 1024, sizeof(Item));
    ipc::message_queue::remove(name.c_str());
  }
  void push(Item const& item) { queue_->send(&item, sizeof item, 0); }
  Item pop() {
    Item item;
    ipc::message_queue::size_type got = 0;
    unsigned priority = 0;
    queue_->receive(&item, sizeof item, got, priority);
    return item;
  }

 private:
  std::unique_ptr<ipc::message_queue> queue_;
};

[[maybe_unused]] bool const added = [] {
  add_item_cases("boost message_queue", [] { return MessageQueue(); });
  return true;
}();

}  // namespace
}  // namespace bench
