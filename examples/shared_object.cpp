// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// A table that all tasks read in place, in memory that nobody can write to once it was built.

#include <boost/interprocess/containers/map.hpp>
#include <boost/interprocess/containers/string.hpp>
#include <boost/interprocess/containers/vector.hpp>
#include <boost/unordered_map.hpp>
#include <csignal>
#include <functional>
#include <iostream>
#include <procpool.hpp>
#include <procpool/shared_object.hpp>
#include <string>
#include <utility>
#include <vector>

namespace bip = boost::interprocess;
using procpool::ObjectAllocator;
using procpool::ObjectBuilder;

// Containers with relative pointers, which mean the same wherever the memory lies.
using Text = bip::basic_string<char, std::char_traits<char>, ObjectAllocator<char>>;
using Prices = boost::unordered_map<int, double, boost::hash<int>, std::equal_to<int>,
                                    ObjectAllocator<std::pair<int const, double>>>;
using Names = bip::map<Text, int, std::less<>, ObjectAllocator<std::pair<Text const, int>>>;

struct Catalogue {
  explicit Catalogue(ObjectBuilder& build)
      : prices(build.get_allocator<Prices::value_type>()),
        names(build.get_allocator<Names::value_type>()) {}

  Prices prices;  // of each article
  Names names;    // of some articles
};

Catalogue& build_catalogue(ObjectBuilder& build) {
  auto& catalogue = *build.construct<Catalogue>(bip::anonymous_instance)(build);
  for (int article = 0; article < 100'000; ++article) {
    catalogue.prices.emplace(article, 0.5 * (article % 1000));
  }
  catalogue.names.emplace(Text("lamp", build.get_allocator<char>()), 4711);
  catalogue.names.emplace(Text("chair", build.get_allocator<char>()), 99);
  return catalogue;
}

double price_of(Catalogue const& catalogue, int article) { return catalogue.prices.at(article); }

double price_by_name(Catalogue const& catalogue, std::string const& name) {
  auto const found = catalogue.names.find(name.c_str());
  return found == catalogue.names.end() ? 0 : catalogue.prices.at(found->second);
}

void give_a_discount(Catalogue const& catalogue) {
  const_cast<Catalogue&>(catalogue).prices.at(99) = 0;
}

int main() {
  // 1 GiB of address space. Memory is used as the object grows.
  auto const catalogue = procpool::share_object<Catalogue>(std::size_t{1} << 30, build_catalogue);

  procpool::ProcessPool pool{2};
  std::vector<int> const articles{1, 500, 99'999};
  double sum = 0;
  for (double price : pool.map(procpool::bind_front(price_of, catalogue), articles)) sum += price;
  std::cout << "together " << sum << '\n';
  std::cout << "the lamp " << pool.call<price_by_name>(catalogue, "lamp") << '\n';

  try {
    pool.call<give_a_discount>(catalogue);
  } catch (procpool::WorkerDied const& died) {
    std::cout << (died.signal() == SIGSEGV ? "nobody can write to it\n" : "another death\n");
  }
  std::cout << "the chair " << pool.call<price_by_name>(catalogue, "chair") << '\n';
}
