#include "tinytl/data/idx_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

#include <array>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <memory>

#include "tinytl/data/image.h"

namespace tinytl {
namespace {

constexpr int64_t kMaxBytes = int64_t{1} << 42;

struct CloseGzip {
  void operator()(gzFile file) const { gzclose_r(file); }
};

size_t element_bytes(IdxType type) {
  switch (type) {
    case IdxType::kUint8:
    case IdxType::kInt8:
      return 1;
    case IdxType::kInt16:
      return 2;
    case IdxType::kInt32:
    case IdxType::kFloat:
      return 4;
    case IdxType::kDouble:
      return 8;
  }
  return 0;
}

// The number of bytes read, fewer than asked for only at the end of the file or on an error.
size_t read_at(int descriptor, uint8_t* out, size_t bytes, int64_t offset) {
  size_t done = 0;
  while (done < bytes) {
    const ssize_t got = ::pread(descriptor, out + done, bytes - done,
                                static_cast<off_t>(offset + static_cast<int64_t>(done)));
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) break;
    done += static_cast<size_t>(got);
  }
  return done;
}

bool write_all(int descriptor, const uint8_t* data, size_t bytes) {
  while (bytes > 0) {
    const ssize_t put = ::write(descriptor, data, bytes);
    if (put < 0 && errno == EINTR) continue;
    if (put <= 0) return false;
    data += put;
    bytes -= static_cast<size_t>(put);
  }
  return true;
}

int open_unnamed_file() {
  std::string name = (std::filesystem::temp_directory_path() / "tinytl-idx-XXXXXX").string();
  const int descriptor = ::mkstemp(name.data());
  if (descriptor >= 0) ::unlink(name.c_str());
  return descriptor;
}

}  // namespace

IdxFile::IdxFile(const std::filesystem::path& path) : path_(path) {
  try {
    open();
    read_header();
  } catch (...) {
    if (descriptor_ >= 0) ::close(descriptor_);
    throw;
  }
}

IdxFile::~IdxFile() { ::close(descriptor_); }

void IdxFile::fail(const std::string& reason) const {
  throw InputError("IDX file " + path_.string() + ": " + reason);
}

void IdxFile::open() {
  descriptor_ = ::open(path_.c_str(), O_RDONLY | O_CLOEXEC);
  if (descriptor_ < 0) fail(std::string("cannot open it: ") + std::strerror(errno));
  std::array<uint8_t, 2> magic{};
  read_at(descriptor_, magic.data(), magic.size(), 0);
  if (magic == std::array<uint8_t, 2>{0x1F, 0x8B}) unpack_gzip();
}

void IdxFile::unpack_gzip() {
  const std::unique_ptr<gzFile_s, CloseGzip> packed(gzdopen(descriptor_, "rb"));
  if (!packed) fail("not enough memory to unpack it");
  descriptor_ = -1;  // closed with `packed`
  descriptor_ = open_unnamed_file();
  if (descriptor_ < 0) {
    fail(std::string("cannot make a temporary file to unpack it: ") + std::strerror(errno) +
         ": set TMPDIR to a folder with room");
  }
  std::vector<uint8_t> buffer(1 << 16);
  int got = 0;
  while ((got = gzread(packed.get(), buffer.data(), static_cast<unsigned>(buffer.size()))) > 0) {
    if (!write_all(descriptor_, buffer.data(), static_cast<size_t>(got))) {
      fail(std::string("cannot unpack it: ") + std::strerror(errno) +
           ": set TMPDIR to a folder with room");
    }
  }
  int error = Z_OK;
  gzerror(packed.get(), &error);
  if (got < 0 || error != Z_OK) fail("its gzip data are damaged or cut short: download it again");
}

void IdxFile::read_header() {
  std::array<uint8_t, 4> magic{};
  const bool complete = read_at(descriptor_, magic.data(), 4, 0) == 4;
  type_ = static_cast<IdxType>(magic[2]);
  const size_t rank = magic[3];
  if (!complete || magic[0] != 0 || magic[1] != 0 || element_bytes(type_) == 0 || rank == 0) {
    fail("bad magic number: it does not start like an IDX file (00 00 type rank)");
  }
  std::vector<uint8_t> extents(4 * rank);
  if (read_at(descriptor_, extents.data(), extents.size(), 4) != extents.size()) {
    fail("cut short inside its header: download it again");
  }
  header_bytes_ = 4 + extents.size();
  int64_t bytes = static_cast<int64_t>(element_bytes(type_));
  for (size_t i = rank; i-- > 0;) {
    if (i == 0) record_bytes_ = static_cast<size_t>(bytes);
    const uint8_t* e = &extents[4 * i];
    const int64_t extent = int64_t{e[0]} << 24 | e[1] << 16 | e[2] << 8 | e[3];
    if (extent == 0) fail("extent " + std::to_string(i) + " of its array is 0");
    if (bytes > kMaxBytes / extent) fail("its header promises more than 4 TiB");
    bytes *= extent;
    dims_.insert(dims_.begin(), extent);
  }
  struct stat status {};
  if (::fstat(descriptor_, &status) != 0)
    fail(std::string("cannot read it: ") + std::strerror(errno));
  const int64_t expected = static_cast<int64_t>(header_bytes_) + bytes;
  if (status.st_size == expected) return;
  fail(std::string(status.st_size < expected ? "cut short: " : "too long: ") +
       std::to_string(status.st_size) + " bytes instead of the " + std::to_string(expected) +
       " that its header promises: download it again");
}

void IdxFile::read(int64_t first, std::span<uint8_t> out) const {
  const int64_t offset =
      static_cast<int64_t>(header_bytes_) + first * static_cast<int64_t>(record_bytes_);
  if (read_at(descriptor_, out.data(), out.size(), offset) == out.size()) return;
  throw ImageError("IDX file " + path_.string() + ": row " + std::to_string(first) +
                   " cannot be read: check the disk");
}

}  // namespace tinytl
