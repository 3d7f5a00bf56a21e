// expect: not_serializable<Item
#include <procpool.hpp>
struct Item {
  int* number;
};
void use() { procpool::Queue<Item> const queue; }
