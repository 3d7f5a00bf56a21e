// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// A serialize for types of other libraries: a matrix as Eigen has it, and an image as cv::Mat, each
// by a free function. A class with private members has it as a member.

#include <boost/serialization/array_wrapper.hpp>
#include <cstddef>
#include <iostream>
#include <procpool.hpp>

#include "foreign_types/image.hpp"
#include "foreign_types/matrix.hpp"

namespace boost::serialization {

template <class Archive>
void serialize(Archive& archive, linear::MatrixXd& matrix, unsigned) {
  long rows = matrix.rows(), cols = matrix.cols();
  archive & rows & cols;
  if (Archive::is_loading::value) matrix.resize(rows, cols);
  archive& make_array(matrix.data(), static_cast<std::size_t>(matrix.size()));
}

template <class Archive>
void serialize(Archive& archive, vision::Mat& image, unsigned) {
  int rows = image.rows, cols = image.cols, type = image.type();
  archive & rows & cols & type;
  if (Archive::is_loading::value) image.create(rows, cols, type);
  std::size_t const bytes = static_cast<std::size_t>(cols) * image.elemSize();
  for (int row = 0; row < rows; ++row) archive& make_array(image.ptr(row), bytes);
}

}  // namespace boost::serialization

class Celsius {
 public:
  Celsius() = default;
  explicit Celsius(double degrees) : degrees_(degrees) {}
  double kelvin() const { return degrees_ + 273.15; }

 private:
  friend class boost::serialization::access;
  template <class Archive>
  void serialize(Archive& archive, unsigned) {
    archive & degrees_;
  }
  double degrees_ = 0;
};

linear::MatrixXd transposed(linear::MatrixXd matrix) {
  linear::MatrixXd result(matrix.cols(), matrix.rows());
  for (long i = 0; i < matrix.rows(); ++i)
    for (long j = 0; j < matrix.cols(); ++j) result(j, i) = matrix(i, j);
  return result;
}

vision::Mat inverted(vision::Mat image) {
  for (int row = 0; row < image.rows; ++row)
    for (int col = 0; col < image.cols; ++col) image.ptr(row)[col] ^= 255;
  return image;
}

double kelvin(Celsius const& temperature) { return temperature.kelvin(); }

int main() {
  procpool::ProcessPool pool{1};
  linear::MatrixXd matrix(2, 3);
  matrix(1, 2) = 5;
  auto result = pool.call<transposed>(matrix);
  std::cout << result.rows() << " x " << result.cols() << ", " << result(2, 1) << '\n';
  vision::Mat image;
  image.create(4, 8, 0);
  std::cout << int{pool.call<inverted>(image).ptr(3)[7]} << '\n';
  std::cout << pool.call<kelvin>(Celsius(20)) << '\n';
}
