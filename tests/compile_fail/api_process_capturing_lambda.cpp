// expect: this callable has captures
#include <procpool.hpp>
void use(int n) {
  procpool::Process process{[n] { return n; }};
}
