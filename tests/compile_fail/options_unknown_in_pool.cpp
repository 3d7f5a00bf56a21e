// expect: PoolOptions
#include <procpool.hpp>
procpool::ProcessPool pool{{.lifetime = {.max_task = 5}}};
