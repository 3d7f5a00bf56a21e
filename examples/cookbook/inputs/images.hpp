// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#pragma once

// Images: two as they should be, and some as strangers send them.

#include <cstdio>
// jpeglib.h needs the header above.
#include <jpeglib.h>
#include <png.h>
#include <zlib.h>

#include <cstdlib>
#include <string>
#include <vector>

namespace inputs {

struct Image {
  std::string name;
  std::string bytes;
};

// Grey, darker from left to right.
inline std::vector<unsigned char> ramp(unsigned width, unsigned height) {
  std::vector<unsigned char> pixels(std::size_t{width} * height);
  for (std::size_t i = 0; i < pixels.size(); ++i) {
    pixels[i] = static_cast<unsigned char>(255 - i % width * 255 / width);
  }
  return pixels;
}

inline std::string jpeg(unsigned width, unsigned height) {
  jpeg_compress_struct encoder{};
  jpeg_error_mgr errors{};
  encoder.err = jpeg_std_error(&errors);
  jpeg_create_compress(&encoder);
  unsigned char* bytes = nullptr;
  unsigned long size = 0;
  jpeg_mem_dest(&encoder, &bytes, &size);
  encoder.image_width = width;
  encoder.image_height = height;
  encoder.input_components = 1;
  encoder.in_color_space = JCS_GRAYSCALE;
  jpeg_set_defaults(&encoder);
  jpeg_start_compress(&encoder, TRUE);
  std::vector<unsigned char> pixels = ramp(width, height);
  while (encoder.next_scanline < height) {
    JSAMPROW row = &pixels[std::size_t{encoder.next_scanline} * width];
    jpeg_write_scanlines(&encoder, &row, 1);
  }
  jpeg_finish_compress(&encoder);
  jpeg_destroy_compress(&encoder);
  std::string file(bytes, bytes + size);
  std::free(bytes);
  return file;
}

inline std::string png(unsigned width, unsigned height) {
  png_image image{};
  image.version = PNG_IMAGE_VERSION;
  image.width = width;
  image.height = height;
  image.format = PNG_FORMAT_GRAY;
  std::string file(PNG_IMAGE_PNG_SIZE_MAX(image), '\0');
  std::size_t size = file.size();
  png_image_write_to_memory(&image, file.data(), &size, 0, ramp(width, height).data(), 0, nullptr);
  file.resize(size);
  return file;
}

// The same file with another size in its header, whose check sum is right.
inline std::string claims(std::string file, unsigned width, unsigned height) {
  constexpr std::size_t header = 12;  // type and content lie there
  auto const put = [&](std::size_t at, unsigned long value) {
    for (int i = 3; i >= 0; --i, value >>= 8) file[at + i] = static_cast<char>(value & 0xff);
  };
  put(header + 4, width);
  put(header + 8, height);
  put(header + 17, ::crc32(0, reinterpret_cast<Bytef const*>(&file[header]), 17));
  return file;
}

inline std::vector<Image> images() {
  std::string const photo = jpeg(400, 300), chart = png(300, 200);
  return {{"photo.jpg", photo},
          {"chart.png", chart},
          {"half.jpg", photo.substr(0, photo.size() / 2)},
          {"half.png", chart.substr(0, chart.size() / 2)},
          {"huge.png", claims(chart, 30'000, 30'000)},
          {"page.jpg", "<html>404 Not Found</html>\n"},
          {"last.jpg", photo}};
}

}  // namespace inputs
