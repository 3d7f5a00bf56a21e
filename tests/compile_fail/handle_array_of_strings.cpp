// expect: must be plain bytes
#include <procpool.hpp>
#include <string>
procpool::SharedArray<std::string> names(10);
