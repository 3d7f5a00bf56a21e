// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// Text and metadata of PDFs from strangers, by poppler. Each file has a process, some memory and some
// seconds for itself, and the report says which file ended how, and where.

#include <poppler-document.h>
#include <poppler-page.h>

#include <algorithm>
#include <filesystem>
#include <iostream>
#include <memory>
#include <procpool.hpp>
#include <sstream>
#include <stdexcept>
#include <string>
#include <vector>

#include "inputs/pdf.hpp"

namespace fs = std::filesystem;
using namespace std::chrono_literals;

struct Facts {
  std::string title;
  int pages = 0, words = 0;
};

Facts facts_of(fs::path const& file) {
  std::unique_ptr<poppler::document> const document(
      poppler::document::load_from_file(file.string()));
  if (!document) throw std::runtime_error("it is no PDF");
  Facts facts{document->get_title().to_latin1(), document->pages()};
  for (int i = 0; i < facts.pages; ++i) {
    std::unique_ptr<poppler::page> const page(document->create_page(i));
    std::istringstream text(page->text().to_latin1());  // poppler gives null for a damaged page
    for (std::string word; text >> word;) ++facts.words;
  }
  return facts;
}

// The innermost function with a name, without its parameters.
std::string place(procpool::WorkerDied const& died) {
  for (procpool::StackFrame const& frame : died.stack()) {
    if (!frame.function.empty()) return frame.function.substr(0, frame.function.find('('));
  }
  return "code without a name";
}

std::string reason(procpool::Outcome<Facts> const& outcome) {
  procpool::Failure const& failure = outcome.error();
  if (failure.kind() == procpool::FailureKind::timed_out) return "took too long";
  bool const out_of_memory = outcome.output().find("Out of memory") != std::string::npos;
  if (failure.as<std::bad_alloc>() || out_of_memory) return "wanted too much memory";
  if (auto const* died = failure.as<procpool::WorkerDied>()) return "crashed in " + place(*died);
  return failure.what();
}

int main() {
  inputs::Folder const folder;
  inputs::write_pdfs(folder);
  std::vector<fs::path> files(fs::directory_iterator(folder.path()), fs::directory_iterator());
  std::ranges::sort(files);

  procpool::ProcessPool pool{{.workers = 2,
                              .name = "pdfs",
                              .lifetime = {.max_tasks = 1},
                              .limits = {.memory = 128 << 20},
                              .output = {.mode = procpool::Output::capture},
                              .defaults = {.timeout = 3s}}};
  std::size_t number = 0;
  for (auto const& outcome : pool.outcomes().imap<facts_of>(files)) {
    std::cout << files[number++].filename().string() << ": "
              << (outcome ? outcome->title + ", " + std::to_string(outcome->words) + " words"
                          : reason(outcome))
              << '\n';
  }
}
