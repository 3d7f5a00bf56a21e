// expect: CallOptions
#include <procpool.hpp>
auto view(procpool::ProcessPool& pool) { return pool.with({.chnk = 5}); }
