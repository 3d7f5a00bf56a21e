// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// expect: has virtual functions, whose table is elsewhere there
#include <boost/interprocess/containers/vector.hpp>
#include <procpool.hpp>
#include <procpool/shared_object.hpp>
struct Shape {
  virtual ~Shape() = default;
};
procpool::SharedObject<boost::interprocess::vector<Shape, procpool::ObjectAllocator<Shape>>> shapes;
