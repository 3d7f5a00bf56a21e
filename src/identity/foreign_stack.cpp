// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#include "identity/foreign_stack.hpp"

#include <algorithm>

#include "identity/images.hpp"
#include "identity/mapped_files.hpp"
#include "identity/symbols.hpp"

namespace procpool::inline v0_1::identity {
namespace {

// The module of this process that was mapped from the same file.
Image const* same_here(ForeignStack::Module const& module, std::vector<Image> const& images,
                       std::vector<MappedFile> const& files) {
  for (MappedFile const& file : files) {
    if (file.device != module.device || file.inode != module.inode) continue;
    for (Image const& image : images) {
      auto const begin = image.base + image.segments.front().begin;
      if (begin >= file.begin && begin < file.end) return &image;
    }
  }
  return nullptr;
}

}  // namespace

std::vector<StackFrame> ForeignStack::named() const {
  std::vector<StackFrame> named(frames.size());
  for (std::size_t i = 0; i < frames.size(); ++i) {
    named[i].offset = frames[i].where;
    if (frames[i].module < modules.size()) named[i].module = modules[frames[i].module].path;
  }
  Generation seen;
  std::vector<Image> const images = all_images(seen);
  std::vector<MappedFile> const files = mapped_files();
  for (std::size_t m = 0; m < modules.size(); ++m) {
    Image const* const image = same_here(modules[m], images, files);
    if (image == nullptr) continue;
    std::vector<std::size_t> which;
    std::vector<std::uint64_t> offsets;
    for (std::size_t i = 0; i < frames.size(); ++i) {
      if (frames[i].module != m) continue;
      which.push_back(i);
      offsets.push_back(frames[i].where);
    }
    // The link leads to the file that really runs, also after it was renamed or deleted.
    auto names = function_names(image->main_program ? "/proc/thread-self/exe" : image->path.c_str(),
                                image->id, offsets);
    for (std::size_t i = 0; i < which.size(); ++i) {
      named[which[i]].module = image->path;
      named[which[i]].function = std::move(names[i]);
    }
  }
  return named;
}

}  // namespace procpool::inline v0_1::identity
