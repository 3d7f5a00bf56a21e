// expect: declare the type procpool::as_bytes
#include <procpool.hpp>
class Point {
 public:
  int x() const { return x_; }

 private:
  int x_ = 0;
};
procpool::SharedValue<Point> point;
