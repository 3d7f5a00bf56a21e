#pragma once

// ProcessTitle: what `ps` and `top` show of a worker: the pool's name, its index, and the function that
// runs. Written into the argument that the parent left room in: no system call. For the worker's loop;
// whoever reads it meanwhile may see half of a change.

#include <string>
#include <string_view>

namespace procpool::inline v0::worker {

// What the parent adds to the argument that names the worker.
std::string title_space();

class ProcessTitle {
 public:
  // `argument` is null, or what the parent gave: the name and the space.
  explicit ProcessTitle(char* argument) noexcept;
  // The same, where the argument has another name, no shorter, in the place of this one.
  ProcessTitle(char* argument, std::string const& name) noexcept;

  // Nothing: idle.
  void show(std::string_view what) noexcept;

  // What the kernel calls the process: "POOL/ROLE", the pool's name cut so that it has 15 bytes.
  static void name_process(std::string const& pool, std::string const& role) noexcept;

 private:
  char* begin_ = nullptr;
  std::size_t room_ = 0;
};

// The name of a function as people would write it, from that of its callable's type.
std::string short_name(std::string_view callable_type);

}  // namespace procpool::inline v0::worker
