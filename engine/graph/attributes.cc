#include "engine/graph/attributes.h"

#include "engine/graph/error.h"

namespace tinytl {

const Attributes::Value* Attributes::find(std::string_view name) const {
  for (const auto& [key, value] : items_) {
    if (key == name) return &value;
  }
  return nullptr;
}

void Attributes::set(std::string name, Value value) {
  for (auto& [key, old] : items_) {
    if (key == name) {
      old = std::move(value);
      return;
    }
  }
  items_.emplace_back(std::move(name), std::move(value));
}

int64_t Attributes::integer(std::string_view name) const {
  const Value* value = find(name);
  TT_ASSERT(value != nullptr && std::holds_alternative<int64_t>(*value));
  return std::get<int64_t>(*value);
}

float Attributes::number(std::string_view name) const {
  const Value* value = find(name);
  TT_ASSERT(value != nullptr && std::holds_alternative<float>(*value));
  return std::get<float>(*value);
}

std::span<const int64_t> Attributes::integers(std::string_view name) const {
  const Value* value = find(name);
  TT_ASSERT(value != nullptr && std::holds_alternative<std::vector<int64_t>>(*value));
  return std::get<std::vector<int64_t>>(*value);
}

}  // namespace tinytl
