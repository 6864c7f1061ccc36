// Scheme files: what may stand in them, and what a person is told otherwise.

#include "sparse_update/scheme_file.h"

#include <gmock/gmock.h>

#include "engine/graph/error.h"

namespace tinytl {
namespace {

using Kind = SchemeEntry::Kind;
using testing::HasSubstr;

constexpr const char* kAllForms = R"({
  "name": "100 KB", "comment": "by hand",
  "train": ["blocks.11.*.bias", {"weight": "blocks.12.expand.weight", "channels": 0.25},
            {"weight": "fc.weight"}, {"channels": 0.5, "conv": 24}, {"conv": 3},
            {"last_biases": 22}, {"last_layers": 6}]})";

std::vector<SchemeEntry> all_forms() {
  return {{.kind = Kind::kTensors, .pattern = "blocks.11.*.bias"},
          {.kind = Kind::kWeight, .pattern = "blocks.12.expand.weight", .channels = 0.25},
          {.kind = Kind::kWeight, .pattern = "fc.weight"},
          {.kind = Kind::kConvolution, .number = 24, .channels = 0.5},
          {.kind = Kind::kConvolution, .number = 3},
          {.kind = Kind::kLastBiases, .number = 22},
          {.kind = Kind::kLastLayers, .number = 6}};
}

TEST(SchemeFile, HasAllFormsOfEntries) {
  const SchemeFile scheme = parse_scheme(kAllForms, "s.json");
  EXPECT_EQ(scheme.name, "100 KB");
  EXPECT_EQ(scheme.comment, "by hand");
  EXPECT_EQ(scheme.source, "s.json");
  EXPECT_EQ(scheme.train, all_forms());
}

TEST(SchemeFile, WhatIsWrittenIsReadAgain) {
  const SchemeFile scheme{.name = "a \"name\"", .comment = "1/3", .train = all_forms()};
  SchemeFile thirds = scheme;
  thirds.train[1].channels = 1.0 / 3;
  for (const SchemeFile& written : {scheme, thirds, SchemeFile{}}) {
    const SchemeFile read = parse_scheme(to_text(written), "s.json");
    EXPECT_EQ(read.train, written.train);
    EXPECT_EQ(read.name, written.name);
    EXPECT_EQ(read.comment, written.comment);
  }
}

TEST(SchemeFile, MayTrainNothingButTheClassifier) {
  EXPECT_TRUE(parse_scheme(R"({"train": []})", "s.json").train.empty());
}

struct Defect {
  const char* name;
  const char* text;
  const char* place;    // in the message
  const char* mending;  // in the message
};
void PrintTo(const Defect& d, std::ostream* out) { *out << d.name; }

const Defect kDefects[] = {
    {"NoJson", "{\"train\": [", "s.json: is no JSON", "line 1"},
    {"NoObject", "[]", "s.json: ", "a scheme is an object"},
    {"NoList", R"({"train": 3})", "s.json: ", "\"train\" takes a list, not 3"},
    {"NothingTrains", R"({"name": "x"})", "s.json: ", "has no \"train\""},
    {"UnknownKey", R"({"train": [], "tain": 1})", "s.json: ", "unknown key \"tain\""},
    {"NameIsNoText", R"({"train": [], "name": 1})", "s.json: ", "\"name\" takes a text"},
    {"EntryIsANumber", R"({"train": ["a", 7]})", "entry 2, 7: ", "an entry is"},
    {"EntryWithoutKey", R"({"train": [{"channels": 1}]})", "entry 1, ", "an entry is"},
    {"UnknownEntryKey", R"({"train": [{"con": 1}]})",
     "entry 1, {\"con\":1}: ", "unknown key \"con\""},
    {"TwoKeys", R"({"train": [{"conv": 1, "weight": "a"}]})", "entry 1, ", "one of its keys"},
    {"NegativeNumber", R"({"train": [{"conv": -1}]})", "entry 1, ", "a whole number from 0"},
    {"Fraction", R"({"train": [{"last_biases": 1.5}]})", "entry 1, ", "a whole number from 0"},
    {"ChannelsAboveOne", R"({"train": [{"conv": 1, "channels": 2}]})", "entry 1, ",
     "above 0 and at most 1"},
    {"ChannelsBelowZero", R"({"train": [{"conv": 1, "channels": -0.5}]})", "entry 1, ",
     "above 0 and at most 1"},
    {"ChannelsAsText", R"({"train": [{"conv": 1, "channels": "all"}]})", "entry 1, ",
     "above 0 and at most 1"},
    {"ChannelsOfBiases", R"({"train": [{"last_biases": 3, "channels": 0.5}]})", "entry 1, ",
     "\"channels\" belongs to \"weight\" or \"conv\""},
};

class BadSchemeFile : public testing::TestWithParam<Defect> {};

TEST_P(BadSchemeFile, IsOneLineThatSaysWhereAndWhat) {
  try {
    parse_scheme(GetParam().text, "s.json");
    FAIL() << "was taken";
  } catch (const InputError& error) {
    EXPECT_THAT(error.what(), testing::StartsWith("s.json: "));
    EXPECT_THAT(error.what(), HasSubstr(GetParam().place));
    EXPECT_THAT(error.what(), HasSubstr(GetParam().mending));
    EXPECT_THAT(error.what(), Not(HasSubstr("\n")));
  }
}

INSTANTIATE_TEST_SUITE_P(Defects, BadSchemeFile, testing::ValuesIn(kDefects),
                         [](const auto& test) { return std::string(test.param.name); });

TEST(SchemeFile, ThatIsMissingIsNamed) {
  try {
    read_scheme("no/such.json");
    FAIL();
  } catch (const InputError& error) {
    EXPECT_THAT(error.what(), HasSubstr("no/such.json: cannot be read"));
  }
}

}  // namespace
}  // namespace tinytl
