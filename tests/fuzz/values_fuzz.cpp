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
#include <set>
#include <string>
#include <unordered_map>
#include <variant>
#include <vector>

#include "fuzz/decoding.hpp"

namespace {

struct Empty {
  bool operator==(Empty const&) const = default;
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
                std::vector<Empty>, std::list<std::monostate>, std::vector<std::optional<bool>>>;

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
                    {true, std::nullopt});
}
