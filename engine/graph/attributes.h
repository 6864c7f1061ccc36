// The constants of a node: strides, pads, an axis, a slope. Few, small, looked up by name. Copies
// share them: the nodes of a gradient and of a copied graph cost no more memory.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <variant>
#include <vector>

namespace tinytl {

class Attributes {
 public:
  using Value = std::variant<int64_t, float, std::vector<int64_t>, std::vector<float>>;
  using Items = std::vector<std::pair<std::string, Value>>;

  Attributes() = default;
  Attributes(std::initializer_list<Items::value_type> list);

  void set(std::string name, Value value);  // copies all of them
  bool has(std::string_view name) const { return find(name) != nullptr; }

  // The attribute of that name and kind; it must exist. Never allocates.
  int64_t integer(std::string_view name) const;
  float number(std::string_view name) const;
  std::span<const int64_t> integers(std::string_view name) const;
  std::span<const float> numbers(std::string_view name) const;

  const Items& items() const;

 private:
  const Value* find(std::string_view name) const;
  template <class Kind>
  const Kind& get(std::string_view name) const;
  std::shared_ptr<const Items> items_;  // null: none
};

}  // namespace tinytl
