// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#pragma once

// PDF files: one as it should be, and some as strangers send them.

#include <initializer_list>
#include <string>
#include <string_view>
#include <vector>

#include "folder.hpp"

namespace inputs {

inline std::string pdf_stream(std::string_view content, std::string_view entries = "") {
  return "<< /Length " + std::to_string(content.size()) + ' ' + std::string(entries) +
         " >>\nstream\n" + std::string(content) + "\nendstream";
}

// A file of these objects. The first is the catalog, the second has the metadata.
inline std::string pdf(std::vector<std::string> const& objects) {
  std::string file = "%PDF-1.4\n", table;
  for (std::size_t i = 0; i < objects.size(); ++i) {
    std::string const offset = std::to_string(file.size());
    table += std::string(10 - offset.size(), '0') + offset + " 00000 n \n";
    file += std::to_string(i + 1) + " 0 obj\n" + objects[i] + "\nendobj\n";
  }
  std::string const count = std::to_string(objects.size() + 1);
  std::string const begin = std::to_string(file.size());
  return file + "xref\n0 " + count + "\n0000000000 65535 f \n" + table + "trailer\n<< /Size " +
         count + " /Root 1 0 R /Info 2 0 R >>\nstartxref\n" + begin + "\n%%EOF\n";
}

// One page, of a tree that says that it has `pages`. Each of ten forms draws the next one ten times.
inline std::string one_page(std::string_view title, int pages, std::string_view content,
                            std::string_view entries = "") {
  std::vector<std::string> objects{
      "<< /Type /Catalog /Pages 3 0 R >>",
      "<< /Title (" + std::string(title) + ") >>",
      "<< /Type /Pages /Kids [4 0 R] /Count " + std::to_string(pages) + " >>",
      "<< /Type /Page /Parent 3 0 R /MediaBox [0 0 600 800] /Contents 5 0 R /Resources"
      " << /Font << /F 6 0 R >> /XObject << /X 7 0 R >> >> >>",
      pdf_stream(content, entries),
      "<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>"};
  for (int next = 8; next <= 17; ++next) {
    objects.push_back(
        pdf_stream(next == 17 ? "" : "/X Do /X Do /X Do /X Do /X Do /X Do /X Do /X Do /X Do /X Do",
                   "/Type /XObject /Subtype /Form /BBox [0 0 600 800] /Resources"
                   " << /XObject << /X " +
                       std::to_string(next) + " 0 R >> >>"));
  }
  return pdf(objects);
}

inline void write_pdfs(Folder const& folder) {
  std::string const text = "BT /F 12 Tf 50 700 Td (The quick brown fox) Tj ET";
  folder.write("a-report.pdf", one_page("Report", 1, text));
  // The second page is missing.
  folder.write("b-pages.pdf", one_page("Pages", 2, text));
  // A thousand million forms, which draw nothing.
  folder.write("c-bomb.pdf", one_page("Bomb", 1, "/X Do"));
  // Its text has lines of 250 MB, it says.
  folder.write("d-wide.pdf", one_page("Wide", 1, text,
                                      "/Filter /FlateDecode"
                                      " /DecodeParms << /Predictor 15 /Columns 250000000 >>"));
  // No PDF.
  folder.write("e-page.pdf", "<html>404 Not Found</html>\n");
  folder.write("f-invoice.pdf", one_page("Invoice", 1, text));
}

}  // namespace inputs
