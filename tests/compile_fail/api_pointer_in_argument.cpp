// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// expect: raw pointer
// expect: procpool_argument<1, Matrix>
#include <procpool.hpp>
struct Matrix {
  int rows;
  double* numbers;
};
double determinant(int precision, Matrix const& matrix);
double use(procpool::ProcessPool& pool, Matrix const& matrix) {
  return pool.submit<determinant>(3, matrix).get();
}
