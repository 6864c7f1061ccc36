// The flowers17 photographs, if they are on this machine.

#include <gtest/gtest.h>

#include <cstdlib>

#include "tinytl/data/loader.h"

namespace tinytl {
namespace {

TEST(RealData, Flowers17) {
  const char* folder = std::getenv("TINYTL_DATA");
  if (!folder) GTEST_SKIP() << "set TINYTL_DATA to the folder of models and data sets";
  const DatasetSplits data = open_dataset(std::filesystem::path(folder) / "datasets" / "flowers17");
  EXPECT_EQ(data.train->classes().size(), 17u);
  EXPECT_EQ(data.train->size(), 1020);
  EXPECT_EQ(data.val->size(), 340);
  EXPECT_EQ(data.ignored_files, 0);

  LoaderOptions o = evaluation_loader({128, 128, 3}, 8);
  o.on_damage = OnDamage::kThrow;
  Loader loader(*data.val, o);
  Batch batch;
  int64_t count = 0;
  double sum = 0;
  while (loader.next(batch)) {
    count += batch.count;
    for (const uint8_t p : batch.pixels) sum += p;
  }
  EXPECT_EQ(count, 340);
  EXPECT_NEAR(sum / static_cast<double>(344 * batch.pixels.size() / 8), 110, 40);
}

}  // namespace
}  // namespace tinytl
