// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// A host whose files may have only so many KiB (RLIMIT_FSIZE), which holds for shared memory too:
// the kernel refuses it, and sends SIGXFSZ along, which ends a program that knows nothing of it.
// Arguments: how many KiB, and when it is limited: "early", so that its workers are too, or "late",
// when the pool has its workers. The pool works, or says in a typed error what it lacks. Status 0:
// it worked. 10: it said so.

#include <sys/resource.h>

#include <string_view>

#include "common.hpp"

namespace {

constexpr std::size_t large = std::size_t{4} << 20;

std::string make(std::size_t size) { return std::string(size, 'm'); }
std::size_t size_of(std::string const& text) { return text.size(); }

// False: it was said what is missing.
template <class Call>
bool well(Call&& call) {
  try {
    call();
    return true;
  } catch (procpool::SetupError const& error) {
    std::fprintf(stderr, "%s\n", error.what());
  } catch (std::system_error const& error) {  // the worker's own lack
    std::fprintf(stderr, "%s\n", error.what());
  }
  return false;
}

int use_a_pool(bool late, rlim_t most) {
  using programs::check;
  auto const limit = [most] {
    rlimit const bytes{most, most};
    check(::setrlimit(RLIMIT_FSIZE, &bytes) == 0, "the limit");
  };
  if (!late) limit();
  procpool::ProcessPool pool{1};
  bool all = true;
  if (late) {
    check(pool.call<programs::square>(3) == 9, "a call before");
    limit();
  }
  for (int i = 0; i < 2; ++i) {
    all &= well([&] { check(pool.call<programs::square>(i) == i * i, "a call"); });
    all &= well([&] { check(pool.call<size_of>(make(large)) == large, "a large argument"); });
    all &= well([&] { check(pool.call<make>(large).size() == large, "a large result"); });
    all &= well([&] { check(pool.submit<size_of>(make(large)).get() == large, "a submit"); });
  }
  // A pool with workers goes on with small messages.
  check(!late || pool.call<programs::square>(5) == 25, "a small call goes on");
  check(!late || pool.stats().worker_deaths == 0, "the worker lives");
  return all ? 0 : 10;
}

}  // namespace

int main(int argc, char** argv) {
  programs::check(argc == 3, "two arguments");
  auto const most = static_cast<rlim_t>(std::atol(argv[1])) * 1024;
  int status = 10;
  well([&] { status = use_a_pool(std::string_view(argv[2]) == "late", most); });
  return status;
}
