// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#include "parent/exit_handler.hpp"

#include <exception>
#include <string>

#include "engine/describe.hpp"
#include "parent/core.hpp"

namespace procpool::inline v0_1::parent {

void ExitHandler::send(Core& core, std::size_t worker) {
  Slot& slot = core.slots[worker];
  due_ = true;
  try {
    // There is no room while a revocation is under way.
    if (call_.send(slot, *core.options.start.exit_handler) == Slot::Put::full) return;
  } catch (std::exception const& error) {
    core.log("pool \"" + core.name + "\": the exit handler could not be sent to worker " +
             std::to_string(worker) + ": " + error.what());
  }
  due_ = false;
  slot.ask_to_leave();
}

void ExitHandler::report(Core const& core, std::size_t worker) const {
  if (!call_.sent()) return;
  std::string const name =
      "pool \"" + core.name + "\": the exit handler of worker " + std::to_string(worker);
  if (call_.ended()) {
    if (auto const error = call_.error()) core.log(name + " failed: " + describe(error));
  } else if (!core.is_killing()) {
    core.log(name + " had not ended within " +
             std::to_string(core.options.shutdown.stop_grace.count()) + " ms");
  }
}

}  // namespace procpool::inline v0_1::parent
