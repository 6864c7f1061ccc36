#include "tinytl/train/learnt.h"

#include <algorithm>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "tinytl/methods/frozen_weights.h"
#include "tinytl/methods/prune_width.h"

namespace tinytl {
namespace {

// The option of tinytl-train that sets a field.
std::string flag_of(const std::string& field) {
  if (field == "mean" || field == "update" || field == "head" || field == "squash" ||
      field == "resolution" || field == "norm" || field == "width" || field == "precision" ||
      field == "requantize") {
    return "--" + field;
  }
  if (field == "deviation") return "--std";
  if (field == "new_head") return "--new-head";
  if (field == "lite") return "--lite-kernel, --lite-groups, --lite-expand or --lite-pool";
  if (field == "frozen_weights") return "--frozen-weights";
  if (field == "center_fraction") return "--center-fraction";
  return field;
}

constexpr const char* kFormat = "tinytl-learnt-2";

using Json = nlohmann::ordered_json;

// What training may change of a network.
bool is_learnt(Role role) { return is_parameter(role) || role == Role::kStatistic; }

// FNV-1a, 64 bits, eight bytes at a time where it can.
class Hash {
 public:
  void add(std::span<const std::byte> bytes) {
    size_t i = 0;
    for (; i + 8 <= bytes.size(); i += 8) {
      uint64_t word = 0;
      std::copy_n(bytes.data() + i, 8, reinterpret_cast<std::byte*>(&word));
      mix(word);
    }
    for (; i < bytes.size(); ++i) mix(static_cast<uint64_t>(bytes[i]));
    mix(bytes.size());
  }
  void add(std::string_view text) { add(std::as_bytes(std::span(text.data(), text.size()))); }
  uint64_t value() const { return hash_; }

 private:
  void mix(uint64_t word) {
    hash_ = (hash_ ^ word) * 0x100000001b3ull;
    hash_ ^= hash_ >> 29;
  }
  uint64_t hash_ = 0xcbf29ce484222325ull;
};

Json to_json(const LiteOptions& lite) {
  return {{"kernel", lite.kernel},
          {"groups", lite.groups},
          {"expand", lite.expand},
          {"pool", lite.pool},
          {"nominal_resolution", lite.nominal_resolution}};
}

LiteOptions lite_from(const Json& json) {
  return {.kernel = json.at("kernel"),
          .groups = json.at("groups"),
          .expand = json.at("expand"),
          .pool = json.at("pool"),
          .nominal_resolution = json.at("nominal_resolution")};
}

Json to_json(const LearntInfo& info) {
  return {{"model_fingerprint", info.model_fingerprint},
          {"update", info.update},
          {"lite", to_json(info.lite)},
          {"resolution", info.resolution},
          {"norm", info.norm},
          {"width", info.width},
          {"classes", info.classes},
          {"head", info.head},
          {"new_head", info.new_head},
          {"mean", info.normalisation.mean},
          {"deviation", info.normalisation.deviation},
          {"squash", info.squash},
          {"center_fraction", info.center_fraction},
          {"frozen_weights", info.frozen_weights},
          {"precision", info.precision},
          {"requantize", info.requantize}};
}

std::string to_text(const LearntInfo& info) {
  return to_json(info).dump(-1, ' ', false, Json::error_handler_t::replace);
}

// Of weights with 8 bits, training moves the integers, not their scales.
TensorType stored_type(const TensorType& type) {
  return type.dtype == DType::kQ8 ? TensorType{DType::kI8, type.shape} : type;
}

std::shared_ptr<Tensor> to_store(const Value& value) {
  const TensorType type = stored_type(value.type);
  if (type == value.type) return value.data;
  auto levels = std::make_shared<Tensor>(type);
  std::copy_n(value.data->bytes().begin(), type.bytes(), levels->bytes().begin());
  return levels;
}

void overwrite(const Value& value, const TensorFile& file, const std::filesystem::path& path) {
  const Tensor* stored = file.find(value.name);
  if (stored == nullptr) {
    throw InputError(path.string() + ": has no tensor \"" + value.name +
                     "\"; it was saved by a run with another --update or optimizer");
  }
  const TensorType type = stored_type(value.type);
  if (!(stored->type() == type)) {
    throw InputError(path.string() + ": tensor \"" + value.name + "\" is " +
                     to_string(stored->type()) + ", the network needs " + to_string(type));
  }
  const auto from = stored->bytes();
  std::copy(from.begin(), from.end(), value.data->bytes().begin());
}

}  // namespace

std::string fingerprint(const Graph& network) {
  Hash hash;
  for (const Value& value : network.values()) {
    if (!is_learnt(value.role)) continue;
    hash.add(value.name);
    hash.add(to_string(value.type));
    hash.add(value.data->bytes());
  }
  char text[17];
  std::snprintf(text, sizeof text, "%016llx", static_cast<unsigned long long>(hash.value()));
  return text;
}

TensorFile pack_learnt(const LearntInfo& info, std::span<const Value> trained) {
  TensorFile file;
  file.metadata["format"] = kFormat;
  file.metadata["info"] = to_text(info);
  for (const Value& value : trained) file.tensors.push_back({value.name, to_store(value)});
  return file;
}

LearntInfo unpack_info(const TensorFile& file, const std::filesystem::path& path) {
  const auto format = file.metadata.find("format");
  const auto text = file.metadata.find("info");
  if (format == file.metadata.end() || format->second != kFormat || text == file.metadata.end()) {
    throw InputError(path.string() + ": was not saved by tinytl-train (no \"" + kFormat +
                     "\" in its metadata)");
  }
  LearntInfo info;
  try {
    const Json json = Json::parse(text->second);
    info.model_fingerprint = json.at("model_fingerprint");
    info.update = json.at("update");
    info.lite = lite_from(json.at("lite"));
    info.resolution = json.at("resolution");
    info.norm = json.value("norm", info.norm);  // files older than the choice have none
    info.width = json.value("width", info.width);
    info.classes = json.at("classes").get<std::vector<std::string>>();
    info.head = json.at("head");
    info.new_head = json.at("new_head");
    info.normalisation.mean = json.at("mean");
    info.normalisation.deviation = json.at("deviation");
    info.squash = json.at("squash");
    info.center_fraction = json.at("center_fraction");
    info.frozen_weights = json.value("frozen_weights", "float");
    info.precision = json.value("precision", "float");
    info.requantize = json.value("requantize", "float");
  } catch (const Json::exception& error) {
    throw InputError(path.string() + ": its metadata is damaged: " + error.what());
  }
  if (!parse_norms(info.norm).has_value()) {
    throw InputError(path.string() + ": was learnt with --norm " + info.norm +
                     ", which this version does not know; a newer one made it");
  }
  if (info.precision != "float" && info.precision != "int8") {
    throw InputError(path.string() + ": was learnt with --precision " + info.precision +
                     ", which this version does not know; a newer one made it");
  }
  return info;
}

std::string first_difference(const LearntInfo& a, const LearntInfo& b) {
  const Json left = Json::parse(to_text(a)), right = Json::parse(to_text(b));
  for (const auto& [key, value] : left.items()) {
    if (value != right.at(key)) return flag_of(key);
  }
  return "";
}

void restore(std::span<const Value> values, const TensorFile& file,
             const std::filesystem::path& path) {
  for (const Value& value : values) overwrite(value, file, path);
}

LearntInfo read_learnt_info(const std::filesystem::path& learnt) {
  return unpack_info(read_safetensors(learnt), learnt);
}

AdaptedNetwork adapt(Graph network, const std::filesystem::path& learnt) {
  const TensorFile file = read_safetensors(learnt);
  if (file.metadata.contains("checkpoint")) {
    throw InputError(learnt.string() + ": is a checkpoint, for --resume; give the file of --save");
  }
  AdaptedNetwork result{.network = {}, .info = unpack_info(file, learnt)};
  const LearntInfo& info = result.info;
  if (info.model_fingerprint != fingerprint(network)) {
    throw InputError(learnt.string() + ": was learnt on another network than " + network.source +
                     "; give the model file that was trained");
  }
  network = prune_width(network, info.width);
  result.network = info.classes.empty()
                       ? keep_classifier(network, info.head)
                       : fit_classifier(network, static_cast<int64_t>(info.classes.size()),
                                        {.head = info.head, .replace = info.new_head, .seed = 0});
  const std::optional<Update> update = parse_update(info.update);
  if (!update.has_value()) {
    throw InputError(learnt.string() + ": was learnt by --update " + info.update +
                     ", which this version does not know");
  }
  const Norms norms = parse_norms(info.norm).value();  // the network was imported with them
  result.network = in_form_for(*update, std::move(result.network), info.lite, norms);
  std::vector<ValueId> trained;
  for (const NamedTensor& t : file.tensors) {
    const Value* value = result.network.graph.find(t.name);
    if (value == nullptr || !is_learnt(value->role)) {
      throw InputError(learnt.string() + ": tensor \"" + t.name + "\" is no parameter of " +
                       network.source);
    }
    overwrite(*value, file, learnt);
    trained.push_back(result.network.graph.id_of(t.name));
  }
  std::vector<ValueId> must_be_there = result.network.lite;
  if (result.network.is_new) {
    const auto& classifier = result.network.parameters;
    must_be_there.insert(must_be_there.end(), classifier.begin(), classifier.end());
  }
  const auto values = result.network.graph.values();
  for (size_t v = 0; v < values.size(); ++v) {
    if (values[v].role == Role::kStatistic) must_be_there.push_back(ValueId(v));
  }
  for (const ValueId id : must_be_there) {
    const Value& value = result.network.graph.value(id);
    if (file.find(value.name) == nullptr) {
      throw InputError(learnt.string() + ": has no tensor \"" + value.name +
                       "\" of new layers or norms; it was cut short by another program");
    }
  }
  const auto format = parse_frozen_weights(info.frozen_weights);
  if (!format.has_value()) {
    throw InputError(learnt.string() + ": stores frozen weights as \"" + info.frozen_weights +
                     "\", which this version does not know; a newer one made it");
  }
  network = {};  // what is packed now is freed tensor by tensor
  freeze_weights(result.network.graph, trained, *format);
  return result;
}

}  // namespace tinytl
