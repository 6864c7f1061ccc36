// Tensors that lie in a file beside the model.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>

#include "engine/onnx/import.h"
#include "tests/onnx/model_builder.h"

namespace tinytl {
namespace {

using testing::HasSubstr;

class ExternalData : public testing::Test {
 protected:
  void SetUp() override {
    std::filesystem::create_directory(folder_.path() / "model");
    const Numbers values = counting(8);  // the weights are the last four
    std::ofstream(folder_.path() / "model" / "weights.bin", std::ios::binary)
        .write(reinterpret_cast<const char*>(values.data()), 32);
    std::filesystem::copy(folder_.path() / "model" / "weights.bin", folder_.path() / "outside.bin");
  }

  std::filesystem::path write(const std::string& location, const std::string& offset,
                              const std::string& length = "") const {
    ModelBuilder m;
    m.input("x", {-1, 2}).numbers("w", {2, 2}, {});
    onnx::TensorProto& w = *m.model.mutable_graph()->mutable_initializer(0);
    w.set_data_location(onnx::TensorProto::EXTERNAL);
    const auto entry = [&](const char* key, const std::string& value) {
      if (value.empty()) return;
      w.add_external_data()->set_key(key);
      w.mutable_external_data()->rbegin()->set_value(value);
    };
    entry("location", location);
    entry("offset", offset);
    entry("length", length);
    m.node("MatMul", {"x", "w"}, "y");
    const std::filesystem::path file = folder_.path() / "model" / "m.onnx";
    std::ofstream stream(file, std::ios::binary);
    m.output("y").model.SerializeToOstream(&stream);
    return file;
  }

  std::string error(const std::string& location, const std::string& offset,
                    const std::string& length = "") const {
    try {
      import_onnx(write(location, offset, length));
    } catch (const InputError& e) {
      return e.what();
    }
    return "";
  }

  TemporaryFolder folder_;
};

TEST_F(ExternalData, IsReadFromItsPlace) {
  const Graph g = import_onnx(write("weights.bin", "16", "16"));
  const auto w = g.value(g.id_of("w")).data->f32();
  EXPECT_THAT(Numbers(w.begin(), w.end()), testing::ElementsAre(5, 6, 7, 8));
}

TEST_F(ExternalData, MustLieInTheFolderOfTheModel) {
  EXPECT_THAT(error("../outside.bin", "0"), HasSubstr("is not inside the model's folder"));
  EXPECT_THAT(error((folder_.path() / "outside.bin").string(), "0"), HasSubstr("not inside"));
  std::filesystem::create_symlink(folder_.path() / "outside.bin",
                                  folder_.path() / "model" / "link.bin");
  EXPECT_THAT(error("link.bin", "0"), HasSubstr("not inside"));
}

TEST_F(ExternalData, MustBeThereAndLongEnough) {
  EXPECT_THAT(error("absent.bin", "0"), HasSubstr("cannot read external file \"absent.bin\""));
  EXPECT_THAT(error("weights.bin", "24"), HasSubstr("has 32 bytes, too few for 16 at offset 24"));
  EXPECT_THAT(error("weights.bin", "-1"), HasSubstr("external offset \"-1\" is not a number"));
  EXPECT_THAT(error("weights.bin", "0", "12"), HasSubstr("holds 12 bytes, but its shape needs 16"));
}

}  // namespace
}  // namespace tinytl
