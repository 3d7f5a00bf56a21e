// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#pragma once

// Screen: the terminal while procpool-top has it. A second screen, so that the first is there again at the end, also
// at the end by a signal, and while the program is stopped from the keyboard. One object, and one thread.

#include <chrono>
#include <cstddef>
#include <string>
#include <vector>

namespace procpool::inline v0_1::top {

class Screen {
 public:
  // Standard input and output are a terminal.
  static bool is_there() noexcept;

  Screen();
  Screen(Screen const&) = delete;
  Screen& operator=(Screen const&) = delete;
  ~Screen();

  struct Size {
    std::size_t lines;
    std::size_t columns;
  };
  Size size() const noexcept;
  // As many of the lines as there is room for. The last one says how many more there are.
  void show(std::vector<std::string> const& lines);
  // Blocks for this time, or until the window has another size or must be drawn again. False: q, or a signal that
  // ends programs. It stays false.
  bool wait(std::chrono::milliseconds time);

 private:
  bool ended_ = false;
};

}  // namespace procpool::inline v0_1::top
