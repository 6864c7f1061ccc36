#include "tinytl/cli/plan_label.h"

#include <algorithm>

#include "tinytl/cli/console.h"
#include "tinytl/cli/plan_facts.h"
#include "tinytl/cli/plan_xml.h"

namespace tinytl::cli {
namespace {

constexpr int kSmallest = 9, kLargest = 12;

// The inside of a rectangle. Each way to fill it tries the largest letters first.
struct Room {
  double length = 0, thickness = 0;

  int largest() const { return std::min(kLargest, static_cast<int>(thickness - 2)); }
  size_t characters(int size) const {
    return static_cast<size_t>(std::max(0.0, (length - 8) / (kCharacterWidth * size)));
  }

  std::optional<FittedLabel> fit_both(const std::string& name, const std::string& amount) const {
    const size_t name_size = character_count(name);
    for (int size = largest(); size >= kSmallest && name_size > 0; --size) {
      const bool two_lines = thickness >= 2.6 * size;
      if (two_lines && std::max(name_size, amount.size()) <= characters(size)) {
        return FittedLabel{{name, amount}, size};
      }
      if (name_size + 2 + amount.size() <= characters(size)) {
        return FittedLabel{{name + "  " + amount}, size};
      }
    }
    return std::nullopt;
  }

  std::optional<FittedLabel> fit_name(const std::string& name) const {
    constexpr size_t kFewest = 12;  // characters below which a shortened name says nothing
    const size_t name_size = character_count(name);
    for (int size = largest(); size >= kSmallest && name_size > 0; --size) {
      if (name_size <= characters(size)) return FittedLabel{{name}, size};
      const bool still_tells = characters(size) >= std::max(kFewest, 3 * name_size / 4);
      if (still_tells) return FittedLabel{{shortened(name, characters(size))}, size};
    }
    return std::nullopt;
  }

  std::optional<FittedLabel> fit_amount(const std::string& amount) const {
    for (int size = largest(); size >= kSmallest; --size) {
      if (amount.size() <= characters(size)) return FittedLabel{{amount}, size};
    }
    return std::nullopt;
  }
};

}  // namespace

std::string short_name(const std::string& name) {
  const size_t piece = without_piece(name).size();
  if (piece == name.size()) return name;
  const size_t range = name.find(' ', piece + 1) + 1;  // behind " [channels "
  return name.substr(0, piece) + " [" + name.substr(range);
}

std::optional<FittedLabel> fit_label(const std::string& name, size_t bytes, double length,
                                     double thickness) {
  const Room room{length, thickness};
  const std::string amount = bytes_text(bytes), short_one = short_name(name);
  const std::string whole(without_piece(name));
  if (auto label = room.fit_both(short_one, amount)) return label;
  if (whole.size() < name.size()) {
    if (auto label = room.fit_both(whole, amount)) return label;
  }
  for (const std::string& words : {short_one, whole}) {
    if (auto label = room.fit_name(words)) return label;
  }
  return room.fit_amount(amount);
}

}  // namespace tinytl::cli
