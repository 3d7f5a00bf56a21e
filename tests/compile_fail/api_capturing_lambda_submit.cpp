// expect: this callable has captures
#include <procpool.hpp>
int use(procpool::ProcessPool& pool, int offset) {
  return pool.submit([offset](int x) { return x + offset; }, 1).get();
}
