#include "tinytl/cli/profile_trace.h"

#include "engine/graph/replace_file.h"
#include "tinytl/cli/plan_facts.h"
#include "tinytl/cli/profile_text.h"

namespace tinytl::cli {
namespace {

using Json = nlohmann::ordered_json;

constexpr int kProcess = 1;

// Tracks stand in the order of the phases: their number is the place among them, from 1.
int track_of(Phase phase) {
  int track = 1;
  for (const Phase p : kProfilePhases) {
    if (p == phase) break;
    ++track;
  }
  return track;
}

Json metadata(const char* what, int track, const Json& args) {
  return {{"name", what}, {"ph", "M"}, {"pid", kProcess}, {"tid", track}, {"args", args}};
}

void add_tracks(Json& events) {
  events.push_back(metadata("process_name", 0, {{"name", "training step"}}));
  for (const Phase phase : kProfilePhases) {
    const int track = track_of(phase);
    events.push_back(metadata("thread_name", track, {{"name", name_of(phase)}}));
    events.push_back(metadata("thread_sort_index", track, {{"sort_index", track}}));
  }
}

Json event_of(const ProfiledNode& node, size_t part, double begin, double seconds) {
  return {{"name", node.name.empty() ? node.op : node.name},
          {"cat", node.op},
          {"ph", "X"},
          {"ts", 1e6 * begin},
          {"dur", 1e6 * seconds},
          {"pid", kProcess},
          {"tid", track_of(node.phase)},
          {"args",
           {{"op", node.op},
            {"shape", node.type},
            {"flops", node.flops},
            {"bytes", node.bytes},
            {"micro_batch", part}}}};
}

}  // namespace

Json profile_trace(const Profile& profile) {
  Json events = Json::array();
  add_tracks(events);
  double now = 0;
  const auto parts = profile.times().median_step();
  for (size_t part = 0; part < parts.size(); ++part) {
    for (size_t i = 0; i < parts[part].size(); ++i) {
      events.push_back(event_of(profile.nodes()[i], part, now, parts[part][i]));
      now += parts[part][i];
    }
  }
  return {{"traceEvents", events}, {"displayTimeUnit", "ms"}};
}

void write_profile(const std::filesystem::path& path, const Profile& profile) {
  const bool is_trace = path.extension() == ".json";
  replace_file(path,
               is_trace ? profile_trace(profile).dump(1, ' ', false, Json::error_handler_t::replace)
                        : profile_text(profile));
}

}  // namespace tinytl::cli
