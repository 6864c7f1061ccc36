// One IDX file: a header, then equal records. Private to this folder.
#pragma once

#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <vector>

namespace tinytl {

enum class IdxType : uint8_t {
  kUint8 = 0x08,
  kInt8 = 0x09,
  kInt16 = 0x0B,
  kInt32 = 0x0C,
  kFloat = 0x0D,
  kDouble = 0x0E
};

class IdxFile {
 public:
  // Throws InputError if the header is wrong or the file is not exactly as long as it says.
  explicit IdxFile(const std::filesystem::path& path);
  ~IdxFile();
  IdxFile(const IdxFile&) = delete;
  IdxFile& operator=(const IdxFile&) = delete;

  const std::filesystem::path& path() const { return path_; }
  IdxType type() const { return type_; }
  int64_t records() const { return dims_.front(); }
  std::vector<int64_t> record_shape() const { return {dims_.begin() + 1, dims_.end()}; }
  size_t record_bytes() const { return record_bytes_; }

  // Bytes of `out.size() / record_bytes()` records from `first` on, as stored (big endian).
  // Any thread may call it. Throws ImageError if the disk does not deliver.
  void read(int64_t first, std::span<uint8_t> out) const;

 private:
  void open();
  void unpack_gzip();
  void read_header();
  [[noreturn]] void fail(const std::string& reason) const;

  std::filesystem::path path_;
  int descriptor_ = -1;
  IdxType type_{};
  std::vector<int64_t> dims_;
  size_t header_bytes_ = 0, record_bytes_ = 0;
};

}  // namespace tinytl
