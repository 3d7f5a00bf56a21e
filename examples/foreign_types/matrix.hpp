// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#pragma once

// Stands for a library that nobody may change: a matrix, with the names of Eigen.

#include <cstddef>
#include <vector>

namespace linear {

class MatrixXd {
 public:
  MatrixXd() = default;
  MatrixXd(long rows, long cols) { resize(rows, cols); }
  void resize(long rows, long cols) {
    rows_ = rows;
    cols_ = cols;
    values_.assign(static_cast<std::size_t>(rows * cols), 0);
  }
  long rows() const { return rows_; }
  long cols() const { return cols_; }
  long size() const { return rows_ * cols_; }
  double* data() { return values_.data(); }
  double& operator()(long i, long j) { return values_[static_cast<std::size_t>(i * cols_ + j)]; }

 private:
  long rows_ = 0;
  long cols_ = 0;
  std::vector<double> values_;
};

}  // namespace linear
