// The files of learnt tensors: what is written comes back, and no damage goes unnoticed.

#include "tinytl/train/safetensors.h"

#include <nlohmann/json.hpp>
#include <random>

#include "tests/train/support.h"

namespace tinytl {
namespace {

using Json = nlohmann::json;
using testing::HasSubstr;

TensorFile sample_file() {
  TensorFile file;
  file.metadata = {{"format", "test"}, {"note", "quotes \" and \n newlines, \xc3\xa9"}};
  file.tensors.push_back({"a", make_tensor({2, 3}, std::vector<float>{1, -2, 3.5f, 0, 1e-30f, 7})});
  auto integers = std::make_shared<Tensor>(TensorType{DType::kI32, {2}});
  integers->i32()[0] = -5;
  file.tensors.push_back({"layer/b.1", integers});
  file.tensors.push_back({"bytes", std::make_shared<Tensor>(TensorType{DType::kI8, {3}})});
  return file;
}

// A file with this header and so many zero bytes of data.
std::string raw_file(const std::string& header, size_t data_bytes) {
  std::string text;
  for (int i = 0; i < 8; ++i) text += static_cast<char>(header.size() >> (8 * i) & 0xff);
  return text + header + std::string(data_bytes, '\0');
}

std::string tensor_json(const std::string& dtype, const std::string& shape,
                        const std::string& offsets) {
  return R"({"dtype":")" + dtype + R"(","shape":)" + shape + R"(,"data_offsets":)" + offsets + "}";
}

class Safetensors : public testing::Test {
 protected:
  std::string error_reading(const std::string& bytes) const {
    write_text(path, bytes);
    return error_of([&] { read_safetensors(path); });
  }
  TempFolder folder;
  const std::filesystem::path path = folder / "x.safetensors";
};

TEST_F(Safetensors, ComeBackAsTheyWere) {
  const TensorFile file = sample_file();
  write_safetensors(path, file);
  const TensorFile back = read_safetensors(path);
  EXPECT_EQ(back.metadata, file.metadata);
  ASSERT_EQ(back.tensors.size(), file.tensors.size());
  for (size_t i = 0; i < file.tensors.size(); ++i) {
    EXPECT_EQ(back.tensors[i].name, file.tensors[i].name);
    EXPECT_EQ(back.tensors[i].tensor->type(), file.tensors[i].tensor->type());
    EXPECT_TRUE(
        std::ranges::equal(back.tensors[i].tensor->bytes(), file.tensors[i].tensor->bytes()));
  }
  EXPECT_EQ(back.find("no such tensor"), nullptr);
}

TEST_F(Safetensors, SameContentGivesTheSameBytes) {
  write_safetensors(path, sample_file());
  const std::string first = read_text(path);
  write_safetensors(path, sample_file());
  EXPECT_EQ(read_text(path), first);
  EXPECT_THAT(folder.files(), testing::ElementsAre("x.safetensors"));
}

TEST_F(Safetensors, HeaderIsWhatTheFormatAsks) {
  write_safetensors(path, sample_file());
  const std::string text = read_text(path);
  const auto header_bytes =
      static_cast<unsigned char>(text[0]) + 256u * static_cast<unsigned char>(text[1]);
  EXPECT_EQ(header_bytes % 8, 0u);
  const Json header = Json::parse(text.substr(8, header_bytes));
  EXPECT_EQ(header.at("a"), Json::parse(tensor_json("F32", "[2,3]", "[0,24]")));
  EXPECT_EQ(header.at("layer/b.1"), Json::parse(tensor_json("I32", "[2]", "[24,32]")));
  EXPECT_EQ(header.at("__metadata__").at("format"), "test");
  EXPECT_EQ(text.size(), 8 + header_bytes + 24 + 8 + 3);
}

TEST_F(Safetensors, CutShortAnywhereIsRefused) {
  write_safetensors(path, sample_file());
  const std::string whole = read_text(path);
  for (size_t bytes = 0; bytes < whole.size(); ++bytes) {
    EXPECT_THAT(error_reading(whole.substr(0, bytes)), HasSubstr("x.safetensors: ")) << bytes;
  }
  EXPECT_NE(error_reading(whole + "x"), "(no error)") << "and one byte too many";
}

TEST_F(Safetensors, GarbageNeverCrashes) {
  write_safetensors(path, sample_file());
  const std::string whole = read_text(path);
  std::mt19937 random(1);
  for (int round = 0; round < 400; ++round) {
    std::string text = whole;
    for (int change = 0; change < 1 + round % 5; ++change) {
      text[random() % text.size()] = static_cast<char>(random());
    }
    error_reading(text);  // an InputError or none
    std::string noise(random() % 200, '\0');
    for (char& c : noise) c = static_cast<char>(random());
    EXPECT_NE(error_reading(noise), "(no error)");
  }
}

TEST_F(Safetensors, TensorsMustCoverTheData) {
  const auto two = [](const std::string& a, const std::string& b) {
    return R"({"a":)" + tensor_json("F32", "[2]", a) + R"(,"b":)" + tensor_json("F32", "[2]", b) +
           "}";
  };
  EXPECT_EQ(error_reading(raw_file(two("[8,16]", "[0,8]"), 16)), "(no error)") << "any order";
  EXPECT_THAT(error_reading(raw_file(two("[0,8]", "[0,8]"), 16)), HasSubstr("overlap"));
  EXPECT_THAT(error_reading(raw_file(two("[0,8]", "[4,12]"), 12)), HasSubstr("overlap"));
  EXPECT_THAT(error_reading(raw_file(two("[0,8]", "[12,20]"), 20)), HasSubstr("gap"));
  EXPECT_THAT(error_reading(raw_file(two("[0,8]", "[8,16]"), 20)), HasSubstr("more than"));
  EXPECT_THAT(error_reading(raw_file(two("[0,8]", "[8,16]"), 15)), HasSubstr("within the file"));
}

TEST_F(Safetensors, ImpossibleDescriptionsAreRefused) {
  const std::string cases[] = {
      tensor_json("F32", "[2]", "[8,0]"),
      tensor_json("F32", "[2]", "[0,4]"),
      tensor_json("F32", "[2]", "[0,8,16]"),
      tensor_json("F32", "[2]", "[-8,0]"),
      tensor_json("F32", "[-2]", "[0,8]"),
      tensor_json("F32", "[4611686018427387904]", "[0,0]"),  // 4 x 2^62 bytes are 0 in 64 bits
      tensor_json("F32", "[4294967296,4294967296]", "[0,0]"),
      tensor_json("F32", "[4294967296,4294967296,0]", "[0,0]"),
      tensor_json("F64", "[1]", "[0,8]"),
      tensor_json("F32", "\"two\"", "[0,8]"),
      tensor_json("F32", "[2]", "null"),
      "[1,2]",
      "{}",
      "null",
  };
  for (const std::string& tensor : cases) {
    EXPECT_NE(error_reading(raw_file(R"({"a":)" + tensor + "}", 8)), "(no error)") << tensor;
  }
  for (const std::string header : {"[]", "7", "", "{", R"({"__metadata__":{"a":1}})"}) {
    EXPECT_NE(error_reading(raw_file(header, 0)), "(no error)") << header;
  }
}

TEST_F(Safetensors, HugeHeaderIsRefusedWithoutReadingIt) {
  for (const char high : {'\x01', '\x7f', '\xff'}) {
    std::string text(64, '\0');
    text[7] = high;  // a header of 2^56 bytes and more
    EXPECT_THAT(error_reading(text), HasSubstr("not a safetensors file"));
  }
  const std::string deep(100000, '[');
  EXPECT_THAT(error_reading(raw_file(deep, 0)), HasSubstr("not JSON"));
}

TEST_F(Safetensors, MissingFileIsNamed) {
  EXPECT_THAT(error_of([&] { read_safetensors(folder / "nothing"); }), HasSubstr("no such file"));
  EXPECT_NE(error_of([&] { read_safetensors(folder / "."); }), "(no error)");
}

}  // namespace
}  // namespace tinytl
