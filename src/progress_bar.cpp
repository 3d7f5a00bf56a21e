// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#include <procpool/progress.hpp>

#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <memory>
#include <utility>

#include "os/text.hpp"

namespace procpool::inline v0_1 {
namespace {

using std::chrono::duration;
using Clock = std::chrono::steady_clock;

// Eight updates a second leave room for the last one, which comes when it comes.
constexpr std::chrono::milliseconds between_updates{125};

std::string number(double value) {
  char text[32];
  char const* const unit = value >= 1e9 ? "G" : value >= 1e6 ? "M" : value >= 1e4 ? "k" : "";
  double const scale = value >= 1e9 ? 1e9 : value >= 1e6 ? 1e6 : value >= 1e4 ? 1e3 : 1;
  double const scaled = value / scale;
  std::snprintf(text, sizeof text, scaled < 10 ? "%.1f%s" : "%.0f%s", scaled, unit);
  return text;
}

std::string time(double seconds) {
  char text[32];
  auto const whole = std::llround(std::min(seconds, 359'999.0));
  if (whole >= 3600) {
    std::snprintf(text, sizeof text, "%lld:%02lld:%02lld", whole / 3600, whole / 60 % 60,
                  whole % 60);
  } else {
    std::snprintf(text, sizeof text, "%lld:%02lld", whole / 60, whole % 60);
  }
  return text;
}

class Bar {
 public:
  Bar(std::FILE* stream, std::string const& label) : stream_(stream), label_(os::one_line(label)) {}

  void show(Progress const& progress) {
    auto const now = Clock::now();
    if (!progress.finished && shown_ && now - *shown_ < between_updates) return;
    shown_ = now;
    std::string line = detail::progress_line(label_, progress);
    std::size_t const length = line.size();
    if (length < length_) line.append(length_ - length, ' ');  // over what stood there
    length_ = length;
    line = "\r" + line + (progress.finished ? "\n" : "");
    std::fwrite(line.data(), 1, line.size(), stream_);
    std::fflush(stream_);
  }

 private:
  std::FILE* const stream_;
  std::string const label_;
  std::optional<Clock::time_point> shown_;
  std::size_t length_ = 0;
};

}  // namespace

namespace detail {

std::string progress_line(std::string const& label, Progress const& progress) {
  std::string line = label.empty() ? "" : label + ": ";
  line += std::to_string(progress.done);
  if (progress.total) {
    line += " of " + std::to_string(*progress.total);
    if (*progress.total != 0) {
      line += " (" + std::to_string(progress.done * 100 / *progress.total) + "%)";
    }
  }
  double const elapsed = duration<double>(progress.elapsed).count();
  if (progress.done != 0 && elapsed > 0) {
    double const rate = static_cast<double>(progress.done) / elapsed;
    line += ", " + number(rate) + "/s";
    if (progress.finished) {
      line += ", " + time(elapsed);
    } else if (progress.total) {
      auto const left =
          static_cast<double>(*progress.total - std::min(progress.done, *progress.total));
      line += ", " + time(left / rate) + " left";
    }
  }
  if (progress.failed != 0) line += ", " + std::to_string(progress.failed) + " failed";
  if (progress.cancelled != 0) line += ", " + std::to_string(progress.cancelled) + " cancelled";
  return line;
}

ProgressCallback progress_bar_on(std::FILE* stream, std::string label, bool even_if_no_terminal) {
  if (!even_if_no_terminal && ::isatty(::fileno(stream)) == 0) return [](Progress const&) {};
  return [bar = std::make_shared<Bar>(stream, label)](Progress const& progress) {
    bar->show(progress);
  };
}

}  // namespace detail

ProgressCallback progress_bar(std::string label) {
  return detail::progress_bar_on(stderr, std::move(label), false);
}

}  // namespace procpool::inline v0_1
