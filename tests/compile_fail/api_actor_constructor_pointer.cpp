// expect: it holds a raw pointer
#include <procpool.hpp>
struct Counter {
  explicit Counter(int* first);
};
void use(procpool::ProcessPool& pool, int* first) { auto counter = pool.actor<Counter>(first); }
