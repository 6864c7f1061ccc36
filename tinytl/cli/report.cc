#include "tinytl/cli/report.h"

#include "engine/graph/replace_file.h"
#include "tinytl/cli/load_network.h"

namespace tinytl::cli {

Json plan_report(const MethodArguments& args, const Setup& setup) {
  const MemoryReport& memory = setup.session->memory();
  Json levers = Json::array();
  for (const PlannedStep& lever : setup.levers) {
    levers.push_back({{"lever", lever.what},
                      {"arena_bytes", lever.arena_bytes},
                      {"training_memory_bytes", lever.training_memory_bytes},
                      {"predicted_step_seconds", setup.machine_scale * lever.seconds}});
  }
  return {{"model", network_name(args)},
          {"update", name_of(update_of(args))},
          {"batch_size", setup.session->batch_size()},
          {"micro_batch_size", setup.session->micro_batch_size()},
          {"classes", setup.session->classes()},
          {"optimizer", args.optimizer},
          {"width", args.width},
          {"frozen_weights", args.frozen_weights},
          {"save_activations", args.save_activations},
          {"seed", args.seed},
          {"threads", args.threads},
          {"arena_bytes", memory.arena},
          {"inference_arena_bytes", memory.inference},
          {"lower_bound_bytes", memory.lower_bound},
          {"gap", memory.gap()},
          {"saved_bytes", memory.saved},
          {"trainable_scalars", memory.trainable_scalars},
          {"trainable_bytes", memory.trainable},
          {"optimizer_bytes", memory.optimizer},
          {"frozen_bytes", memory.frozen},
          {"xnnpack_bytes", memory.xnnpack},
          {"training_memory_bytes", memory.training_memory()},
          {"predicted_step_seconds", setup.predicted_seconds},
          {"regions_in_pieces", setup.regions_in_pieces},
          {"values_recomputed", setup.values_recomputed},
          {"levers", levers},
          {"alive_bytes", setup.alive.bytes},
          {"backward_begins", setup.alive.backward_begins}};
}

void add_run(Json& report, const TrainingResult& result, const Measured& measured) {
  const auto if_validated = [&](double value) { return result.validated ? Json(value) : Json(); };
  report["measured_arena_bytes"] = measured.arena_bytes;
  report["measured_peak_rss_bytes"] = measured.peak_rss_bytes;
  report["allocations_in_step"] = result.allocations_in_step;
  report["step_seconds_median"] = result.step_seconds_median;
  report["head_learning_rate"] = result.rates.head;
  report["learning_rate"] = result.rates.backbone;
  report["lite_learning_rate"] = result.rates.lite;
  Json epochs = Json::array();
  for (const EpochResult& e : result.epochs) {
    epochs.push_back({{"loss", e.loss},
                      {"train_top1", e.train_top1},
                      {"val_loss", if_validated(e.val_loss)},
                      {"val_top1", if_validated(e.val_top1)},
                      {"seconds", e.seconds}});
  }
  report["epochs"] = epochs;
  report["val_top1"] = nullptr;  // without validation
  if (result.best_epoch >= 0) {
    const EpochResult& kept = result.epochs[static_cast<size_t>(result.best_epoch)];
    report["kept_epoch"] = result.best_epoch + 1;
    report["val_top1"] = if_validated(kept.val_top1);
    report["val_loss"] = if_validated(kept.val_loss);
    report["last_val_top1"] = if_validated(result.epochs.back().val_top1);
  }
  report["interrupted"] = result.interrupted;
  report["damaged_images"] = result.damaged;
}

void write_report(const std::filesystem::path& path, const Json& report) {
  replace_file(path, report.dump(2, ' ', false, Json::error_handler_t::replace) + "\n");
}

}  // namespace tinytl::cli
