// What a study draws: its statistics, its labels, its page.

#include "tinytl/cli/study_page.h"

#include <cmath>
#include <random>

#include "tests/cli/support.h"
#include "tests/cli/xml_defect.h"
#include "tinytl/cli/study_figures.h"
#include "tinytl/cli/study_grid.h"
#include "tinytl/cli/study_svg.h"
#include "tinytl/cli/study_variants.h"

namespace tinytl {
namespace {

using namespace cli;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;

StudyRow row_of(const std::string& data, const std::string& method, size_t seed, double accuracy,
                size_t bytes) {
  StudyRow row;
  row.model = "net_fp32";
  row.data = data;
  row.method = method;
  row.seed = seed;
  row.options = "--epochs 3 --batch-size 8";
  row.epochs = 3;
  row.batch_size = 8;
  row.last_val_top1 = row.best_val_top1 = accuracy;
  row.loss = {2.0, 1.5 - accuracy, 1.2 - accuracy};
  row.val_top1 = {accuracy / 2, accuracy / 1.5, accuracy};
  row.training_memory_bytes = bytes;
  row.arena_bytes = bytes / 2;
  row.frozen_bytes = bytes - bytes / 2;
  row.measured_peak_rss_bytes = bytes + 500000 + seed;
  row.step_seconds_median = 0.004;
  row.alive_bytes = {bytes / 4, bytes / 2, bytes / 3};
  row.backward_begins = 1;
  return row;
}

// Every method on some data sets, each with three seeds.
std::vector<StudyRow> many_rows(const std::vector<std::string>& data) {
  std::vector<StudyRow> rows;
  for (const std::string& set : data) {
    for (size_t m = 0; m < study_methods().size(); ++m) {
      for (size_t seed = 0; seed < 3; ++seed) {
        rows.push_back(row_of(set, study_methods()[m], seed,
                              0.5 + 0.05 * double(m) + 0.01 * double(seed), (2 + m) * 1000000));
      }
    }
  }
  return rows;
}

TEST(StudyGroups, SeedsAreOneGroupWithItsStatistics) {
  const std::vector<StudyRow> rows{
      row_of("a", "bias", 0, 0.5, 100), row_of("a", "bias", 1, 0.6, 100),
      row_of("a", "bias", 2, 0.7, 100), row_of("a", "last", 0, 0.4, 90)};
  const Study study = study_of(rows);
  ASSERT_EQ(study.groups.size(), 2u);
  EXPECT_THAT(study.methods, ElementsAre("last", "bias"));  // not in the order of the rows
  const StudyGroup& bias = study.groups[1];
  EXPECT_DOUBLE_EQ(bias.mean, 0.6);
  EXPECT_NEAR(bias.deviation, 0.1, 1e-12);
  EXPECT_EQ(bias.low, 0.5);
  EXPECT_EQ(bias.high, 0.7);
  EXPECT_EQ(bias.measured_bytes, 500101u);  // the median
  const StudyCurve curve = curve_of(bias, &StudyRow::loss);
  ASSERT_EQ(curve.mean.size(), 3u);
  EXPECT_NEAR(curve.mean[2], 1.2 - 0.6, 1e-12);
  EXPECT_NEAR(curve.low[2], 1.2 - 0.7, 1e-12);
}

TEST(StudyGroups, OtherOptionsAreAnotherGroupThatSaysSo) {
  StudyRow longer = row_of("a", "bias", 0, 0.7, 100);
  longer.options = "--epochs 9 --batch-size 8";
  const Study study = study_of(std::vector{row_of("a", "bias", 0, 0.5, 100), longer});
  ASSERT_EQ(study.groups.size(), 2u);
  EXPECT_EQ(study.groups[0].name(), "bias, --epochs 3");
  EXPECT_EQ(study.groups[1].name(), "bias, --epochs 9");
}

TEST(StudyGroups, DivergedRunsLeaveTheCurveToTheOthers) {
  StudyRow diverged = row_of("a", "full", 1, 0.1, 100);
  diverged.loss[1] = diverged.loss[2] = NAN;
  const Study study = study_of(std::vector{row_of("a", "full", 0, 0.6, 100), diverged});
  const StudyCurve curve = curve_of(study.groups[0], &StudyRow::loss);
  ASSERT_EQ(curve.mean.size(), 3u);
  EXPECT_NEAR(curve.mean[2], 0.6, 1e-12);
}

TEST(ParetoFront, IsWhatNothingElseBeats) {
  // Memory, accuracy: the third costs more than the second for less, the fifth as much for less,
  // the last is the fourth again.
  const std::vector<std::pair<size_t, double>> points{{10, 0.5}, {20, 0.7}, {30, 0.6},
                                                      {40, 0.8}, {10, 0.4}, {40, 0.8}};
  std::vector<StudyGroup> groups(points.size());
  std::vector<const StudyGroup*> all;
  for (size_t i = 0; i < points.size(); ++i) {
    groups[i].largest.training_memory_bytes = points[i].first;
    groups[i].mean = points[i].second;
    all.push_back(&groups[i]);
  }
  EXPECT_THAT(pareto_front(all), ElementsAre(0, 1, 3));
  EXPECT_THAT(pareto_front({}), ElementsAre());
}

// By the definition, on random points.
TEST(ParetoFront, HasNoPointThatAnotherBeats) {
  std::mt19937 random(7);
  for (int trial = 0; trial < 200; ++trial) {
    std::vector<StudyGroup> groups(1 + random() % 20);
    std::vector<const StudyGroup*> all;
    for (StudyGroup& g : groups) {
      g.largest.training_memory_bytes = random() % 10;
      g.mean = double(random() % 10);
      all.push_back(&g);
    }
    const std::vector<size_t> front = pareto_front(all);
    for (size_t i = 0; i < groups.size(); ++i) {
      bool beaten = false, same = false;
      for (const StudyGroup& g : groups) {
        beaten |= (g.memory() <= groups[i].memory() && g.mean > groups[i].mean) ||
                  (g.memory() < groups[i].memory() && g.mean >= groups[i].mean);
      }
      for (const size_t f : front) {
        same |= groups[f].memory() == groups[i].memory() && groups[f].mean == groups[i].mean;
      }
      EXPECT_EQ(same, !beaten);
    }
  }
}

TEST(StudyLabels, NeverOverlapAndStayInside) {
  std::mt19937 random(3);
  std::uniform_real_distribution<double> anywhere(0, 300);
  const Area bounds{0, 0, 300, 300};
  size_t placed = 0;
  for (int trial = 0; trial < 50; ++trial) {
    std::vector<LabelWish> wishes;
    std::vector<Area> marks;
    for (int i = 0; i < 30; ++i) {
      const double x = anywhere(random), y = anywhere(random);
      wishes.push_back({x, y, 5, 60, 15});
      marks.push_back({x - 5, y - 5, x + 5, y + 5});
    }
    const auto places = place_labels(wishes, bounds, marks, {});
    ASSERT_EQ(places.size(), wishes.size());
    for (size_t i = 0; i < places.size(); ++i) {
      if (!places[i]) continue;
      ++placed;
      EXPECT_TRUE(places[i]->left >= 0 && places[i]->right <= 300 && places[i]->top >= 0 &&
                  places[i]->bottom <= 300);
      EXPECT_NEAR(places[i]->right - places[i]->left, 60, 1e-9);
      for (const Area& mark : marks) EXPECT_FALSE(overlap(*places[i], mark));
      for (size_t k = 0; k < i; ++k) {
        EXPECT_FALSE(places[k] && overlap(*places[i], *places[k]));
      }
    }
  }
  EXPECT_GT(placed, 50u * 15);
}

TEST(StudyLabels, FreePointsAreNamedAtTheirRight) {
  const auto places =
      place_labels(std::vector<LabelWish>{{50, 50, 5, 60, 15}}, {0, 0, 300, 300}, {}, {});
  ASSERT_TRUE(places[0].has_value());
  EXPECT_GE(places[0]->left, 55);
  EXPECT_LE(places[0]->left, 60);
  EXPECT_NEAR((places[0]->top + places[0]->bottom) / 2, 50, 1e-9);
}

TEST(StudyLabels, LinesKeepTheirDistanceAndOrder) {
  const std::vector<double> wished{50, 51, 90, 52, 10};
  const std::vector<double> places = spread(wished, 10, 0, 100);
  for (size_t i = 0; i < wished.size(); ++i) {
    for (size_t k = 0; k < wished.size(); ++k) {
      EXPECT_TRUE(wished[i] >= wished[k] || places[k] - places[i] >= 10 - 1e-9);
    }
  }
  EXPECT_EQ(places[4], 10);
  EXPECT_EQ(places[2], 90);
  EXPECT_NEAR((places[0] + places[1] + places[3]) / 3, 51, 1e-9);
  for (const double place : spread(std::vector<double>(20, 50), 10, 0, 100)) {
    EXPECT_TRUE(place >= -1e-9 && place <= 100 + 1e-9);
  }
}

TEST(StudyScales, TicksLieInsideAndAreEnough) {
  for (const double low : {0.3, 1.9, 2.0, 17.0, 800.0}) {
    for (const double factor : {1.1, 1.5, 4.0, 30.0, 5000.0}) {
      const Scale scale = log_scale(low, low * factor, 0, 500);
      EXPECT_GE(scale.ticks.size(), factor < 1.5 ? 1u : 2u) << low << " x " << factor;
      EXPECT_LE(scale.ticks.size(), 12u) << low << " x " << factor;
      for (const double tick : scale.ticks) EXPECT_TRUE(scale(tick) >= 0 && scale(tick) <= 500);
    }
  }
}

// The page as XML, and nothing that would be loaded from elsewhere.
void expect_whole(const std::string& page) {
  EXPECT_TRUE(page.starts_with("<!DOCTYPE html>\n"));
  EXPECT_EQ(xml_defect(page.substr(page.find('\n'))), "");
  for (const char* outside : {"src=", "href=", "@import", "url(", "<script"}) {
    EXPECT_THAT(page, Not(HasSubstr(outside)));
  }
}

TEST(StudyPage, IsWellFormedAndSelfContained) {
  for (const auto& data : std::vector<Words>{{"a"}, {"a", "b"}, {"a", "b", "c", "d", "e"}}) {
    const Study study = study_of(many_rows(data));
    expect_whole(study_html(study, {"tinytl-study --model net.onnx"}));
    EXPECT_EQ(xml_defect(front_file(study)), "");
  }
}

TEST(StudyPage, NothingAndOneRunCanBeDrawn) {
  expect_whole(study_html(study_of({}), {}));
  EXPECT_EQ(xml_defect(front_file(study_of({}))), "");
  StudyRow row = row_of("a", "bias", 0, 0.5, 100000);
  row.loss.resize(1);
  row.val_top1.resize(1);
  row.alive_bytes.clear();
  expect_whole(study_html(study_of(std::vector{row}), {}));
}

TEST(StudyPage, NamesAreEscaped) {
  std::vector<StudyRow> rows = many_rows({"a<b&\"c"});
  for (StudyRow& row : rows) row.model = "d<e&\"f", row.variant = "g<h\x01";
  const std::string page = study_html(study_of(rows), {"tinytl-study 'i<j'"});
  expect_whole(page);
  EXPECT_THAT(page, HasSubstr("tinytl-study 'i&lt;j'"));
}

TEST(StudyPage, FindsTheLeastMemoryWithinAPointOfFull) {
  const std::vector<StudyRow> rows{
      row_of("a", "last", 0, 0.4, 100),  row_of("a", "bias", 0, 0.595, 200),
      row_of("a", "lite", 0, 0.61, 300), row_of("a", "full", 0, 0.6, 900),
      row_of("b", "last", 0, 0.3, 100),  row_of("b", "bias", 0, 0.5, 200),
      row_of("b", "full", 0, 0.6, 900),  row_of("c", "bias", 0, 0.5, 200)};
  const Study study = study_of(rows);
  const StudyFinding a = finding_of(study, "a"), b = finding_of(study, "b");
  EXPECT_TRUE(a.within_a_point);
  EXPECT_EQ(a.found->method, "bias");
  EXPECT_FALSE(b.within_a_point);
  EXPECT_EQ(b.found->method, "bias");
  EXPECT_EQ(finding_of(study, "c").found, nullptr);
  EXPECT_THAT(study_html(study, {}), HasSubstr("1/4.5 of the memory"));
}

TEST(StudyVariants, AreComparedSeedBySeed) {
  std::vector<StudyRow> rows{row_of("a", "bias", 0, 0.50, 200), row_of("a", "bias", 1, 0.60, 200),
                             row_of("a", "bias", 2, 0.90, 200), row_of("a", "bias", 0, 0.48, 100),
                             row_of("a", "bias", 1, 0.60, 100), row_of("a", "last", 0, 0.40, 100)};
  rows[3].variant = rows[4].variant = rows[5].variant = "int8";
  const Study study = study_of(rows);
  const std::vector<VariantCost> costs = variant_costs(study);
  ASSERT_EQ(costs.size(), 1u);  // last has no plain run
  EXPECT_EQ(costs[0].seeds, 2u);
  EXPECT_NEAR(costs[0].change, -0.01, 1e-12);  // the third seed is no part of it
  EXPECT_NEAR(costs[0].error, 0.01, 1e-12);
  expect_whole(study_html(study, {}));
  EXPECT_THAT(variants_html(study), HasSubstr("\u22121.0</b> <small>± 1.0"));
  EXPECT_EQ(variants_html(study_of(many_rows({"a"}))), "");
}

}  // namespace
}  // namespace tinytl
