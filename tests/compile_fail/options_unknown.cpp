// expect: max_task
#include <procpool.hpp>
procpool::LifetimeOptions const options{.max_task = 5};
