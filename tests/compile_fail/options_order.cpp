// expect: workers
// expect: order
#include <procpool.hpp>
#if defined(__clang__)
#pragma clang diagnostic error "-Wreorder-init-list"
#endif
procpool::PoolOptions const options{.name = "solver", .workers = 4};
