// What --resume continues from: the position of a run beside its tensors.

#include <nlohmann/json.hpp>

#include "tinytl/train/position.h"

namespace tinytl {
namespace {

using Json = nlohmann::ordered_json;

constexpr const char* kCheckpointFormat = "tinytl-checkpoint-1";

Json to_json(const EpochResult& e) {
  return {e.loss, e.train_top1, e.val_loss, e.val_top1, e.seconds};
}

EpochResult epoch_of(const Json& json) {
  return {json.at(0), json.at(1), json.at(2), json.at(3), json.at(4)};
}

void check_same_network(const LearntInfo& then, const LearntInfo& now,
                        const std::filesystem::path& path) {
  if (then.model_fingerprint != now.model_fingerprint) {
    throw InputError(path.string() +
                     ": is the checkpoint of another network; give the --model it was made with");
  }
  const std::string other = first_difference(then, now);
  if (!other.empty()) {
    throw InputError(path.string() + ": was made with another \"" + other +
                     "\"; a resumed run needs the options and the data set of the first");
  }
}

}  // namespace

void Trainer::save_checkpoint(const Position& at, const TrainingResult& result) const {
  check_not_diverged(at, result);
  TensorFile file = pack_learnt(info_, session_.learnt());
  for (const Value& value : session_.state()) file.tensors.push_back({value.name, value.data});
  Json epochs = Json::array();
  for (const EpochResult& e : result.epochs) epochs.push_back(to_json(e));
  const Json json = {{"epochs_planned", options_.epochs},
                     {"seed", options_.seed},
                     {"batch_size", session_.batch_size()},
                     {"micro_batch_size", session_.micro_batch_size()},
                     {"samples", train_.size()},
                     {"recipe", options_.recipe},
                     {"head_rate", rates_.head},
                     {"backbone_rate", rates_.backbone},
                     {"lite_rate", rates_.lite},
                     {"epoch", at.epoch},
                     {"batch", at.batch},
                     {"step", at.step},
                     {"loss_sum", at.loss_sum},
                     {"correct", at.correct},
                     {"seconds", at.seconds},
                     {"updates", session_.updates},
                     {"pending_micro_batches", session_.pending_micro_batches},
                     {"best_epoch", result.best_epoch},
                     {"epochs", epochs}};
  file.metadata["checkpoint"] = json.dump();
  file.metadata["checkpoint_format"] = kCheckpointFormat;
  write_safetensors(options_.checkpoint, file);
}

void Trainer::load_checkpoint(Position& at, TrainingResult& result) {
  const std::filesystem::path& path = options_.checkpoint;
  const TensorFile file = read_safetensors(path);
  const auto text = file.metadata.find("checkpoint");
  if (text == file.metadata.end()) {
    throw InputError(path.string() + ": is not a checkpoint of tinytl-train; --resume needs one");
  }
  check_same_network(unpack_info(file, path), info_, path);
  try {
    check_same_run(text->second);
    if (file.tensors.size() != session_.learnt().size() + session_.state().size()) {
      throw InputError(path.string() +
                       ": holds the state of another optimizer; a resumed run needs the same "
                       "--optimizer, --momentum and --accumulate");
    }
    read_position(text->second, at, result);
  } catch (const Json::exception& error) {
    throw InputError(path.string() + ": the checkpoint is damaged: " + error.what());
  }
  if (result.best_epoch >= 0 && !options_.save.empty() && !std::filesystem::exists(options_.save)) {
    throw InputError(options_.save.string() +
                     ": is missing, and with it the best model of the run "
                     "that " +
                     path.string() +
                     " continues; give the --save of that run, or start "
                     "without --resume");
  }
  restore(session_.learnt(), file, path);
  restore(session_.state(), file, path);
}

// And takes the rates from it, where they were chosen rather than given.
void Trainer::check_same_run(const std::string& text) {
  const Json json = Json::parse(text);
  const std::string path = options_.checkpoint.string();
  const auto must_match = [&](const char* key, int64_t now, const char* flag) {
    if (json.at(key).get<int64_t>() == now) return;
    throw InputError(path + ": was made with " + flag + " " + json.at(key).dump() +
                     ", this run has " + std::to_string(now) + "; a resumed run needs the same");
  };
  must_match("epochs_planned", options_.epochs, "--epochs");
  must_match("seed", static_cast<int64_t>(options_.seed), "--seed");
  must_match("batch_size", session_.batch_size(), "--batch-size");
  // Sums of gradients in another order differ in their last bits.
  must_match("micro_batch_size", session_.micro_batch_size(), "--micro-batch");
  must_match("samples", train_.size(), "a number of training samples of");
  if (json.at("recipe") != options_.recipe) {
    throw InputError(path + ": was made with other options (" +
                     json.at("recipe").get<std::string>() + "); a resumed run needs the same");
  }
  const LearningRates rates{json.at("head_rate"), json.at("backbone_rate"), json.at("lite_rate")};
  if (rates != rates_ && !options_.resume_rates) {
    throw InputError(path + ": was made with --lr " + json.at("backbone_rate").dump() +
                     ", --head-lr " + json.at("head_rate").dump() + " and --lite-lr " +
                     json.at("lite_rate").dump() + "; a resumed run needs the same");
  }
  rates_ = rates;
}

void Trainer::read_position(const std::string& text, Position& at, TrainingResult& result) {
  const Json json = Json::parse(text);
  at.epoch = json.at("epoch");
  at.batch = json.at("batch");
  at.step = json.at("step");
  at.loss_sum = json.at("loss_sum");
  at.correct = json.at("correct");
  at.seconds = json.at("seconds");
  session_.updates = json.at("updates");
  session_.pending_micro_batches = json.at("pending_micro_batches");
  result.best_epoch = json.at("best_epoch");
  for (const Json& e : json.at("epochs")) result.epochs.push_back(epoch_of(e));
  const auto epochs = static_cast<int64_t>(result.epochs.size());
  if (at.epoch != epochs || at.batch < 0 || at.batch > steps_per_epoch_ ||
      at.step != at.epoch * steps_per_epoch_ + at.batch || result.best_epoch < -1 ||
      result.best_epoch >= epochs) {
    throw InputError(options_.checkpoint.string() +
                     ": the checkpoint is damaged: its position is impossible");
  }
}

}  // namespace tinytl
