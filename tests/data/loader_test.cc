// The loader: same batches whatever the timing, resume, damaged files, bounded memory.

#include "tinytl/data/loader.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <malloc.h>

#include <atomic>
#include <chrono>
#include <cstdlib>
#include <new>
#include <numeric>
#include <set>
#include <thread>

#include "tests/data/support.h"
#include "tinytl/data/normalise.h"

// Counts what the program allocates through operator new.
namespace {
thread_local int64_t allocations_of_thread = 0;
std::atomic<int64_t> live_bytes = 0;
}  // namespace

void* operator new(size_t bytes) {
  void* p = std::malloc(bytes == 0 ? 1 : bytes);
  if (!p) throw std::bad_alloc();
  ++allocations_of_thread;
  live_bytes += static_cast<int64_t>(malloc_usable_size(p));
  return p;
}

void operator delete(void* p) noexcept {
  if (!p) return;
  live_bytes -= static_cast<int64_t>(malloc_usable_size(p));
  std::free(p);
}

void operator delete(void* p, size_t) noexcept { operator delete(p); }

namespace tinytl {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::SizeIs;

// What makes two batches the same.
using Content = std::tuple<int64_t, int64_t, Bytes, std::vector<int32_t>, std::vector<int64_t>>;

Content content(const Batch& b) { return {b.epoch, b.number, b.pixels, b.labels, b.indices}; }

class LoaderTest : public testing::Test {
 protected:
  void SetUp() override {
    write_class(root_ / "train", "a", 12);
    write_class(root_ / "train", "b", 11);
    write_class(root_ / "val", "a", 3);
    write_class(root_ / "val", "b", 2);
    data_ = open_dataset(root_.path());
  }

  static LoaderOptions options() { return {.batch_size = 4, .size = {16, 16, 3}, .seed = 5}; }

  std::vector<Content> run(const LoaderOptions& o, int epochs, int sleep_us = 0) {
    Loader loader(*data_.train, o);
    std::vector<Content> all;
    Batch batch;
    while (epochs > 0) {
      if (!loader.next(batch)) {
        --epochs;
        continue;
      }
      all.push_back(content(batch));
      std::this_thread::sleep_for(std::chrono::microseconds(sleep_us));
    }
    return all;
  }

  TempFolder root_;
  DatasetSplits data_;
};

TEST_F(LoaderTest, GivesEverySampleOncePerEpoch) {
  LoaderOptions o = options();
  o.drop_last = false;
  std::multiset<int64_t> seen;
  for (const Content& c : run(o, 1)) seen.insert(std::get<4>(c).begin(), std::get<4>(c).end());
  EXPECT_EQ(seen.size(), 23u);
  EXPECT_EQ(std::set<int64_t>(seen.begin(), seen.end()).size(), 23u);
}

TEST_F(LoaderTest, DropLastGivesFullBatchesOnly) {
  const std::vector<Content> batches = run(options(), 1);
  EXPECT_EQ(batches.size(), 5u);
  for (const Content& c : batches) EXPECT_THAT(std::get<3>(c), SizeIs(4));
}

TEST_F(LoaderTest, TimingAndQueueLengthChangeNothing) {
  const std::vector<Content> batches = run(options(), 3);
  LoaderOptions longer = options();
  longer.prefetch = 7;
  EXPECT_EQ(run(longer, 3), batches);
  longer.prefetch = 1;
  EXPECT_EQ(run(longer, 3, 500), batches);
  longer.seed = 6;
  EXPECT_NE(run(longer, 3), batches);
}

// The samples of a step, whatever batches it comes in, and wherever the loader starts.
TEST_F(LoaderTest, SmallerBatchesAreTheSameSamples) {
  write_file(root_ / "train/a/img_1.jpg", {0xFF, 0xD8, 0xFF, 0, 0});
  for (const int first_step : {0, 2}) {
    LoaderOptions o = options();
    o.batch_size = 8;  // two steps of 23 samples; seven are left over
    o.first_batch = first_step;
    const std::vector<Content> steps = run(o, 3);
    for (const int size : {1, 2, 4}) {
      o.batch_size = size;
      o.step_batches = 8 / size;
      o.first_batch = first_step * o.step_batches;
      const std::vector<Content> parts = run(o, 3);
      ASSERT_EQ(parts.size(), steps.size() * static_cast<size_t>(o.step_batches));
      for (size_t i = 0; i < steps.size(); ++i) {
        Content joined = steps[i];
        std::get<2>(joined).clear(), std::get<3>(joined).clear(), std::get<4>(joined).clear();
        for (int p = 0; p < o.step_batches; ++p) {
          const Content& part = parts[i * static_cast<size_t>(o.step_batches) + p];
          EXPECT_EQ(std::get<0>(part), std::get<0>(joined));
          const auto append = [](auto& to, const auto& from) {
            to.insert(to.end(), from.begin(), from.end());
          };
          append(std::get<2>(joined), std::get<2>(part));
          append(std::get<3>(joined), std::get<3>(part));
          append(std::get<4>(joined), std::get<4>(part));
        }
        EXPECT_EQ(joined, steps[i]) << size << " in step " << i;
      }
    }
  }
}

TEST_F(LoaderTest, TheFrontStaysUntilItIsPopped) {
  const std::vector<Content> batches = run(options(), 2);
  LoaderOptions o = options();
  o.prefetch = 1;
  o.end_epoch = 2;
  Loader loader(*data_.train, o);
  size_t at = 0;
  for (int epoch = 0; epoch < 2; ++epoch) {
    while (const Batch* const batch = loader.front()) {
      EXPECT_EQ(loader.front(), batch);
      EXPECT_EQ(content(*batch), batches.at(at++));
      loader.pop();
    }
  }
  EXPECT_EQ(at, batches.size());
  EXPECT_EQ(loader.front(), nullptr);
}

TEST_F(LoaderTest, EpochsDiffer) {
  const std::vector<Content> batches = run(options(), 2);
  EXPECT_NE(std::get<4>(batches[0]), std::get<4>(batches[5]));
}

TEST_F(LoaderTest, ResumesAtAnyBatch) {
  const std::vector<Content> batches = run(options(), 3);
  for (int first = 0; first <= 5; ++first) {
    LoaderOptions o = options();
    o.first_epoch = 1;
    o.first_batch = first;
    EXPECT_EQ(run(o, 2), std::vector(batches.begin() + 5 + first, batches.end())) << first;
  }
}

TEST_F(LoaderTest, EvaluationGoesThroughInOrder) {
  LoaderOptions o = evaluation_loader({16, 16, 3}, 2);
  o.end_epoch = 1;
  Loader loader(*data_.val, o);
  Batch batch;
  std::vector<int64_t> indices;
  std::vector<int> counts;
  while (loader.next(batch)) {
    indices.insert(indices.end(), batch.indices.begin(), batch.indices.end());
    counts.push_back(batch.count);
  }
  EXPECT_THAT(indices, ElementsAre(0, 1, 2, 3, 4));
  EXPECT_THAT(counts, ElementsAre(2, 2, 1));
  EXPECT_FALSE(loader.next(batch));
  EXPECT_FALSE(loader.next(batch));
}

TEST_F(LoaderTest, EvaluationCanBeRepeated) {
  Loader loader(*data_.val, evaluation_loader({16, 16, 3}, 2));
  Batch batch;
  std::vector<Bytes> first, second;
  while (loader.next(batch)) first.push_back(batch.pixels);
  while (loader.next(batch)) second.push_back(batch.pixels);
  EXPECT_EQ(first, second);
  EXPECT_THAT(first, SizeIs(3));
}

TEST_F(LoaderTest, DamagedSamplesAreReplacedAndNamed) {
  write_file(root_ / "train/a/img_1.jpg", {0xFF, 0xD8, 0xFF, 0, 0});
  write_file(root_ / "train/b/img_2.jpg", {});
  const std::vector<Content> batches = run(options(), 2);
  ASSERT_EQ(batches.size(), 10u);
  for (const Content& c : batches) EXPECT_THAT(std::get<4>(c), SizeIs(4));

  LoaderOptions resumed = options();
  resumed.first_epoch = 1;
  resumed.first_batch = 3;
  EXPECT_EQ(run(resumed, 1), std::vector(batches.begin() + 8, batches.end()));

  LoaderOptions all = options();
  all.drop_last = false;
  all.end_epoch = 3;
  Loader loader(*data_.train, all);
  Batch batch;
  for (int epoch = 0; epoch < 3; ++epoch) {
    while (loader.next(batch)) continue;
  }
  EXPECT_THAT(loader.damaged(), testing::UnorderedElementsAre(HasSubstr("train/a/img_1.jpg"),
                                                              HasSubstr("train/b/img_2.jpg")));
}

TEST_F(LoaderTest, EvaluationLeavesDamagedSamplesOut) {
  write_file(root_ / "val/a/img_1.jpg", {});
  LoaderOptions o = evaluation_loader({16, 16, 3}, 1);
  Loader loader(*data_.val, o);
  Batch batch;
  std::vector<int64_t> indices;
  while (loader.next(batch)) indices.push_back(batch.indices.at(0));
  EXPECT_THAT(indices, ElementsAre(0, 2, 3, 4));
}

TEST_F(LoaderTest, StrictThrows) {
  write_file(root_ / "train/a/img_1.jpg", {});
  LoaderOptions o = options();
  o.on_damage = OnDamage::kThrow;
  o.drop_last = false;
  Loader loader(*data_.train, o);
  Batch batch;
  EXPECT_THROW(while (loader.next(batch)) continue, ImageError);
  EXPECT_THROW(loader.next(batch), ImageError);
}

TEST_F(LoaderTest, NothingReadableIsAnError) {
  for (int64_t i = 0; i < data_.val->size(); ++i) write_file(data_.val->name(i), {});
  for (const OnDamage on_damage : {OnDamage::kReplace, OnDamage::kSkip}) {
    LoaderOptions o = options();
    o.on_damage = on_damage;
    o.drop_last = false;
    Loader loader(*data_.val, o);
    Batch batch;
    EXPECT_THAT(error_of([&] {
                  while (loader.next(batch)) continue;
                }),
                HasSubstr("none of its 5 samples"));
  }
}

TEST_F(LoaderTest, IsDestroyedWithoutBeingRead) {
  for (int i = 0; i < 20; ++i) {
    Loader loader(*data_.train, options());
    Batch batch;
    if (i % 2 == 0) loader.next(batch);
  }
}

TEST_F(LoaderTest, SenselessOptionsAreRefused) {
  const auto message = [&](auto change) {
    LoaderOptions o = options();
    change(o);
    return error_of([&] { Loader loader(*data_.train, o); });
  };
  EXPECT_THAT(message([](auto& o) { o.batch_size = 0; }), HasSubstr("batch size 0"));
  EXPECT_THAT(
      message([](auto& o) { o.batch_size = 24; }),
      testing::ContainsRegex("data set with .*train.*: 23 samples do not fill a batch of 24"));
  EXPECT_THAT(message([](auto& o) { o.size.channels = 4; }), HasSubstr("1 or 3 channels"));
  EXPECT_THAT(message([](auto& o) { o.first_batch = 9; }), HasSubstr("cannot resume"));
}

TEST_F(LoaderTest, AllocatesNothingInTheConsumerAndDoesNotGrow) {
  Loader loader(*data_.train, options());
  Batch batch;
  const auto epoch = [&] {
    while (loader.next(batch)) continue;
  };
  for (int i = 0; i < 3; ++i) epoch();
  const int64_t allocations = allocations_of_thread;
  const int64_t live = live_bytes;
  for (int i = 0; i < 20; ++i) epoch();
  EXPECT_EQ(allocations_of_thread, allocations);
  // The thread may be decoding an image at either moment.
  EXPECT_NEAR(static_cast<double>(live_bytes - live), 0, 40 * 32 * 3 + 16384);
}

TEST(FloatLoader, GivesTheVectorsOfTheRows) {
  const TempFolder root;
  std::vector<float> values(12);
  std::iota(values.begin(), values.end(), 0.f);
  write_file(root / "train-idx2", idx_bytes(0x0D, {6, 2}, big_endian(values)));
  const DatasetSplits data = open_dataset(root.path(), {.val_fraction = 0});
  Loader loader(*data.train, {.batch_size = 2, .size = {1, 1, 2}});
  Batch batch;
  ASSERT_TRUE(loader.next(batch));
  std::vector<float> out(4);
  to_float(batch, {}, out.data());
  for (int i = 0; i < 2; ++i) {
    EXPECT_EQ(out[2 * i], 2 * batch.indices[i]);
    EXPECT_EQ(out[2 * i + 1], 2 * batch.indices[i] + 1);
  }
  EXPECT_EQ(batch.labels[0], -1);
  EXPECT_THAT(error_of([&] {
                Loader(*data.train, {.size = {1, 1, 3}});
              }),
              HasSubstr("samples of 2 numbers"));
}

TEST(IdxLoader, TakesImagesOfTheRightSizeWhole) {
  const TempFolder root;
  Bytes pixels(2 * 8 * 8);
  std::iota(pixels.begin(), pixels.end(), uint8_t{0});
  write_file(root / "train-images-idx3", idx_bytes(0x08, {2, 8, 8}, pixels));
  write_file(root / "train-labels-idx1", idx_bytes(0x08, {2}, {0, 1}));
  const DatasetSplits data = open_dataset(root.path(), {.val_fraction = 0});
  Loader loader(*data.train, evaluation_loader({8, 8, 1}, 2));
  Batch batch;
  ASSERT_TRUE(loader.next(batch));
  EXPECT_EQ(batch.pixels, pixels);
}

TEST(Normalise, IsTheFormulaToTheLastBit) {
  Bytes pixels(3 * 256);
  for (size_t i = 0; i < pixels.size(); ++i) pixels[i] = static_cast<uint8_t>(i / 3);
  const Normalisation imagenet{{123.675f, 116.28f, 103.53f}, {58.395f, 57.12f, 57.375f}};
  for (const Normalisation& n : {Normalisation{}, imagenet}) {
    std::vector<float> out(pixels.size());
    to_float(pixels, 3, n, out.data());
    for (size_t i = 0; i < pixels.size(); ++i) {
      EXPECT_EQ(out[i], (static_cast<float>(pixels[i]) - n.mean[i % 3]) / n.deviation[i % 3]);
    }
  }
  float gray = 0;
  to_float(Bytes{255}, 1, imagenet, &gray);
  EXPECT_EQ(gray, (255 - 123.675f) / 58.395f);
}

}  // namespace
}  // namespace tinytl
