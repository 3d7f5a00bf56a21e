// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#pragma once

// Stands for a library that nobody may change: an image whose rows may lie apart, with the names of
// cv::Mat.

#include <cstddef>
#include <vector>

namespace vision {

class Mat {
 public:
  int rows = 0;
  int cols = 0;
  int type() const { return type_; }
  std::size_t elemSize() const { return 1; }
  void create(int new_rows, int new_cols, int new_type) {
    rows = new_rows;
    cols = new_cols;
    type_ = new_type;
    bytes_.assign(static_cast<std::size_t>(rows), Row(static_cast<std::size_t>(cols)));
  }
  unsigned char* ptr(int row) { return bytes_[static_cast<std::size_t>(row)].data(); }

 private:
  using Row = std::vector<unsigned char>;
  int type_ = 0;
  std::vector<Row> bytes_;
};

}  // namespace vision
