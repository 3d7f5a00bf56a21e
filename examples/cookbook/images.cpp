// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// Images of strangers, by libjpeg and libpng as their manuals begin: no error handler, no setjmp.
// A library that calls exit() ends a worker, and a header that asks for a gigabyte gets none.

#include <cstdio>  // jpeglib.h needs it
#include <iostream>
#include <numeric>
#include <procpool.hpp>
#include <stdexcept>
#include <string>
#include <vector>

#include <jpeglib.h>
#include <png.h>
#include "inputs/images.hpp"

struct Picture {
  unsigned width, height;
  std::vector<unsigned char> grey = std::vector<unsigned char>(std::size_t{width} * height);
};

Picture decode_jpeg(std::string const& bytes) {
  jpeg_decompress_struct decoder{};
  jpeg_error_mgr errors{};
  decoder.err = jpeg_std_error(&errors);  // prints, and calls exit()
  jpeg_create_decompress(&decoder);
  jpeg_mem_src(&decoder, reinterpret_cast<unsigned char const*>(bytes.data()), bytes.size());
  jpeg_read_header(&decoder, TRUE);
  decoder.out_color_space = JCS_GRAYSCALE;
  jpeg_start_decompress(&decoder);
  Picture picture{decoder.output_width, decoder.output_height};
  while (decoder.output_scanline < picture.height) {
    JSAMPROW row = &picture.grey[std::size_t{decoder.output_scanline} * picture.width];
    jpeg_read_scanlines(&decoder, &row, 1);
  }
  jpeg_destroy_decompress(&decoder);
  return picture;
}

Picture decode_png(std::string const& bytes) {
  png_image image{};
  image.version = PNG_IMAGE_VERSION;
  png_image_begin_read_from_memory(&image, bytes.data(), bytes.size());
  image.format = PNG_FORMAT_GRAY;
  Picture picture{image.width, image.height};
  png_image_finish_read(&image, nullptr, picture.grey.data(), 0, nullptr);
  if (PNG_IMAGE_FAILED(image)) throw std::runtime_error(image.message);
  return picture;
}

// Small results: the size and the mean, and not the pixels.
std::string describe(inputs::Image const& image) {
  bool const is_png = image.name.ends_with(".png");
  Picture const picture = is_png ? decode_png(image.bytes) : decode_jpeg(image.bytes);
  long const sum = std::accumulate(picture.grey.begin(), picture.grey.end(), 0L);
  return std::to_string(picture.width) + " x " + std::to_string(picture.height) + ", mean grey " +
         std::to_string(sum / static_cast<long>(picture.grey.size()));
}

int main() {
  std::vector<inputs::Image> const images = inputs::images();
  procpool::ProcessPool pool{{.workers = 2,
                              .limits = {.memory = 256 << 20},
                              .output = {.mode = procpool::Output::capture}}};
  auto name = images.begin();
  for (auto const& outcome : pool.outcomes().imap<describe>(images)) {
    std::cout << (name++)->name << ": ";
    if (outcome) {
      std::cout << *outcome << '\n';
    } else if (auto const* died = outcome.error().as<procpool::WorkerDied>()) {
      std::cout << "exit(" << died->exit_status().value_or(-1) << ")\n";
    } else {
      std::cout << outcome.error().what() << '\n';
    }
    if (!outcome.output().empty()) std::cout << "  the library says: " << outcome.output();
  }
}
