// Scheme files: what of a network trains, by name or number, as JSON that people write too.
//
//   {"name": "...", "comment": "...", "train": [
//     "blocks.11.*.bias",                                       tensors by name, * for anything
//     {"weight": "blocks.12.expand.weight", "channels": 0.25},  a quarter of its input channels
//     {"conv": 24, "channels": 0.5},                            the weight of convolution 24
//     {"last_biases": 22},                                      of the last 22 convolutions
//     {"last_layers": 6}]}                                      weights and biases of the last 6
//
// Convolutions, general and depthwise, count from 0 at the input, without the classifier, which
// always trains. "channels" is the part of the input channels of a weight that trains (of a
// depthwise one, of its channels): floor(part x channels), at least 1; all without it, none where
// it is 0. Those of the largest L2 norm are taken (Lin et al., NeurIPS 2022).
#pragma once

#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

namespace tinytl {

struct SchemeEntry {
  enum class Kind : uint8_t { kTensors, kWeight, kConvolution, kLastBiases, kLastLayers };
  Kind kind = Kind::kTensors;
  std::string pattern = {};  // of names: kTensors, kWeight
  int64_t number = 0;        // of the convolution, or how many of the last
  double channels = 1;       // part in [0, 1]: kWeight, kConvolution

  bool operator==(const SchemeEntry&) const = default;
};

struct SchemeFile {
  std::string source = {};              // for messages: the file's path
  std::string name = {}, comment = {};  // for people; may be empty
  std::vector<SchemeEntry> train = {};
};

// Throws InputError that names the file, the entry and what it should be.
SchemeFile read_scheme(const std::filesystem::path& file);
SchemeFile parse_scheme(std::string_view text, const std::string& source);

// One entry a line; what parse_scheme reads again. `parse_scheme(to_text(s)).train == s.train`.
std::string to_text(const SchemeFile& scheme);
// An entry as it stands in the file.
std::string to_text(const SchemeEntry& entry);

// So that the file is either the old one or the new one. Throws InputError.
void write_scheme(const std::filesystem::path& file, const SchemeFile& scheme);

}  // namespace tinytl
