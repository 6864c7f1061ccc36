#include "engine/onnx/external_data.h"

#include <onnx/onnx_pb.h>

#include <algorithm>
#include <charconv>
#include <fstream>
#include <vector>

#include "engine/graph/error.h"

namespace tinytl::internal {
namespace {

namespace fs = std::filesystem;

struct Place {
  std::string location;
  uint64_t offset = 0;
  uint64_t length = 0;  // 0: not given
};

Place place_of(const onnx::TensorProto& tensor, const std::string& who) {
  Place place;
  for (const auto& entry : tensor.external_data()) {
    if (entry.key() == "location") place.location = entry.value();
    uint64_t* const number = entry.key() == "offset"   ? &place.offset
                             : entry.key() == "length" ? &place.length
                                                       : nullptr;
    if (number == nullptr) continue;
    const std::string& text = entry.value();
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), *number);
    if (error != std::errc() || end != text.data() + text.size()) {
      throw InputError(who + "external " + entry.key() + " \"" + text + "\" is not a number");
    }
  }
  return place;
}

// A model must not make us read files elsewhere, also not through ".." or a symbolic link.
fs::path inside(const fs::path& folder, const std::string& location, const std::string& who) {
  const fs::path root = fs::weakly_canonical(folder.empty() ? "." : folder);
  const fs::path file = fs::weakly_canonical(root / location);
  const auto [end, _] = std::mismatch(root.begin(), root.end(), file.begin(), file.end());
  if (location.empty() || fs::path(location).is_absolute() || end != root.end() || file == root) {
    throw InputError(who + "external file \"" + location + "\" is not inside the model's folder");
  }
  return file;
}

}  // namespace

FileRange external_range(const onnx::TensorProto& tensor, const ModelFiles& files, size_t bytes) {
  const std::string who = "tensor \"" + tensor.name() + "\": ";
  const Place place = place_of(tensor, who);
  const bool in_model = place.location == kInModel && !files.model.empty();
  const fs::path file = in_model ? files.model : inside(files.folder, place.location, who);
  const std::string name = in_model ? files.model.string() : place.location;
  std::error_code error;
  const uint64_t size = fs::file_size(file, error);
  if (error) throw InputError(who + "cannot read external file \"" + name + "\"");
  if (place.length != 0 && place.length != bytes) {
    throw InputError(who + "holds " + std::to_string(place.length) +
                     " bytes, but its shape needs " + std::to_string(bytes));
  }
  if (place.offset > size || bytes > size - place.offset) {
    throw InputError(who + "external file \"" + name + "\" has " + std::to_string(size) +
                     " bytes, too few for " + std::to_string(bytes) + " at offset " +
                     std::to_string(place.offset));
  }
  return {file, place.offset, bytes};
}

void read_pieces(const FileRange& range, const std::function<void(std::span<const char>)>& piece) {
  constexpr size_t kPiece = 256 * 1024;
  std::ifstream stream;
  std::vector<char> buffer(std::min(kPiece, range.bytes));
  stream.rdbuf()->pubsetbuf(nullptr, 0);  // the pieces are the buffer
  stream.open(range.file, std::ios::binary);
  stream.seekg(static_cast<std::streamoff>(range.offset));
  for (size_t done = 0; done < range.bytes;) {
    const size_t count = std::min(kPiece, range.bytes - done);
    if (!stream.read(buffer.data(), static_cast<std::streamsize>(count))) {
      throw InputError("cannot read " + std::to_string(range.bytes) + " bytes of \"" +
                       range.file.string() + "\"");
    }
    piece({buffer.data(), count});
    done += count;
  }
}

std::string read_all(const FileRange& range) {
  std::string data;
  data.reserve(range.bytes);
  read_pieces(range, [&](std::span<const char> piece) { data.append(piece.data(), piece.size()); });
  return data;
}

}  // namespace tinytl::internal
