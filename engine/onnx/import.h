// From an .onnx file to a Graph: the first stage of everything this project does.
#pragma once

#include <filesystem>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>

#include "engine/graph/graph.h"
#include "engine/graph/packed.h"

namespace tinytl {

// What stands for the BatchNormalization nodes of a file.
enum class Norms : uint8_t {
  kFolded,  // nothing: they are folded into the layers before them
  // Group normalisation with the same scale and shift, of at most 8 channels a group (epsilon
  // 1e-3); the weights of the convolutions before them, where those have no bias, are standardised
  // (Cai et al., TinyTL, NeurIPS 2020). The numbers of the network change: it has to be trained.
  kGroup,
  // BatchNormInference with the scale, shift and running statistics of the file. Its training form
  // is BatchNorm (with_batch_statistics).
  kBatch,
};

// "folded", "group", "batch".
std::optional<Norms> parse_norms(std::string_view name);

// Of a file whose activations and weights are quantized (QuantizeLinear, DequantizeLinear).
enum class Precision : uint8_t {
  kFloat,  // the network of the numbers that the integers stand for
  // Layers of 8-bit integers (engine/ops/q_layer.h), int32 biases; the classifier stays in f32, and
  // so does every other operator that has no integer form.
  kInt8,
};

struct ImportOptions {
  // Dimension 0 of the network's inputs. 0: what the file says, and 1 where it leaves it open.
  int64_t batch = 1;
  // Sizes for other dimensions the file leaves open, by the name they have there.
  std::map<std::string, int64_t> dims = {};
  // Height and width of an input of images, in place of those of the file; 0: as in the file.
  int64_t resolution = 0;
  // Unless kFolded, a file without BatchNormalization nodes is refused.
  Norms norms = Norms::kFolded;
  // kInt8: a file without quantized convolutions is refused.
  Precision precision = Precision::kFloat;
  // Of kInt8: layers round in integers alone (tt_requantize::fixed_point), not by float
  // multipliers.
  bool fixed_point = false;
  // Parameters, by their name in the graph, whose values are not read: they stay zero and take no
  // memory until something writes them. For those that will be replaced.
  std::set<std::string> without_values = {};
  PackedParameters packed = {};
  // Run libonnx's own checker (opset 17 and older) even where the import succeeds. Off because its
  // tables of operators take 4.3 MB that the process never gives back; it always runs where the
  // import fails, for what it can say of the reason.
  bool run_onnx_checker = false;
};

// Reads a float (or quantize/dequantize) network of ONNX opset 6 to 21.
//
// Shapes are static afterwards, constant arithmetic is folded, batch normalisation is folded into
// the layer before it (but see Norms), and activations of convolutions are NHWC: an input of rank 3
// or more that feeds a convolution, a pooling or a resizing is stored with its channels last, and
// so is one that can only be images ([N,1,H,W] or [N,3,H,W]). Outputs have the dimension order of
// the file. A quantize/dequantize pair on an activation is dropped, on a weight it is applied: the
// network is imported as its dequantized float network, unless `precision` says otherwise.
//
// Needs about the bytes of the parameters plus one tensor: each tensor of the file is freed as soon
// as it is converted, and of those that are packed (ImportOptions) no more than two are floats at a
// time.
//
// Throws InputError: one line that names the file and every node that is not supported.
Graph import_onnx(const std::filesystem::path& file, const ImportOptions& options = {});

}  // namespace tinytl
