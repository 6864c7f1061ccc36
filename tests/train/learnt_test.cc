// What training leaves behind can be put back on the same network, and on no other.

#include "tinytl/train/learnt.h"

#include "tests/train/support.h"

namespace tinytl {
namespace {

using testing::HasSubstr;

float& first_weight(Graph& graph) {
  for (const Value& value : graph.values()) {
    if (value.role == Role::kWeight) return value.data->f32()[0];
  }
  throw std::logic_error("no weight");
}

TEST(Fingerprint, IsOfTheParametersAlone) {
  Graph one = golden_network(1);
  EXPECT_EQ(fingerprint(one), fingerprint(golden_network(8)));
  EXPECT_EQ(fingerprint(one).size(), 16u);
  const std::string before = fingerprint(one);
  float& w = first_weight(one);
  const float old = w;
  w = std::nextafter(w, 1.0f);
  EXPECT_NE(fingerprint(one), before) << "one bit of one weight";
  w = old;
  EXPECT_EQ(fingerprint(one), before);
}

TEST(LearntInfo, ComesBackAsItWas) {
  LearntInfo info{.model_fingerprint = "f",
                  .update = "bias",
                  .width = 0.35,
                  .classes = {"a", "b \"quoted\"", "\xc3\xa9t\xc3\xa9"},
                  .head = "fc",
                  .new_head = true,
                  .normalisation = {{1.5f, 0.1f, 127.5f}, {3, 58.395f, 1e-3f}},
                  .squash = true,
                  .center_fraction = 0.7};
  const LearntInfo back = unpack_info(pack_learnt(info, {}), "file");
  EXPECT_EQ(first_difference(info, back), "");
  EXPECT_EQ(back.normalisation.deviation, info.normalisation.deviation) << "to the bit";
  EXPECT_EQ(back.classes, info.classes);
  info.squash = false;
  EXPECT_EQ(first_difference(info, back), "--squash");
  info.width = 0.36;
  EXPECT_EQ(first_difference(info, back), "--width");
}

TEST(LearntInfo, NamesOfAnyBytesCanBeSaved) {
  LearntInfo info;
  info.classes = {"\xe9t\xe9"};  // Latin-1
  EXPECT_EQ(unpack_info(pack_learnt(info, {}), "file").classes.size(), 1u);
  EXPECT_EQ(first_difference(unpack_info(pack_learnt(info, {}), "file"), info), "")
      << "a run on such a folder can be resumed";
}

TEST(LearntInfo, DamagedMetadataIsRefused) {
  TensorFile file = pack_learnt({}, {});
  const auto error = [&] { return error_of([&] { unpack_info(file, "file"); }); };
  EXPECT_EQ(error(), "(no error)");
  for (const std::string text : {"", "{", "[]", "{}", R"({"model_fingerprint":7})"}) {
    file.metadata["info"] = text;
    EXPECT_THAT(error(), HasSubstr("file: ")) << text;
  }
  file.metadata.clear();
  EXPECT_THAT(error(), HasSubstr("not saved by tinytl-train"));
}

TEST(LearntInfo, FormsOfANetworkThatNobodyKnowsAreRefused) {
  LearntInfo info;
  const auto error = [&] { return error_of([&] { unpack_info(pack_learnt(info, {}), "file"); }); };
  info.precision = "int8";
  EXPECT_EQ(error(), "(no error)");
  info.precision = "int3";
  EXPECT_THAT(error(), HasSubstr("--precision int3"));
  info.precision = "float";
  info.norm = "spectral";
  EXPECT_THAT(error(), HasSubstr("--norm spectral"));
}

class Adapt : public testing::Test {
 protected:
  void SetUp() override {
    const ColourDataset data(4, 1);
    train(trained, data, nullptr, {.epochs = 2, .save = path});
  }
  TempFolder folder;
  const std::filesystem::path path = folder / "learnt.safetensors";
  Prepared trained = prepare();
};

TEST_F(Adapt, PutsTheTensorsInPlace) {
  const AdaptedNetwork adapted = adapt(golden_network(1), path);
  EXPECT_EQ(adapted.info.classes, trained.info.classes);
  std::vector<Value> there;
  for (const Value& value : trained.session->trained()) {
    there.push_back(*adapted.network.graph.find(value.name));
  }
  EXPECT_TRUE(bytes_of(there) == bytes_of(trained.session->trained()));
}

TEST_F(Adapt, RefusesAnotherNetwork) {
  Graph other = golden_network(1);
  first_weight(other) += 1;
  EXPECT_THAT(error_of([&] { adapt(other, path); }), HasSubstr("another network"));
}

TEST_F(Adapt, RefusesTensorsThatDoNotFit) {
  TensorFile file = read_safetensors(path);
  file.tensors[0].name = "no such parameter";
  write_safetensors(path, file);
  EXPECT_THAT(error_of([&] { adapt(golden_network(1), path); }), HasSubstr("no such parameter"));
  file = pack_learnt(trained.info, trained.session->trained());
  file.tensors[0].tensor = make_tensor({1}, std::vector<float>{1});
  write_safetensors(path, file);
  EXPECT_THAT(error_of([&] { adapt(golden_network(1), path); }), HasSubstr("the network needs"));
}

TEST_F(Adapt, RestoreNamesWhatIsMissing) {
  TensorFile file = read_safetensors(path);
  file.tensors.pop_back();
  EXPECT_THAT(error_of([&] { restore(trained.session->trained(), file, path); }),
              HasSubstr("has no tensor"));
}

}  // namespace
}  // namespace tinytl
