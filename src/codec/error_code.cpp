// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#include "codec/error_code.hpp"

#include <cstdint>
#include <functional>
#include <future>
#include <ios>
#include <map>
#include <memory>
#include <new>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>

#include <procpool/detail/codec/archive/error_codes.hpp>
#include <procpool/detail/engine/mutex.hpp>

#include "identity/category.hpp"
#include "identity/code_wire.hpp"
#include "os/text.hpp"

namespace procpool::inline v0_1::detail {
namespace {

constexpr std::size_t max_name = 64;
constexpr std::size_t max_path = 2048;
constexpr std::size_t max_bytes = 4096;  // of a category in a value

enum class Category : std::uint8_t { named, generic, system, iostream, future, placed };

std::error_category const* standard_category(Category which) {
  switch (which) {
    case Category::generic: return &std::generic_category();
    case Category::system: return &std::system_category();
    case Category::iostream: return &std::iostream_category();
    case Category::future: return &std::future_category();
    case Category::named:
    case Category::placed: break;
  }
  return nullptr;
}

// A category as bytes.
struct Written {
  explicit Written(std::error_category const& category) {
    for (Category const standard :
         {Category::generic, Category::system, Category::iostream, Category::future}) {
      if (&category == standard_category(standard)) which = standard;
    }
    char const* const said = category.name();
    name = os::cut(said != nullptr ? said : "", max_name);
    if (which == Category::named) place = identity::locate_category(category);
    if (place && place->path.size() > max_path) place.reset();
    if (place) which = Category::placed;
  }

  Category which = Category::named;
  std::string name;
  std::optional<identity::CodeRef> place;
};

// The number of an error code of a category that is not known here stays right, and so does the
// name of its category.
class ForeignCategory final : public std::error_category {
 public:
  explicit ForeignCategory(std::string name) : name_(std::move(name)) {}
  char const* name() const noexcept override { return name_.c_str(); }
  std::string message(int value) const override {
    return "error " + std::to_string(value) + " of a category that this process does not have";
  }

 private:
  std::string const name_;
};

// One per name, for ever: codes refer to them. Not more than so many, whatever workers say.
std::error_category const& foreign_category(std::string_view said) {
  constexpr std::size_t most = 64;
  struct ForeignCategories {
    Mutex mutex;
    std::map<std::string, ForeignCategory const*, std::less<>> categories
        PROCPOOL_GUARDED_BY(mutex);
  };
  static auto& known = *new ForeignCategories;
  std::string const name = os::one_line(os::cut(said, max_name));
  Lock const lock(known.mutex);
  auto const found = known.categories.find(name);
  if (found != known.categories.end()) return *found->second;
  if (known.categories.size() >= most) {
    static ForeignCategory const& any = *new ForeignCategory("worker");
    return any;
  }
  auto category = std::make_unique<ForeignCategory>(name);
  known.categories.emplace(name, category.get());
  return *category.release();
}

std::error_category const& found_or_foreign(Category which, std::string_view name,
                                            identity::CodeRef const& place) {
  std::error_category const* const category =
      which == Category::placed ? identity::find_category(place) : standard_category(which);
  return category != nullptr ? *category : foreign_category(name);
}

}  // namespace

void write_code(os::WireWriter<Bytes>& writer, std::error_code const& code) {
  Written const category(code.category());
  writer.number(category.which);
  writer.text(category.name);
  writer.number(static_cast<std::int32_t>(code.value()));
  if (category.place) identity::write(writer, *category.place);
}

std::error_code read_code(os::WireReader& reader) {
  auto const which = reader.number<Category>();
  std::string const name = os::cut(reader.text(), max_name);
  int const value = reader.number<std::int32_t>();
  identity::CodeRef place;
  if (which == Category::placed) place = identity::read_code_ref(reader);
  if (reader.bad()) return {};
  return {value, found_or_foreign(which, name, place)};
}

void save_category(Sink& out, std::error_category const& category) {
  Written const written(category);
  out.scalar(written.which);
  if (standard_category(written.which) != nullptr) return;
  Bytes bytes;
  os::WireWriter<Bytes> writer(bytes);
  writer.text(written.name);
  if (written.place) identity::write(writer, *written.place);
  out.count(bytes.size());
  out.write(bytes.data(), bytes.size());
}

std::error_category const& load_category(Source& in) {
  auto const which = in.scalar<Category>();
  if (auto const* const standard = standard_category(which)) return *standard;
  auto const size = in.count(1);
  if (which > Category::placed || size > max_bytes) {
    refuse("procpool: an error code in a message has a category of an unknown kind");
  }
  Bytes bytes(size);
  in.read(bytes.data(), size);
  os::WireReader reader(bytes);
  std::string const name = os::cut(reader.text(), max_name);
  identity::CodeRef place;
  bool whole = true;
  if (which == Category::placed) {
    try {
      place = identity::read_code_ref(reader);
    } catch (std::runtime_error const&) {
      whole = false;
    }
  }
  if (!whole || reader.bad() || !reader.rest().empty()) {
    refuse("procpool: the category of an error code in a message is malformed");
  }
  return found_or_foreign(which, name, place);
}

}  // namespace procpool::inline v0_1::detail
