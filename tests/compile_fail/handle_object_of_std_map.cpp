// expect: use boost::interprocess::map
#include <map>
#include <procpool.hpp>
#include <procpool/shared_object.hpp>
procpool::SharedObject<std::map<int, int>> table;
