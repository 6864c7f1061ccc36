#include "sparse_update/scheme_file.h"

#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>

#include "engine/graph/error.h"
#include "engine/graph/replace_file.h"

namespace tinytl {
namespace {

using Json = nlohmann::ordered_json;
using Kind = SchemeEntry::Kind;

constexpr const char* kForms =
    "an entry is \"NAME\", {\"weight\": \"NAME\", \"channels\": 0.25}, {\"conv\": 24, "
    "\"channels\": 0.5}, {\"last_biases\": 22} or {\"last_layers\": 6}";

// A file being read; `place` says where in it.
class Reader {
 public:
  explicit Reader(std::string source) : source_(std::move(source)) {}

  SchemeFile read(const Json& json) {
    SchemeFile scheme{.source = source_};
    if (!json.is_object()) fail("a scheme is an object, {\"train\": [...]}");
    for (const auto& [key, value] : json.items()) {
      if (key == "train") {
        read_train(value, scheme);
      } else if (key == "name" || key == "comment") {
        if (!value.is_string()) fail("\"" + key + "\" takes a text, not " + value.dump());
        (key == "name" ? scheme.name : scheme.comment) = value;
      } else {
        fail("unknown key \"" + key + "\"; a scheme has \"train\", \"name\" and \"comment\"");
      }
    }
    if (!json.contains("train")) fail("has no \"train\", the list of what trains");
    return scheme;
  }

 private:
  [[noreturn]] void fail(const std::string& message) const {
    throw InputError(source_ + ": " + place_ + message);
  }

  void read_train(const Json& list, SchemeFile& scheme) {
    if (!list.is_array()) fail("\"train\" takes a list, not " + list.dump());
    for (size_t i = 0; i < list.size(); ++i) {
      place_ = "entry " + std::to_string(i + 1) + ", " + list[i].dump() + ": ";
      scheme.train.push_back(entry_of(list[i]));
    }
    place_.clear();
  }

  SchemeEntry entry_of(const Json& json) {
    if (json.is_string()) return {.kind = Kind::kTensors, .pattern = json};
    if (!json.is_object()) fail(kForms);
    std::optional<SchemeEntry> entry;
    for (const auto& [key, value] : json.items()) {
      if (key == "channels") continue;
      if (entry.has_value()) fail(std::string("takes one of its keys at a time; ") + kForms);
      entry = named(key, value);
    }
    if (!entry.has_value()) fail(kForms);
    if (json.contains("channels")) read_channels(json.at("channels"), *entry);
    return *entry;
  }

  SchemeEntry named(const std::string& key, const Json& value) {
    if (key == "weight") {
      if (!value.is_string()) fail("\"weight\" takes a name");
      return {.kind = Kind::kWeight, .pattern = value};
    }
    const Kind kind = key == "conv"          ? Kind::kConvolution
                      : key == "last_biases" ? Kind::kLastBiases
                      : key == "last_layers" ? Kind::kLastLayers
                                             : Kind::kTensors;
    if (kind == Kind::kTensors) fail("unknown key \"" + key + "\"; " + kForms);
    if (!value.is_number_integer() || value.get<int64_t>() < 0) {
      fail("\"" + key + "\" takes a whole number from 0");
    }
    return {.kind = kind, .number = value};
  }

  void read_channels(const Json& value, SchemeEntry& entry) {
    if (entry.kind != Kind::kWeight && entry.kind != Kind::kConvolution) {
      fail("\"channels\" belongs to \"weight\" or \"conv\"");
    }
    entry.channels = value.is_number() ? value.get<double>() : -1;
    if (!(entry.channels >= 0 && entry.channels <= 1)) {
      fail(
          "\"channels\" takes the part of the input channels that trains, above 0 and at most 1 "
          "(0: none)");
    }
  }

  const std::string source_;
  std::string place_;
};

}  // namespace

SchemeFile parse_scheme(std::string_view text, const std::string& source) {
  Json json;
  try {
    json = Json::parse(text);
  } catch (const Json::exception& error) {
    throw InputError(source + ": is no JSON: " + error.what());
  }
  return Reader(source).read(json);
}

SchemeFile read_scheme(const std::filesystem::path& file) {
  std::ifstream in(file, std::ios::binary);
  std::ostringstream text;
  if (in) text << in.rdbuf();
  if (!in) {
    throw InputError(file.string() + ": cannot be read; --scheme takes a scheme file, or last:K");
  }
  return parse_scheme(text.str(), file.string());
}

std::string to_text(const SchemeEntry& entry) {
  switch (entry.kind) {
    case Kind::kTensors:
      return Json(entry.pattern).dump();
    case Kind::kLastBiases:
      return "{\"last_biases\": " + std::to_string(entry.number) + "}";
    case Kind::kLastLayers:
      return "{\"last_layers\": " + std::to_string(entry.number) + "}";
    case Kind::kWeight:
    case Kind::kConvolution:
      break;
  }
  const std::string what = entry.kind == Kind::kWeight
                               ? "{\"weight\": " + Json(entry.pattern).dump()
                               : "{\"conv\": " + std::to_string(entry.number);
  return what + ", \"channels\": " + Json(entry.channels).dump() + "}";
}

std::string to_text(const SchemeFile& scheme) {
  std::string text = "{\n";
  if (!scheme.name.empty()) text += "  \"name\": " + Json(scheme.name).dump() + ",\n";
  if (!scheme.comment.empty()) text += "  \"comment\": " + Json(scheme.comment).dump() + ",\n";
  text += "  \"train\": [";
  for (size_t i = 0; i < scheme.train.size(); ++i) {
    text += (i > 0 ? ",\n    " : "\n    ") + to_text(scheme.train[i]);
  }
  return text + "\n  ]\n}\n";
}

void write_scheme(const std::filesystem::path& file, const SchemeFile& scheme) {
  replace_file(file, to_text(scheme));
}

}  // namespace tinytl
