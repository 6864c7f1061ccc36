// The constants of a node: strides, pads, an axis, a slope. Few, small, looked up by name.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <span>
#include <string>
#include <utility>
#include <variant>
#include <vector>

namespace tinytl {

class Attributes {
 public:
  using Value = std::variant<int64_t, float, std::vector<int64_t>>;

  Attributes() = default;
  Attributes(std::initializer_list<std::pair<std::string, Value>> list) : items_(list) {}

  void set(std::string name, Value value);
  bool has(std::string_view name) const { return find(name) != nullptr; }

  // The attribute of that name and kind; it must exist. Never allocates.
  int64_t integer(std::string_view name) const;
  float number(std::string_view name) const;
  std::span<const int64_t> integers(std::string_view name) const;

  const std::vector<std::pair<std::string, Value>>& items() const { return items_; }

 private:
  const Value* find(std::string_view name) const;
  std::vector<std::pair<std::string, Value>> items_;
};

}  // namespace tinytl
