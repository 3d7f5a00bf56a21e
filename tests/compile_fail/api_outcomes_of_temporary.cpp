// expect: this pool is gone at the end of the expression
// expect: call outcomes() on that
#include <procpool.hpp>
auto view() { return procpool::ProcessPool(2).outcomes(); }
