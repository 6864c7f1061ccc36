// IDX files: images, float vectors, labels or none, packed or not.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>
#include <random>

#include "tests/data/support.h"
#include "tinytl/data/dataset.h"

namespace tinytl {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
namespace fs = std::filesystem;

constexpr int kBytes = 0x08, kInt32 = 0x0C, kFloats = 0x0D;

Bytes counting(size_t size) {
  Bytes bytes(size);
  for (size_t i = 0; i < size; ++i) bytes[i] = static_cast<uint8_t>(i);
  return bytes;
}

// Eight training images of 4 x 3 with labels 0 1 2 0 1 2 0 1 and three of validation.
void write_mnist_like(const TempFolder& root) {
  write_file(root / "train-images-idx3-ubyte", idx_bytes(kBytes, {8, 4, 3}, counting(96)));
  write_file(root / "train-labels-idx1-ubyte", idx_bytes(kBytes, {8}, {0, 1, 2, 0, 1, 2, 0, 1}));
  write_file(root / "t10k-images-idx3-ubyte", idx_bytes(kBytes, {3, 4, 3}, counting(36)));
  write_file(root / "t10k-labels-idx1-ubyte", idx_bytes(kBytes, {3}, {2, 1, 0}));
}

std::string error_in(const TempFolder& root, const DatasetOptions& options = {}) {
  return error_of([&] { open_dataset(root.path(), options); });
}

TEST(Idx, ReadsImagesAndLabels) {
  const TempFolder root;
  write_mnist_like(root);
  const DatasetSplits data = open_dataset(root.path());
  EXPECT_THAT(data.train->classes(), ElementsAre("0", "1", "2"));
  ASSERT_EQ(data.train->size(), 8);
  EXPECT_THAT(data.train->sample_shape(), ElementsAre(4, 3, 1));
  EXPECT_EQ(data.train->label(5), 2);
  EXPECT_EQ(data.val->label(0), 2);
  Sample sample;
  data.train->load(2, 1, 0, sample);
  EXPECT_EQ(sample.image.height, 4);
  EXPECT_EQ(sample.image.width, 3);
  EXPECT_EQ(sample.image.pixels[0], 24);
  data.train->load(2, 3, 0, sample);
  EXPECT_EQ(sample.image.pixels.size(), 36u);
  EXPECT_EQ(sample.image.pixels[4], 25);
}

TEST(Idx, PackedFilesReadTheSame) {
  const TempFolder plain, packed;
  write_mnist_like(plain);
  for (const auto& entry : fs::directory_iterator(plain.path())) {
    write_gzip(packed / (entry.path().filename().string() + ".gz"), read_file(entry.path()));
  }
  const DatasetSplits a = open_dataset(plain.path()), b = open_dataset(packed.path());
  Sample x, y;
  for (int64_t i = 0; i < 8; ++i) {
    a.train->load(i, 1, 0, x);
    b.train->load(i, 1, 0, y);
    EXPECT_EQ(x.image.pixels, y.image.pixels);
    EXPECT_EQ(a.train->label(i), b.train->label(i));
  }
}

TEST(Idx, TheUnpackedOfTwoTwinsIsUsed) {
  const TempFolder root;
  write_mnist_like(root);
  write_file(root / "train-images-idx3-ubyte.gz", {0x1F, 0x8B, 0});
  EXPECT_EQ(open_dataset(root.path()).train->size(), 8);
}

TEST(Idx, KeepsColours) {
  const TempFolder root;
  write_mnist_like(root);
  write_file(root / "train-images-idx3-ubyte", idx_bytes(kBytes, {8, 2, 2, 3}, counting(96)));
  write_file(root / "t10k-images-idx3-ubyte", idx_bytes(kBytes, {3, 2, 2, 3}, counting(36)));
  const DatasetSplits data = open_dataset(root.path());
  EXPECT_THAT(data.train->sample_shape(), ElementsAre(2, 2, 3));
  Sample sample;
  data.train->load(1, 3, 0, sample);
  EXPECT_EQ(sample.image.pixels[0], 12);
}

TEST(Idx, ClassesAndSamplesCanBeChosen) {
  const TempFolder root;
  write_mnist_like(root);
  const DatasetSplits data =
      open_dataset(root.path(), {.keep_classes = {"2", "1"}, .max_per_class = 2});
  EXPECT_THAT(data.train->classes(), ElementsAre("1", "2"));
  ASSERT_EQ(data.train->size(), 4);
  ASSERT_EQ(data.val->size(), 2);
  EXPECT_EQ(data.val->label(0), 1);  // "2"
  Sample sample;
  data.val->load(1, 1, 0, sample);
  EXPECT_EQ(sample.image.pixels[0], 12);
  EXPECT_THAT(error_in(root, {.keep_classes = {"7", "1"}}), HasSubstr("no class \"7\""));
}

TEST(Idx, LabelsNeedNotStartAtZero) {
  const TempFolder root;
  write_mnist_like(root);
  Bytes labels;
  for (const uint8_t label : {5, 300 % 256, 9, 10, 5, 9, 10, 5}) {
    for (const uint8_t b : {uint8_t{0}, uint8_t{0}, uint8_t{0}, label}) labels.push_back(b);
  }
  write_file(root / "train-labels-idx1-ubyte", idx_bytes(kInt32, {8}, labels));
  write_file(root / "t10k-labels-idx1-ubyte", idx_bytes(kBytes, {3}, {44, 10, 5}));
  const DatasetSplits data = open_dataset(root.path());
  EXPECT_THAT(data.train->classes(), ElementsAre("5", "9", "10", "44"));
  EXPECT_EQ(data.train->label(1), 3);
  EXPECT_EQ(data.val->label(1), 2);
}

TEST(Idx, ClassesTxtNamesTheLabels) {
  const TempFolder root;
  write_mnist_like(root);
  const std::string names = "yes\nno\nsilence\r\n";
  write_file(root / "classes.txt", Bytes(names.begin(), names.end()));
  EXPECT_THAT(open_dataset(root.path()).train->classes(), ElementsAre("yes", "no", "silence"));
  write_file(root / "classes.txt", {'y', '\n', 'n', '\n'});
  EXPECT_THAT(error_in(root), HasSubstr("label 2 is out of range"));
}

TEST(Idx, WithoutValidationIsSplitByRow) {
  const TempFolder root;
  write_file(root / "train-images-idx3-ubyte", idx_bytes(kBytes, {200, 2, 2}, counting(800)));
  Bytes labels(200);
  for (size_t i = 0; i < labels.size(); ++i) labels[i] = i % 2;
  write_file(root / "train-labels-idx1-ubyte", idx_bytes(kBytes, {200}, labels));
  const DatasetSplits data = open_dataset(root.path());
  EXPECT_EQ(data.train->size() + data.val->size(), 200);
  EXPECT_NEAR(static_cast<double>(data.val->size()), 40, 20);
}

TEST(Idx, FloatVectorsNeedNoLabels) {
  const TempFolder root;
  write_file(root / "train-mel-idx2-float",
             idx_bytes(kFloats, {3, 2}, big_endian({1, 2, 3, 4, -5.5f, 6})));
  write_file(root / "test-mel-idx2-float", idx_bytes(kFloats, {1, 2}, big_endian({7, 8})));
  const DatasetSplits data = open_dataset(root.path());
  EXPECT_EQ(data.train->kind(), SampleKind::kFloats);
  EXPECT_THAT(data.train->classes(), testing::IsEmpty());
  EXPECT_EQ(data.train->label(0), -1);
  Sample sample;
  data.train->load(2, 0, 0, sample);
  EXPECT_THAT(sample.floats, ElementsAre(-5.5f, 6));
  data.val->load(0, 0, 0, sample);
  EXPECT_THAT(sample.floats, ElementsAre(7, 8));
  EXPECT_THAT(error_in(root, {.keep_classes = {"1", "2"}}), HasSubstr("no labels"));
}

TEST(Idx, FloatVectorsMayHaveLabels) {
  const TempFolder root;
  write_file(root / "train-mfcc-idx3-float",
             idx_bytes(kFloats, {2, 1, 2}, big_endian({1, 2, 3, 4})));
  write_file(root / "train-labels-idx1-ubyte", idx_bytes(kBytes, {2}, {0, 1}));
  const DatasetSplits data = open_dataset(root.path(), {.val_fraction = 0});
  EXPECT_EQ(data.train->label(1), 1);
  EXPECT_THAT(data.train->sample_shape(), ElementsAre(1, 2));
}

TEST(Idx, MistakesAreNamed) {
  const auto with = [](const char* name, const Bytes& bytes) {
    const TempFolder root;
    write_mnist_like(root);
    write_file(root / name, bytes);
    return error_in(root);
  };
  const char* const images = "train-images-idx3-ubyte";
  const char* const labels = "train-labels-idx1-ubyte";
  const Bytes good = idx_bytes(kBytes, {8, 4, 3}, counting(96));
  EXPECT_THAT(with(images, {1, 2, 3, 4, 5}), HasSubstr("bad magic"));
  EXPECT_THAT(with(images, {}), HasSubstr("bad magic"));
  EXPECT_THAT(with(images, {good.begin(), good.begin() + 9}), HasSubstr("inside its header"));
  EXPECT_THAT(with(images, {good.begin(), good.end() - 1}), HasSubstr("cut short: 111 bytes"));
  EXPECT_THAT(with(images, idx_bytes(kBytes, {7, 4, 3}, counting(96))), HasSubstr("too long"));
  EXPECT_THAT(with(images, idx_bytes(kBytes, {0, 4, 3}, {})), HasSubstr("is 0"));
  EXPECT_THAT(with(images, idx_bytes(kBytes, {~0u, ~0u, ~0u}, {})), HasSubstr("4 TiB"));
  EXPECT_THAT(with(images, idx_bytes(kInt32, {8}, counting(32))), HasSubstr("neither images"));
  EXPECT_THAT(with(images, idx_bytes(kBytes, {8, 2, 3, 2}, counting(96))),
              HasSubstr("1 or 3 channels"));
  EXPECT_THAT(with(images, idx_bytes(kBytes, {8, 6, 2}, counting(96))), HasSubstr("differ"));
  EXPECT_THAT(with(labels, idx_bytes(kBytes, {7}, counting(7))),
              HasSubstr("7 labels for the 8 samples"));
  EXPECT_THAT(with(labels, idx_bytes(kBytes, {8}, Bytes(8))), HasSubstr("only one class"));
  EXPECT_THAT(with(labels, idx_bytes(kInt32, {8}, Bytes(32, 0xFF))),
              HasSubstr("label -1 of row 0 is out of range"));
  EXPECT_THAT(with("t10k-labels-idx1-ubyte", idx_bytes(kBytes, {3}, {0, 9, 0})),
              HasSubstr("label 9 of row 1 is out of range"));
  EXPECT_THAT(with("other-train-images-idx3-ubyte", good), HasSubstr("keep one of them"));
}

TEST(Idx, DamagedGzipIsRefused) {
  const TempFolder root;
  write_gzip(root / "train-images-idx3-ubyte.gz", idx_bytes(kBytes, {8, 4, 3}, counting(96)));
  const Bytes packed = read_file(root / "train-images-idx3-ubyte.gz");
  for (size_t size = 2; size < packed.size(); size += 7) {
    SCOPED_TRACE(size);
    write_file(root / "train-images-idx3-ubyte.gz",
               {packed.begin(), packed.begin() + static_cast<long>(size)});
    EXPECT_THAT(error_in(root), testing::AnyOf(HasSubstr("gzip"), HasSubstr("bad magic")));
  }
}

TEST(Idx, IncompleteSetsAreRefused) {
  const TempFolder root;
  write_mnist_like(root);
  fs::remove(root / "t10k-labels-idx1-ubyte");
  EXPECT_THAT(error_in(root), HasSubstr("labels for only one"));
  fs::remove(root / "t10k-images-idx3-ubyte");
  fs::remove(root / "train-labels-idx1-ubyte");
  EXPECT_THAT(error_in(root), HasSubstr("images without labels"));
  write_mnist_like(root);
  fs::remove(root / "train-images-idx3-ubyte");
  EXPECT_THAT(error_in(root), HasSubstr("without training samples"));
}

// Under the address sanitizer: a data set or an error, never a crash.
TEST(Idx, MutatedFilesAreReadOrRefused) {
  const TempFolder root;
  write_mnist_like(root);
  const Bytes good = read_file(root / "train-images-idx3-ubyte");
  std::mt19937 rng(7);
  for (int trial = 0; trial < 200; ++trial) {
    Bytes bad = good;
    bad[rng() % 20] = static_cast<uint8_t>(rng());
    write_file(root / "train-images-idx3-ubyte", bad);
    error_in(root);
  }
}

}  // namespace
}  // namespace tinytl
