#include "tinytl/cli/plan_label.h"

#include <algorithm>

#include "tinytl/cli/console.h"
#include "tinytl/cli/plan_xml.h"

namespace tinytl::cli {

std::optional<FittedLabel> fit_label(const std::string& name, size_t bytes, double length,
                                     double thickness) {
  constexpr int kSmallest = 9, kLargest = 12;
  constexpr size_t kFewest = 12;  // characters below which a shortened name says nothing
  const int largest = std::min(kLargest, static_cast<int>(thickness - 2));
  const std::string amount = bytes_text(bytes);
  const size_t name_size = character_count(name), amount_size = amount.size();
  const auto room = [&](int size) {
    return static_cast<size_t>(std::max(0.0, (length - 8) / (kCharacterWidth * size)));
  };
  for (int size = largest; size >= kSmallest && name_size > 0; --size) {
    const bool two_lines = thickness >= 2.6 * size;
    if (two_lines && std::max(name_size, amount_size) <= room(size)) {
      return FittedLabel{{name, amount}, size};
    }
    if (name_size + 2 + amount_size <= room(size)) return FittedLabel{{name + "  " + amount}, size};
  }
  for (int size = largest; size >= kSmallest && name_size > 0; --size) {
    if (name_size <= room(size)) return FittedLabel{{name}, size};
    const bool still_tells = room(size) >= std::max(kFewest, 3 * name_size / 4);
    if (still_tells) return FittedLabel{{shortened(name, room(size))}, size};
  }
  for (int size = largest; size >= kSmallest; --size) {
    if (amount_size <= room(size)) return FittedLabel{{amount}, size};
  }
  return std::nullopt;
}

}  // namespace tinytl::cli
