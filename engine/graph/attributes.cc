#include "engine/graph/attributes.h"

#include <algorithm>

#include "engine/graph/error.h"

namespace tinytl {

Attributes::Attributes(std::initializer_list<Items::value_type> list)
    : items_(list.size() == 0 ? nullptr : std::make_shared<const Items>(list)) {}

const Attributes::Items& Attributes::items() const {
  static const Items none;
  return items_ == nullptr ? none : *items_;
}

const Attributes::Value* Attributes::find(std::string_view name) const {
  for (const auto& [key, value] : items()) {
    if (key == name) return &value;
  }
  return nullptr;
}

void Attributes::set(std::string name, Value value) {
  Items changed = items();
  const auto old = std::ranges::find(changed, name, &Items::value_type::first);
  if (old != changed.end()) {
    old->second = std::move(value);
  } else {
    changed.emplace_back(std::move(name), std::move(value));
  }
  changed.shrink_to_fit();
  items_ = std::make_shared<const Items>(std::move(changed));
}

template <class Kind>
const Kind& Attributes::get(std::string_view name) const {
  const Value* value = find(name);
  TT_ASSERT(value != nullptr && std::holds_alternative<Kind>(*value));
  return std::get<Kind>(*value);
}

int64_t Attributes::integer(std::string_view name) const { return get<int64_t>(name); }
float Attributes::number(std::string_view name) const { return get<float>(name); }
std::span<const int64_t> Attributes::integers(std::string_view name) const {
  return get<std::vector<int64_t>>(name);
}
std::span<const float> Attributes::numbers(std::string_view name) const {
  return get<std::vector<float>>(name);
}

}  // namespace tinytl
