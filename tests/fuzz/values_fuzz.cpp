// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// Results of the standard library's types.

#include <bitset>
#include <chrono>
#include <complex>
#include <deque>
#include <filesystem>
#include <forward_list>
#include <list>
#include <map>
#include <optional>
#include <random>
#include <set>
#include <string>
#include <system_error>
#include <unordered_map>
#include <valarray>
#include <variant>
#include <vector>

#include <boost/optional.hpp>

#include "fuzz/decoding.hpp"

namespace {

struct Empty {
  bool operator==(Empty const&) const = default;
};

template <class T>
struct Tag {};
struct Point : Tag<Point> {
  bool known;
  std::string name;
};

using All =
    fuzz::Types<std::string, std::u32string, std::vector<int>, std::vector<std::string>,
                std::vector<std::vector<double>>, std::vector<bool>,
                std::vector<std::pair<bool, char>>, std::deque<short>, std::list<std::string>,
                std::forward_list<int>, std::array<std::string, 2>, std::set<int>,
                std::multiset<std::string>, std::map<std::string, std::vector<int>>,
                std::unordered_map<int, std::string>, std::unordered_multimap<int, int>,
                std::optional<std::vector<std::string>>, std::optional<bool>,
                std::variant<std::monostate, int, std::string, std::vector<double>>,
                std::pair<int, std::string>, std::tuple<bool, char, std::string>, std::bitset<11>,
                std::complex<float>, std::chrono::nanoseconds, std::filesystem::path, long double,
                std::vector<Empty>, std::list<std::monostate>, std::vector<std::optional<bool>>,
                std::error_code, std::error_condition, std::chrono::year_month_day,
                std::chrono::year_month_weekday_last, std::valarray<double>, std::valarray<bool>,
                std::valarray<std::string>, std::mt19937, std::ranlux24, std::knuth_b,
                std::minstd_rand, boost::optional<std::string>, Point>;

}  // namespace

void fuzz::run(std::span<std::byte const> input) { All::decode(input); }

std::vector<fuzz::Bytes> fuzz::seeds() {
  return All::seeds("text", U"wide", {1, 2, 3}, {"a", "", "c"}, {{1}, {}, {2, 3}},
                    {true, false, true, true, false, true, true, true, true},
                    {{true, 'a'}, {false, 'b'}}, {1, 2, 3}, {"x", "y"}, {1, 2}, {"p", "q"}, {3, 1},
                    {"m", "m"}, {{"a", {1}}, {"b", {}}}, {{1, "x"}, {2, "y"}}, {{1, 2}, {1, 3}},
                    std::vector<std::string>{"z"}, true, std::string("variant"), {1, "a"},
                    {true, 'c', "d"}, std::bitset<11>(0x5a5), {1, 2}, std::chrono::nanoseconds(5),
                    "/a/b c", 1.25L, std::vector<Empty>(3), std::list<std::monostate>(2),
                    {true, std::nullopt}, std::make_error_code(std::errc::timed_out),
                    std::make_error_condition(std::io_errc::stream),
                    std::chrono::year(2026) / 11 / 30,
                    std::chrono::year(2026) / 11 / std::chrono::Friday[std::chrono::last], {1, 2.5},
                    {true, false}, {"a", ""}, std::mt19937(), std::ranlux24(), std::knuth_b(),
                    std::minstd_rand(), std::string("x"), {{}, true, "p"});
}
