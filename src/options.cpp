#include <procpool/options.hpp>

#include <stdexcept>

namespace procpool::inline v0 {

std::size_t Count::checked(std::string_view what, std::size_t most) const {
  if (!negative_ && value_ >= 1 && value_ <= most) return static_cast<std::size_t>(value_);
  std::string const given =
      negative_ ? std::to_string(static_cast<std::int64_t>(value_)) : std::to_string(value_);
  throw std::invalid_argument("procpool: " + std::string(what) + " is " + given +
                              "; it must be from 1 to " + std::to_string(most));
}

}  // namespace procpool::inline v0
