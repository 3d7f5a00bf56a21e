// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// A host that may have only little memory. Arguments: "data" or "address_space" (RLIMIT_DATA,
// RLIMIT_AS), how many KiB more than it has when main begins, and when: "early", so that its
// workers may have no more either, or "late", when the pool has its workers and only the program is
// poor. The pool works, or says in a typed error what it lacks, and works on where there is enough.
// Status 0: it worked. 10: it said so.

#include <sys/resource.h>

#include <fstream>
#include <new>
#include <string_view>

#include "common.hpp"

namespace {

constexpr std::size_t large = std::size_t{24} << 20;

std::string make(std::size_t size) { return std::string(size, 'm'); }
std::size_t size_of(std::string const& text) { return text.size(); }

// In KiB, as the kernel counts it for the limit.
rlim_t used(std::string const& field) {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);) {
    if (line.starts_with(field)) return std::strtoul(line.c_str() + field.size(), nullptr, 10);
  }
  return 0;
}

void limit_to(std::string_view what, rlim_t more) {
  bool const data = what == "data";
  rlimit limit{};
  ::getrlimit(data ? RLIMIT_DATA : RLIMIT_AS, &limit);
  limit.rlim_cur = (used(data ? "VmData:" : "VmSize:") + more) * 1024;
  programs::check(::setrlimit(data ? RLIMIT_DATA : RLIMIT_AS, &limit) == 0, "the limit");
}

// True: it went well. False: there was no memory, and it was said so.
template <class Call>
bool well(Call&& call) {
  try {
    call();
    return true;
  } catch (std::bad_alloc const&) {  // the caller's own lack
  } catch (procpool::SetupError const& error) {
    std::fprintf(stderr, "%s\n", error.what());
  }
  return false;
}

int use_a_pool(bool late, std::string_view what, rlim_t more) {
  using programs::check;
  procpool::ProcessPool pool{2};
  if (late) {
    for (int i = 0; i < 20; ++i) check(pool.call<programs::square>(i) == i * i, "a call");
    limit_to(what, more);
  }
  bool all = true;
  bool small = true;
  for (int i = 0; i < 2; ++i) {
    all &= well([&] { check(pool.call<make>(large).size() == large, "a large result"); });
    all &= well([&] { check(pool.call<size_of>(make(large)) == large, "a large argument"); });
    small &= well([&] {
      for (int k = 0; k < 20; ++k) check(pool.call<programs::square>(k) == k * k, "a small call");
    });
  }
  // A pool with workers has enough memory for small messages.
  check(small || !late, "small calls go on");
  return all && small ? 0 : 10;
}

}  // namespace

int main(int argc, char** argv) {
  programs::check(argc == 4, "three arguments");
  std::string_view const what = argv[1];
  auto const more = static_cast<rlim_t>(std::atol(argv[2]));
  bool const late = std::string_view(argv[3]) == "late";
  if (!late) limit_to(what, more);
  int status = 10;
  well([&] { status = use_a_pool(late, what, more); });
  return status;
}
