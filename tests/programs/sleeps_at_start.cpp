// A program whose workers never get as far as to say a word.

#include <chrono>

#include "common.hpp"

namespace {

bool const initialised = [] {
  if (procpool::in_worker()) {
    for (;;) ::pause();
  }
  return true;
}();

}  // namespace

int main() {
  procpool::ProcessPool pool{{.workers = 2, .start_timeout = std::chrono::milliseconds(200)}};
  auto future = pool.submit<programs::square>(1);
  auto const begin = std::chrono::steady_clock::now();
  std::string const text = programs::error_text<procpool::SetupError>([&] { future.get(); });
  programs::check(text.find("first word") != std::string::npos, "the reason is said in: " + text);
  programs::check(text.find("200 ms") != std::string::npos, "the time is said in: " + text);
  programs::check(std::chrono::steady_clock::now() - begin < std::chrono::seconds(20), "in time");
  programs::check(initialised, "this is the program");
}
