// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#include "top/screen.hpp"

#include <poll.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <ctime>
#include <string_view>

namespace procpool::inline v0_1::top {
namespace {

constexpr std::string_view begin = "\x1b[?1049h\x1b[?25l";  // the second screen, without a cursor
constexpr std::string_view end = "\x1b[?25h\x1b[?1049l";
constexpr std::string_view home = "\x1b[H";
constexpr std::string_view clear_line = "\x1b[K\r\n";
constexpr std::string_view clear_rest = "\x1b[J";

constexpr std::array ending_signals{SIGINT, SIGTERM, SIGHUP};

volatile sig_atomic_t ended = 0;

void note_end(int /*signal*/) { ended = 1; }
void note_size(int /*signal*/) {}

void write_all(std::string_view text) noexcept {
  while (!text.empty()) {
    ssize_t const written = ::write(STDOUT_FILENO, text.data(), text.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) return;
    text.remove_prefix(static_cast<std::size_t>(written));
  }
}

}  // namespace

bool Screen::is_there() noexcept {
  return ::isatty(STDIN_FILENO) == 1 && ::isatty(STDOUT_FILENO) == 1;
}

Screen::Screen() {
  // They arrive in wait() alone, where nothing is half written.
  sigset_t signals;
  sigemptyset(&signals);
  struct sigaction action{};
  action.sa_handler = note_end;
  for (int const signal : ending_signals) {
    sigaddset(&signals, signal);
    ::sigaction(signal, &action, nullptr);
  }
  sigaddset(&signals, SIGWINCH);
  action.sa_handler = note_size;
  ::sigaction(SIGWINCH, &action, nullptr);
  ::sigprocmask(SIG_BLOCK, &signals, nullptr);

  ::tcgetattr(STDIN_FILENO, &before_);
  termios keys = before_;
  keys.c_lflag &= ~static_cast<tcflag_t>(ICANON | ECHO);
  ::tcsetattr(STDIN_FILENO, TCSANOW, &keys);
  write_all(begin);
}

Screen::~Screen() {
  write_all(end);
  ::tcsetattr(STDIN_FILENO, TCSANOW, &before_);
}

Screen::Size Screen::size() const noexcept {
  winsize window{};
  bool const known = ::ioctl(STDOUT_FILENO, TIOCGWINSZ, &window) == 0 && window.ws_col != 0;
  return known ? Size{window.ws_row, window.ws_col} : Size{24, 80};
}

void Screen::show(std::vector<std::string> const& lines) {
  std::string text(home);
  // The last line of the screen stays free: an end of line there would move everything.
  std::size_t const room = std::max<std::size_t>(size().lines, 2) - 1;
  for (std::size_t i = 0; i < lines.size() && i < room; ++i) {
    text += lines[i];
    text += clear_line;
  }
  text += clear_rest;
  write_all(text);
}

bool Screen::wait(std::chrono::milliseconds time) {
  pollfd key{STDIN_FILENO, POLLIN, 0};
  timespec const limit{static_cast<std::time_t>(time.count() / 1000),
                       static_cast<long>(time.count() % 1000 * 1'000'000)};
  sigset_t none;
  sigemptyset(&none);
  if (::ppoll(&key, 1, &limit, &none) > 0) {
    char pressed = 0;
    if (::read(STDIN_FILENO, &pressed, 1) != 1 || pressed == 'q' || pressed == 'Q') return false;
  }
  return ended == 0;
}

}  // namespace procpool::inline v0_1::top
