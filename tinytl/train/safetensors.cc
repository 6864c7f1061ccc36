#include "tinytl/train/safetensors.h"

#include <algorithm>
#include <cstring>
#include <fstream>
#include <nlohmann/json.hpp>

#include "engine/graph/error.h"
#include "engine/graph/replace_file.h"

namespace tinytl {
namespace {

using Json = nlohmann::ordered_json;

constexpr std::pair<DType, const char*> kTypes[] = {
    {DType::kF32, "F32"}, {DType::kI32, "I32"}, {DType::kI8, "I8"}};

const char* text_of(DType dtype) {
  for (const auto& [type, text] : kTypes) {
    if (type == dtype) return text;
  }
  TT_ASSERT(!"a safetensors file has no such element type");
  return "";
}

[[noreturn]] void fail(const std::filesystem::path& path, const std::string& what) {
  throw InputError(path.string() + ": " + what);
}

constexpr uint64_t kLengthBytes = 8;
constexpr uint64_t kMaxHeaderBytes = 100'000'000;

Json read_header(std::ifstream& in, const std::filesystem::path& path, uint64_t file_bytes,
                 uint64_t& header_bytes) {
  unsigned char length[kLengthBytes];
  in.read(reinterpret_cast<char*>(length), kLengthBytes);
  if (!in) fail(path, "is not a safetensors file: shorter than its 8-byte length");
  header_bytes = 0;
  for (size_t i = kLengthBytes; i-- > 0;) header_bytes = header_bytes << 8 | length[i];
  if (header_bytes > kMaxHeaderBytes || header_bytes + kLengthBytes > file_bytes) {
    fail(path, "is not a safetensors file, or was cut short");
  }
  std::string text(header_bytes, '\0');
  in.read(text.data(), static_cast<std::streamsize>(header_bytes));
  Json header = Json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (!header.is_object()) fail(path, "is not a safetensors file: its header is not JSON");
  return header;
}

using Range = std::pair<uint64_t, uint64_t>;  // begin and end of a tensor in the data

NamedTensor read_tensor(std::ifstream& in, const std::filesystem::path& path,
                        const std::string& name, const Json& entry, uint64_t data_begin,
                        uint64_t data_bytes, std::vector<Range>& ranges) {
  TensorType type;
  const std::string dtype = entry.at("dtype");
  bool known = false;
  for (const auto& [value, text] : kTypes) {
    if (dtype == text) {
      type.dtype = value;
      known = true;
    }
  }
  if (!known) fail(path, "tensor \"" + name + "\" has type " + dtype + ", which is not read here");
  uint64_t elements = 1;
  for (const int64_t d : entry.at("shape").get<std::vector<int64_t>>()) {
    if (d < 0 || (d > 0 && elements > data_bytes / static_cast<uint64_t>(d))) {
      fail(path, "tensor \"" + name + "\" has an impossible shape");
    }
    elements *= static_cast<uint64_t>(d);
    type.shape.push_back(d);
  }
  const auto offsets = entry.at("data_offsets").get<std::vector<uint64_t>>();
  if (offsets.size() != 2 || offsets[0] > offsets[1] || offsets[1] > data_bytes ||
      offsets[1] - offsets[0] != type.bytes()) {
    fail(path, "tensor \"" + name + "\" does not lie within the file; it was cut short or damaged");
  }
  ranges.emplace_back(offsets[0], offsets[1]);
  NamedTensor result{name, std::make_shared<Tensor>(type)};
  in.seekg(static_cast<std::streamoff>(data_begin + offsets[0]));
  const auto bytes = result.tensor->bytes();
  in.read(reinterpret_cast<char*>(bytes.data()), static_cast<std::streamsize>(bytes.size()));
  if (!in) fail(path, "cannot be read to its end");
  return result;
}

// The format asks that tensors cover the data without a gap or an overlap.
void check_cover(const std::filesystem::path& path, std::vector<Range> ranges,
                 uint64_t data_bytes) {
  std::sort(ranges.begin(), ranges.end());
  uint64_t end = 0;
  for (const Range& range : ranges) {
    if (range.first != end) fail(path, "its tensors overlap or leave gaps; it was damaged");
    end = range.second;
  }
  if (end != data_bytes) fail(path, "holds more than its tensors; it was damaged");
}

std::string json_text(const Json& json) {
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

// Written entry by entry: a training run has hundreds of tensors, and the tree of them all would
// take more memory than some.
std::string header_of(const TensorFile& file) {
  std::string text = "{";
  const auto add = [&](const std::string& key, const Json& value) {
    if (text.size() > 1) text += ',';
    text += json_text(key) + ':' + json_text(value);
  };
  if (!file.metadata.empty()) add("__metadata__", file.metadata);
  uint64_t offset = 0;
  for (const NamedTensor& t : file.tensors) {
    const uint64_t bytes = t.tensor->bytes().size();
    add(t.name, {{"dtype", text_of(t.tensor->type().dtype)},
                 {"shape", t.tensor->type().shape},
                 {"data_offsets", {offset, offset + bytes}}});
    offset += bytes;
  }
  return text + '}';
}

}  // namespace

const Tensor* TensorFile::find(std::string_view name) const {
  for (const NamedTensor& t : tensors) {
    if (t.name == name) return t.tensor.get();
  }
  return nullptr;
}

void write_safetensors(const std::filesystem::path& path, const TensorFile& file) {
  std::string text = header_of(file);
  while (text.size() % 8 != 0) text += ' ';  // tensors start aligned
  std::byte length[kLengthBytes];
  for (size_t i = 0; i < kLengthBytes; ++i) {
    length[i] = static_cast<std::byte>(uint64_t{text.size()} >> (8 * i) & 0xff);
  }
  std::vector<std::span<const std::byte>> parts{length, std::as_bytes(std::span(text))};
  for (const NamedTensor& t : file.tensors) parts.push_back(t.tensor->bytes());
  replace_file(path, parts);
}

TensorFile read_safetensors(const std::filesystem::path& path) {
  std::error_code error;
  const uint64_t file_bytes = std::filesystem::file_size(path, error);
  std::ifstream in(path, std::ios::binary);
  if (error || !in) fail(path, "no such file, or it cannot be read");
  uint64_t header_bytes = 0;
  const Json header = read_header(in, path, file_bytes, header_bytes);
  const uint64_t data_begin = kLengthBytes + header_bytes;
  TensorFile file;
  std::vector<Range> ranges;
  try {
    for (const auto& [name, entry] : header.items()) {
      if (name == "__metadata__") {
        file.metadata = entry.get<std::map<std::string, std::string>>();
      } else {
        file.tensors.push_back(
            read_tensor(in, path, name, entry, data_begin, file_bytes - data_begin, ranges));
      }
    }
  } catch (const Json::exception&) {
    fail(path, "is not a safetensors file: its header does not describe tensors");
  }
  check_cover(path, std::move(ranges), file_bytes - data_begin);
  return file;
}

}  // namespace tinytl
