// expect: the class of this actor has no constructor for these arguments
#include <procpool.hpp>
struct Counter {
  explicit Counter(int first);
};
void use(procpool::ProcessPool& pool) { auto counter = pool.actor<Counter>("text", 2); }
