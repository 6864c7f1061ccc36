// Folders of images, one per class.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>

#include "tests/data/support.h"
#include "tinytl/data/dataset.h"

namespace tinytl {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;

std::set<std::string> names(const Dataset& data) {
  std::set<std::string> all;
  for (int64_t i = 0; i < data.size(); ++i) all.insert(data.name(i));
  return all;
}

TEST(ImageFolder, IsReadInTheOrderOfNames) {
  const TempFolder root;
  write_class(root / "train", "rose", 3);
  write_class(root / "train", "daisy", 2);
  write_class(root / "val", "rose", 1);
  write_file(root / "train/rose/notes.txt", {1});
  write_file(root / "train_idx.csv", {1});
  write_file(root / "train/rose/.DS_Store", {1});
  const DatasetSplits data = open_dataset(root.path());
  EXPECT_THAT(data.train->classes(), ElementsAre("daisy", "rose"));
  ASSERT_EQ(data.train->size(), 5);
  EXPECT_EQ(data.train->label(1), 0);
  EXPECT_EQ(data.train->label(2), 1);
  EXPECT_EQ(data.train->name(3), (root / "train/rose/img_1.jpg").string());
  EXPECT_EQ(data.ignored_files, 2);
  ASSERT_EQ(data.val->size(), 1);
  EXPECT_EQ(data.val->label(0), 1);
  Sample sample;
  data.val->load(0, 3, 0, sample);
  EXPECT_EQ(sample.image.width, 40);
}

TEST(ImageFolder, OtherNamesOfTheValidationFolder) {
  for (const char* name : {"valid", "validation", "test"}) {
    const TempFolder root;
    write_class(root / "train", "a", 1);
    write_class(root / "train", "b", 1);
    write_class(root / name, "b", 2);
    EXPECT_EQ(open_dataset(root.path()).val->size(), 2) << name;
  }
}

TEST(ImageFolder, WithoutSplitIsSplitByName) {
  const TempFolder root;
  write_class(root.path(), "a", 60, 8, 8);
  write_class(root.path(), "b", 60, 8, 8);
  const DatasetSplits data = open_dataset(root.path());
  EXPECT_EQ(data.train->size() + data.val->size(), 120);
  EXPECT_NEAR(static_cast<double>(data.val->size()), 24, 12);
  const std::set<std::string> val_names = names(*data.val);
  for (const std::string& name : names(*data.train)) EXPECT_FALSE(val_names.contains(name));

  // New images never move old ones to the other side.
  write_class(root.path(), "a", 80, 8, 8);
  const std::set<std::string> larger_val = names(*open_dataset(root.path()).val);
  for (const std::string& name : val_names) EXPECT_TRUE(larger_val.contains(name));
}

TEST(ImageFolder, EveryClassKeepsATrainingImage) {
  const TempFolder root;
  write_class(root.path(), "a", 1, 8, 8);
  write_class(root.path(), "b", 1, 8, 8);
  EXPECT_EQ(open_dataset(root.path(), {.val_fraction = 0.99}).train->size(), 2);
}

TEST(ImageFolder, ClassesAndSamplesCanBeChosen) {
  const TempFolder root;
  for (const char* name : {"a", "b", "c", "d"}) {
    write_class(root / "train", name, 10, 8, 8);
    write_class(root / "val", name, 4, 8, 8);
  }
  const DatasetOptions options{.keep_classes = {"d", "b"}, .max_per_class = 3};
  const DatasetSplits data = open_dataset(root.path(), options);
  EXPECT_THAT(data.train->classes(), ElementsAre("b", "d"));
  EXPECT_EQ(data.train->size(), 6);
  EXPECT_EQ(data.train->label(5), 1);
  EXPECT_EQ(data.val->size(), 8);
  EXPECT_EQ(names(*data.train), names(*open_dataset(root.path(), options).train));
  EXPECT_EQ(open_dataset(root.path(), {.max_val_per_class = 1}).val->size(), 4);
}

TEST(ImageFolder, MistakesAreNamed) {
  const TempFolder root;
  const auto message = [&](const DatasetOptions& options = {}) {
    return error_of([&] { open_dataset(root.path(), options); });
  };
  EXPECT_THAT(error_of([&] { open_dataset(root / "nowhere"); }),
              AllOf(HasSubstr("nowhere"), HasSubstr("no such folder")));
  EXPECT_THAT(message(), HasSubstr("no class folders"));
  write_class(root / "train", "a", 2, 8, 8);
  EXPECT_THAT(message(), HasSubstr("only one class (\"a\")"));
  std::filesystem::create_directories(root / "train/b");
  EXPECT_THAT(message(), AllOf(HasSubstr("train/b"), HasSubstr("is empty")));
  write_class(root / "train", "b", 2, 8, 8);
  write_class(root / "val", "z", 1, 8, 8);
  EXPECT_THAT(message(), AllOf(HasSubstr("class \"z\""), HasSubstr("no training images")));
  std::filesystem::rename(root / "val/z", root / "val/a");
  EXPECT_EQ(message(), "(no error)");
  EXPECT_THAT(message({.keep_classes = {"a", "tulip"}}), HasSubstr("no class \"tulip\""));
  EXPECT_THAT(message({.keep_classes = {"a"}}), HasSubstr("only one class"));
  EXPECT_THAT(message({.val_fraction = 1}), HasSubstr("fraction"));
  std::filesystem::remove(root / "val/a/img_0.jpg");
  EXPECT_THAT(message(), HasSubstr("no images in"));
}

}  // namespace
}  // namespace tinytl
