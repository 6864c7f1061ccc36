#include "tests/cli/support.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cmath>
#include <fstream>
#include <thread>

namespace tinytl {
namespace fs = std::filesystem;
namespace {

std::string text_file(const fs::path& file) {
  const Bytes bytes = read_file(file);
  return {bytes.begin(), bytes.end()};
}

void redirect(const fs::path& file, int descriptor) {
  const int opened = open(file.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0600);
  dup2(opened, descriptor);
  close(opened);
}

void limit_file_bytes(size_t bytes) {
  signal(SIGXFSZ, SIG_IGN);
  const rlimit limit{bytes, bytes};
  setrlimit(RLIMIT_FSIZE, &limit);
}

// Noise in which class `c` has more of channel c.
Image colour_image(int c, uint32_t seed) {
  Image image{22, 20, 3, {}};
  uint32_t state = seed * 2654435761u + static_cast<uint32_t>(c) + 1;
  for (int i = 0; i < image.width * image.height * 3; ++i) {
    state = state * 1664525u + 1013904223u;
    const uint32_t noise = (state >> 24) * 130 / 256;
    image.pixels.push_back(static_cast<uint8_t>(noise + (i % 3 == c ? 110u : 0u)));
  }
  return image;
}

}  // namespace

std::ostream& operator<<(std::ostream& out, const Output& output) {
  return out << "exit code " << output.exit_code << "\nstdout: " << output.out
             << "\nstderr: " << output.err;
}

Process::Process(const Words& command, const fs::path& folder, size_t file_bytes_limit)
    : out_(folder / "stdout.txt"), err_(folder / "stderr.txt") {
  std::vector<char*> words;
  for (const std::string& word : command) words.push_back(const_cast<char*>(word.c_str()));
  words.push_back(nullptr);
  fs::remove(out_);  // of the command before: wait_for must not see it
  fs::remove(err_);
  pid_ = fork();
  if (pid_ != 0) return;
  redirect(out_, STDOUT_FILENO);
  redirect(err_, STDERR_FILENO);
  if (file_bytes_limit > 0) limit_file_bytes(file_bytes_limit);
  if (chdir(folder.c_str()) == 0) execv(words[0], words.data());
  _exit(127);
}

Process::~Process() {
  if (pid_ < 0) return;
  send(SIGKILL);
  wait();
}

bool Process::ended() {
  if (pid_ >= 0 && waitpid(pid_, &status_, WNOHANG) == pid_) pid_ = -1;
  return pid_ < 0;
}

bool Process::wait_for(const std::string& text) {
  const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(20);
  while (std::chrono::steady_clock::now() < end) {
    const bool last = ended();
    if (text_file(out_).find(text) != std::string::npos) return !last;
    if (last) return false;
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  return false;
}

void Process::send(int signal) const {
  if (pid_ > 0) kill(pid_, signal);
}

Output Process::wait() {
  if (pid_ >= 0) waitpid(pid_, &status_, 0);
  pid_ = -1;
  const int code = WIFSIGNALED(status_) ? 128 + WTERMSIG(status_) : WEXITSTATUS(status_);
  return {code, text_file(out_), text_file(err_)};
}

CliTest::CliTest() {
  const Words classes = {"blue", "green", "red"};
  for (int c = 0; c < 3; ++c) {
    for (int i = 0; i < kTrainPerClass + kValPerClass; ++i) {
      const bool is_train = i < kTrainPerClass;
      const Image image = colour_image(2 - c, static_cast<uint32_t>(i));
      const fs::path place =
          folder / "photos" / (is_train ? "train" : "val") / classes[static_cast<size_t>(c)];
      if (i % 4 == 0) {
        write_file(place / (std::to_string(i) + ".png"), png_bytes(image, /*RGB*/ 2));
      } else {
        write_file(place / (std::to_string(i) + ".jpg"), jpeg_bytes(image));
      }
    }
  }
}

Output CliTest::run(const Words& command, size_t file_bytes_limit) const {
  return Process(command, folder.path(), file_bytes_limit).wait();
}

Words CliTest::train_command(const Words& flags) const {
  Words command = {TINYTL_TRAIN, "--model",          model,          "--data",
                   "photos",     "--freeze-weights", "--batch-size", "4"};
  for (const char* flag : {"--epochs", "--model", "--data", "--batch-size", "--freeze-weights"}) {
    const bool given = std::ranges::find(flags, flag) != flags.end();
    const auto at = std::ranges::find(command, flag);
    if (given && at != command.end()) {
      const bool has_value = std::string(flag) != "--freeze-weights";
      command.erase(at, at + (has_value ? 2 : 1));
    }
    if (!given && std::string(flag) == "--epochs") {
      command.insert(command.end(), {"--epochs", "2"});
    }
  }
  command.insert(command.end(), flags.begin(), flags.end());
  return command;
}

std::string CliTest::text_of(const std::string& name) const { return text_file(folder / name); }

testing::Matcher<const Output&> fails_with(int exit_code, const Words& texts) {
  using testing::AllOf;
  using testing::Field;
  using testing::HasSubstr;
  testing::Matcher<std::string> message = testing::StartsWith("tinytl-");
  for (const std::string& text : texts) message = AllOf(message, HasSubstr(text));
  // One line: the only line break is its end.
  message = AllOf(
      message, testing::ResultOf(
                   "lines", [](const std::string& s) { return std::ranges::count(s, '\n'); }, 1));
  return AllOf(Field("exit_code", &Output::exit_code, exit_code),
               Field("err", &Output::err, message));
}

onnx::ModelProto empty_model(const std::vector<int64_t>& shape) {
  onnx::ModelProto model;
  model.set_ir_version(8);
  model.add_opset_import()->set_version(13);
  onnx::GraphProto& graph = *model.mutable_graph();
  graph.set_name("test");
  for (onnx::ValueInfoProto* info : {graph.add_input(), graph.add_output()}) {
    info->mutable_type()->mutable_tensor_type()->set_elem_type(onnx::TensorProto::FLOAT);
  }
  graph.mutable_input(0)->set_name("x");
  graph.mutable_output(0)->set_name("y");
  auto& dims = *graph.mutable_input(0)->mutable_type()->mutable_tensor_type()->mutable_shape();
  dims.add_dim()->set_dim_param("N");
  for (const int64_t d : shape) dims.add_dim()->set_dim_value(d);
  return model;
}

onnx::NodeProto& add_node(onnx::ModelProto& model, const std::string& op, const Words& inputs,
                          const std::string& output) {
  onnx::NodeProto& node = *model.mutable_graph()->add_node();
  node.set_op_type(op);
  node.set_name(op + "_" + output);
  for (const std::string& input : inputs) node.add_input(input);
  node.add_output(output);
  return node;
}

void add_weights(onnx::ModelProto& model, const std::string& name,
                 const std::vector<int64_t>& shape) {
  onnx::TensorProto& tensor = *model.mutable_graph()->add_initializer();
  tensor.set_name(name);
  tensor.set_data_type(onnx::TensorProto::FLOAT);
  int64_t count = 1;
  for (const int64_t d : shape) {
    tensor.add_dims(d);
    count *= d;
  }
  for (int64_t i = 0; i < count; ++i) {
    tensor.add_float_data(0.4f * std::sin(static_cast<float>(i + 1)));
  }
}

void write_model(const fs::path& file, const onnx::ModelProto& model) {
  std::ofstream out(file, std::ios::binary);
  model.SerializeToOstream(&out);
}

Bytes learnt_bytes(const fs::path& file) {
  Bytes bytes = read_file(file);
  if (bytes.size() < 8) return bytes;
  const size_t header = bytes[0] + 256u * bytes[1];
  bytes.erase(bytes.begin(),
              bytes.begin() + static_cast<ptrdiff_t>(std::min(bytes.size(), 8 + header)));
  return bytes;
}

}  // namespace tinytl
