// A program that ends while pools exist: a global one, a static one, and one that nobody destroys.
// With the argument "busy" the last has a task that never ends.

#include <string_view>

#include "common.hpp"

namespace {

procpool::ProcessPool global{2};

procpool::ProcessPool& local_static() {
  static procpool::ProcessPool pool{2};
  return pool;
}

}  // namespace

int main(int argc, char** argv) {
  programs::check(global.call<programs::square>(2) == 4, "the global pool");
  programs::check(local_static().call<programs::square>(3) == 9, "the static pool");
  static auto* const leaked = new procpool::ProcessPool(2);
  ::dprintf(STDOUT_FILENO, "%d\n", static_cast<int>(leaked->call<programs::who>()));
  if (argc > 1 && std::string_view(argv[1]) == "busy") {
    static auto const never = leaked->submit([] {
      for (;;) ::pause();
    });
  }
  std::exit(0);
}
