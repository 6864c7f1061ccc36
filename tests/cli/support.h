// Running the real commands on small data that every test makes for itself.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <onnx/onnx_pb.h>
#include <sys/types.h>

#include <nlohmann/json.hpp>

#include "tests/data/support.h"

namespace tinytl {

using Json = nlohmann::json;
using Words = std::vector<std::string>;

struct Output {
  int exit_code = -1;  // 128 + signal where it was killed
  std::string out, err;
};
std::ostream& operator<<(std::ostream& out, const Output& output);  // for failures

// A command that runs beside the test, killed with it.
class Process {
 public:
  // `file_bytes_limit` > 0: writing more than that to a file fails, as on a full disk.
  Process(const Words& command, const std::filesystem::path& folder, size_t file_bytes_limit = 0);
  ~Process();
  Process(const Process&) = delete;
  Process& operator=(const Process&) = delete;

  // Until standard output holds `text`; false if the command ends, or 20 s pass, before.
  bool wait_for(const std::string& text);
  void send(int signal) const;
  Output wait();

 private:
  bool ended();
  std::filesystem::path out_, err_;
  pid_t pid_ = -1;
  int status_ = 0;
};

// Photographs of three classes with a network for them, and the commands.
class CliTest : public testing::Test {
 protected:
  static constexpr int kTrainPerClass = 8, kValPerClass = 3;
  CliTest();

  Output run(const Words& command, size_t file_bytes_limit = 0) const;
  // tinytl-train on the photographs with these flags, small steps of all kinds included.
  Words train_command(const Words& flags = {}) const;
  Output train(const Words& flags = {}) const { return run(train_command(flags)); }

  // The commands run in this folder: names of files may be relative.
  TempFolder folder;
  std::string path(const std::string& name) const { return (folder / name).string(); }
  std::string text_of(const std::string& name) const;
  Json json_of(const std::string& name) const { return Json::parse(text_of(name)); }
  const std::string model = std::string(TINYTL_GOLDEN) + "/mobilenet_small.onnx";
};

// Exit code, one line on stderr that begins with the name of the command and holds all of `texts`.
testing::Matcher<const Output&> fails_with(int exit_code, const Words& texts);

// A model of opset 13 with input "x" [N,shape...] and output "y".
onnx::ModelProto empty_model(const std::vector<int64_t>& shape);
onnx::NodeProto& add_node(onnx::ModelProto& model, const std::string& op, const Words& inputs,
                          const std::string& output);
void add_weights(onnx::ModelProto& model, const std::string& name,
                 const std::vector<int64_t>& shape);
void write_model(const std::filesystem::path& file, const onnx::ModelProto& model);

// Trained tensors and nothing else: the same bits or not.
Bytes learnt_bytes(const std::filesystem::path& file);

}  // namespace tinytl
