// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#include "top/screen.hpp"

#include <poll.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <ctime>
#include <string>
#include <string_view>

namespace procpool::inline v0_1::top {
namespace {

constexpr std::string_view begin = "\x1b[?1049h\x1b[?25l";  // the second screen, without a cursor
constexpr std::string_view end = "\x1b[?25h\x1b[?1049l";
constexpr std::string_view home = "\x1b[H";
constexpr std::string_view clear_line = "\x1b[K\r\n";
constexpr std::string_view clear_rest = "\x1b[J";

// The end of the program by default, and no fault of its own.
constexpr std::array ending_signals{SIGINT,    SIGTERM, SIGHUP,  SIGQUIT, SIGALRM,
                                    SIGUSR1,   SIGUSR2, SIGXCPU, SIGPROF, SIGVTALRM,
                                    SIGSTKFLT, SIGIO,   SIGPWR};
constexpr std::array faults{SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT, SIGSYS, SIGTRAP, SIGXFSZ};

volatile sig_atomic_t ended = 0;
volatile sig_atomic_t stopped = 0;
volatile sig_atomic_t continued = 0;

termios before{};

void write_all(std::string_view text) noexcept {
  while (!text.empty()) {
    ssize_t const written = ::write(STDOUT_FILENO, text.data(), text.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) return;
    text.remove_prefix(static_cast<std::size_t>(written));
  }
}

// These two are safe in a handler.
void take() noexcept {
  termios keys = before;
  keys.c_lflag &= ~static_cast<tcflag_t>(ICANON | ECHO);
  // First: in the background it stops the program, which then has written nothing.
  ::tcsetattr(STDIN_FILENO, TCSANOW, &keys);
  write_all(begin);
}
void restore() noexcept {
  write_all(end);
  ::tcsetattr(STDIN_FILENO, TCSANOW, &before);
}

void note_end(int /*signal*/) { ended = 1; }
void note_stop(int /*signal*/) { stopped = 1; }
void note_continued(int /*signal*/) { continued = 1; }
void note_size(int /*signal*/) {}
// The action is the default one again, and the signal comes when this returns.
void end_by(int signal) {
  restore();
  ::raise(signal);
}

void on(int signal, void (*handler)(int), int flags = 0) noexcept {
  struct sigaction action{};
  action.sa_handler = handler;
  action.sa_flags = flags;
  ::sigaction(signal, &action, nullptr);
}

// Until somebody continues the program.
void stop() noexcept {
  restore();
  on(SIGTSTP, SIG_DFL);
  ::raise(SIGTSTP);
  sigset_t only;
  sigemptyset(&only);
  sigaddset(&only, SIGTSTP);
  ::sigprocmask(SIG_UNBLOCK, &only, nullptr);  // here it stops
  ::sigprocmask(SIG_BLOCK, &only, nullptr);
  on(SIGTSTP, note_stop);
  // Others may have set it meanwhile.
  ::tcgetattr(STDIN_FILENO, &before);
  take();
}

}  // namespace

bool Screen::is_there() noexcept {
  return ::isatty(STDIN_FILENO) == 1 && ::isatty(STDOUT_FILENO) == 1;
}

Screen::Screen() {
  // They arrive in wait() alone, where nothing is half written.
  sigset_t signals;
  sigemptyset(&signals);
  auto const note = [&](int signal, void (*handler)(int)) {
    sigaddset(&signals, signal);
    on(signal, handler);
  };
  for (int const signal : ending_signals) note(signal, note_end);
  for (int signal = SIGRTMIN; signal <= SIGRTMAX; ++signal) note(signal, note_end);
  note(SIGTSTP, note_stop);
  note(SIGCONT, note_continued);
  note(SIGWINCH, note_size);
  ::sigprocmask(SIG_BLOCK, &signals, nullptr);
  ::tcgetattr(STDIN_FILENO, &before);
  for (int const signal : faults) on(signal, end_by, static_cast<int>(SA_RESETHAND));
  take();
}

Screen::~Screen() {
  for (int const signal : faults) on(signal, SIG_DFL);
  restore();
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
  std::size_t const shown = lines.size() <= room ? lines.size() : room - 1;
  for (std::size_t i = 0; i < shown; ++i) {
    text += lines[i];
    text += clear_line;
  }
  if (shown < lines.size()) {
    text += std::to_string(lines.size() - shown) + " more lines";
    text += clear_line;
  }
  text += clear_rest;
  write_all(text);
}

bool Screen::wait(std::chrono::milliseconds time) {
  if (ended_) return false;
  pollfd key{STDIN_FILENO, POLLIN, 0};
  timespec const limit{static_cast<std::time_t>(time.count() / 1000),
                       static_cast<long>(time.count() % 1000 * 1'000'000)};
  sigset_t none;
  sigemptyset(&none);
  if (::ppoll(&key, 1, &limit, &none) > 0) {
    char pressed = 0;
    if (::read(STDIN_FILENO, &pressed, 1) != 1 || pressed == 'q' || pressed == 'Q') ended_ = true;
  }
  if (ended != 0) ended_ = true;
  if (!ended_ && stopped != 0) {
    stopped = 0;
    stop();
    continued = 0;
  } else if (!ended_ &&
             continued != 0) {  // it was stopped by force, and a shell may have set its own modes
    continued = 0;
    take();
  }
  return !ended_;
}

}  // namespace procpool::inline v0_1::top
