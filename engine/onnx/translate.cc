#include "engine/onnx/translate.h"

#include <deque>

#include "engine/onnx/fold.h"
#include "engine/onnx/fuse.h"
#include "engine/onnx/fuse_integers.h"
#include "engine/onnx/rules.h"
#include "engine/ops/passes.h"

namespace tinytl::internal {
namespace {

const RuleTable& all_rules() {
  static const RuleTable rules = [] {
    RuleTable table;
    add_convolution_rules(table);
    add_matrix_rules(table);
    add_arithmetic_rules(table);
    add_activation_rules(table);
    add_shape_rules(table);
    add_normalization_rules(table);
    return table;
  }();
  return rules;
}

bool is_spatial(const std::string& op) {
  static const std::set<std::string_view> ops{"Conv",        "ConvTranspose",     "MaxPool",
                                              "AveragePool", "GlobalAveragePool", "GlobalMaxPool",
                                              "Resize",      "Upsample"};
  return ops.contains(op);
}

// Whether the operator takes its input in any order of dimensions and passes the order on.
bool keeps_order(const std::string& op) {
  static const std::set<std::string_view> ops{"Add",
                                              "Sub",
                                              "Mul",
                                              "Div",
                                              "Sum",
                                              "BatchNormalization",
                                              "Pad",
                                              "Identity",
                                              "Cast",
                                              "Dropout",
                                              "QuantizeLinear",
                                              "DequantizeLinear",
                                              "Concat",
                                              "Relu",
                                              "Clip",
                                              "LeakyRelu",
                                              "PRelu",
                                              "HardSwish",
                                              "Sigmoid",
                                              "Tanh",
                                              "Max",
                                              "Min"};
  return ops.contains(op);
}

class Translator {
 public:
  Translator(OnnxFile file, const ImportOptions& options)
      : file_(std::move(file)), options_(options) {
    builder_.without_values = options.without_values;
    builder_.packed = options.packed;
    builder_.norms = options.norms;
    builder_.precision = options.precision;
    builder_.graph.source = file_.name;
  }

  Translation run() {
    add_constants();
    add_inputs();
    fail_if_unsupported();
    for (const auto& node : file_.model.graph().node()) translate_node(node);
    builder_.pack_weights();
    fail_if_unsupported();
    fail_without_norms();
    add_outputs();
    fail_if_unsupported();
    if (options_.precision == Precision::kInt8) fuse_integers(builder_, options_.fixed_point);
    result_.graph = prune(builder_.graph);
    fuse(result_.graph);
    result_.graph = prune(result_.graph);
    return std::move(result_);
  }

 private:
  void fail_without_norms() const {
    if (options_.norms == Norms::kFolded || builder_.norms_made > 0) return;
    throw InputError(file_.name + ": has no BatchNormalization node " +
                     (options_.norms == Norms::kGroup ? "that a group norm could stand for"
                                                      : "that could be kept") +
                     "; use --norm folded, or export the network with its batch norms kept");
  }

  const onnx::GraphProto& onnx_graph() const { return file_.model.graph(); }

  void add_constants() {
    std::set<std::string> initializers;
    for (const auto& tensor : onnx_graph().initializer()) initializers.insert(tensor.name());
    for (auto& [name, literal] : file_.constants) {
      builder_.define_constant(name, std::move(literal), initializers.contains(name) ? name : "");
    }
    for (const auto& node : onnx_graph().node()) {
      for (const auto& input : node.input()) count_use(input);
    }
    for (const auto& output : onnx_graph().output()) count_use(output.name());
    file_.constants.clear();
  }

  void count_use(const std::string& tensor) {
    ++uses_left_[tensor];
    builder_.count_use(tensor);
  }

  void add_inputs() {
    bool first = true;
    for (const auto& input : onnx_graph().input()) {
      if (builder_.find(input.name()) != nullptr) continue;  // an initializer
      try {
        add_input(input, first);
      } catch (const TooLarge& error) {
        fail_as_too_large("input \"" + input.name() + "\"", error);
      } catch (const InputError& error) {
        problems_.push_back("input \"" + input.name() + "\": " + error.what());
      } catch (const Unsupported& error) {
        problems_.push_back("input \"" + input.name() + "\": " + error.what());
      }
      first = false;
    }
  }

  void add_input(const onnx::ValueInfoProto& input, bool first) {
    require(input.type().has_tensor_type() && input.type().tensor_type().has_shape(),
            "has no tensor shape");
    const auto& type = input.type().tensor_type();
    require(type.elem_type() == onnx::TensorProto::FLOAT, "only float inputs are supported");
    Shape shape;
    for (const auto& dim : type.shape().dim()) shape.push_back(input_dimension(dim, shape.size()));
    if (!shape.empty()) {
      if (first) {
        builder_.batch.in_file = shape[0] > 0 ? shape[0] : 1;
        builder_.batch.now = options_.batch > 0 ? options_.batch : builder_.batch.in_file;
      }
      const bool is_batch = shape[0] < 0 || shape[0] == builder_.batch.in_file;
      if (is_batch) shape[0] = builder_.batch.now;
    }
    if (options_.resolution > 0) set_resolution(shape);
    require(checked_elements(shape) > 0, "is empty");
    Operand operand;
    const bool spatial = shape.size() >= 3 && shape.size() <= 4 && feeds_spatial(input.name());
    const bool moved = spatial || is_image_batch(shape);
    operand.order = moved ? channels_last(shape.size()) : identity_order(shape.size());
    operand.value = builder_.graph.add_input(input.name(),
                                             {DType::kF32, permuted(shape, operand.order)}, moved);
    result_.input_orders.push_back(operand.order);
    builder_.define(input.name(), std::move(operand));
  }

  void set_resolution(Shape& shape) {
    require(is_image_batch(shape),
            "has shape " + to_string(shape) + ", no images whose resolution could be chosen");
    builder_.resolution = {.in_file = shape[2], .now = options_.resolution};
    shape[2] = shape[3] = options_.resolution;
  }

  // The size of a dimension; -1 for a batch that the file leaves open.
  int64_t input_dimension(const onnx::TensorShapeProto::Dimension& dim, size_t position) const {
    const auto given = options_.dims.find(dim.dim_param());
    if (!dim.dim_param().empty() && given != options_.dims.end()) return given->second;
    if (dim.has_dim_value() && dim.dim_value() > 0) return dim.dim_value();
    if (position == 0) return -1;
    throw Unsupported("dimension " + std::to_string(position) + " (\"" + dim.dim_param() +
                      "\") has no size: export the model with a fixed one, or give its size");
  }

  bool feeds_spatial(const std::string& input) const {
    std::set<std::string> reached{input};
    for (const auto& node : onnx_graph().node()) {
      for (const auto& name : node.input()) {
        if (!reached.contains(name)) continue;
        if (is_spatial(node.op_type())) return true;
        if (keeps_order(node.op_type()) && node.output_size() > 0) reached.insert(node.output(0));
      }
    }
    return false;
  }

  void translate_node(const onnx::NodeProto& proto) {
    const bool is_taken_constant = proto.op_type() == "Constant" && proto.output_size() == 1 &&
                                   builder_.find(proto.output(0)) != nullptr;
    if (is_taken_constant) return;
    const OnnxNode node(proto, file_.opset);
    builder_.start(node);
    try {
      if (!proto.domain().empty() && proto.domain() != "ai.onnx") {
        throw Unsupported("operator of the domain " + proto.domain());
      }
      if (!has_broken_input(node)) {
        translate_sound_node(node);
      } else {
        require(all_rules().contains(node.op()), "unknown operator");
      }
    } catch (const TooLarge& error) {
      fail_as_too_large("node \"" + node.name() + "\" (" + node.op() + ")", error);
    } catch (const InputError& error) {
      report(node, error.what());
    } catch (const Unsupported& error) {
      report(node, error.what());
    }
    for (const auto& name : proto.input()) release(name);
  }

  void translate_sound_node(const OnnxNode& node) {
    if (!fold_node(node)) {
      const auto rule = all_rules().find(node.op());
      require(rule != all_rules().end(), "unknown operator");
      require(node.outputs() >= 1 && !node.output(0).empty(), "has no output");
      rule->second(builder_, node);
    }
    const std::string unread = node.unread_attribute();
    require(unread.empty(), "attribute \"" + unread + "\" is not supported");
  }

  // Nodes that compute constants are evaluated. True if this was one.
  bool fold_node(const OnnxNode& node) {
    Literals inputs = builder_.literals(node);
    if (node.op() == "Shape" || node.op() == "Size") {
      auto shape = std::make_shared<Literal>();
      shape->shape = builder_.shape_of(builder_.input(node, 0));
      inputs = {shape};
    }
    for (size_t i = 0; i < inputs.size(); ++i) {
      if (inputs[i] == nullptr && node.has_input(i)) return false;
    }
    const auto outputs = fold(node, inputs);
    if (!outputs) return false;
    for (size_t i = 0; i < outputs->size() && i < node.outputs(); ++i) {
      builder_.define_constant(node.output(i), (*outputs)[i], parameter_name(node));
    }
    return true;
  }

  // A constant that is a parameter under another shape or type is still that parameter.
  std::string parameter_name(const OnnxNode& node) const {
    if (node.op() == "DequantizeLinear") return node.output(0);
    static const std::set<std::string_view> same{"Identity", "Cast",      "Reshape",  "Flatten",
                                                 "Squeeze",  "Unsqueeze", "Transpose"};
    return same.contains(node.op()) ? builder_.input(node, 0).parameter : "";
  }

  bool has_broken_input(const OnnxNode& node) const {
    for (size_t i = 0; i < node.inputs(); ++i) {
      if (broken_.contains(node.input(i))) {
        for (size_t j = 0; j < node.outputs(); ++j) broken_.insert(node.output(j));
        return true;
      }
    }
    return false;
  }

  void report(const OnnxNode& node, std::string why) {
    const std::string who = "\"" + node.name() + "\" (" + node.op() + "): ";
    const std::string inner = "node \"" + node.name() + "\" (";
    if (why.starts_with(inner)) {
      why = why.substr(5);  // a shape rule of the Graph's operator says it all
    } else {
      why = who + why;
    }
    problems_.push_back(std::move(why));
    ++broken_nodes_;
    for (size_t j = 0; j < node.outputs(); ++j) broken_.insert(node.output(j));
  }

  void release(const std::string& tensor) {
    if (--uses_left_[tensor] == 0) builder_.forget(tensor);
  }

  void add_outputs() {
    for (const auto& output : onnx_graph().output()) {
      const Operand* operand = builder_.find(output.name());
      if (operand == nullptr || operand->quantized) {
        problems_.push_back("output \"" + output.name() +
                            "\": " + (operand == nullptr ? "nothing computes it" : "is quantized"));
      } else if (operand->literal != nullptr) {
        result_.constant_outputs[output.name()] = operand->literal;
      } else {
        const ValueId value = builder_.logical(*operand);
        Value& v = builder_.graph.value(value);
        if (v.role == Role::kActivation) v.name = output.name();
        builder_.graph.outputs.push_back(value);
      }
    }
  }

  // The operator may well be supported: it is the batch that does not fit.
  [[noreturn]] void fail_as_too_large(const std::string& who, const TooLarge& error) const {
    const int64_t batch = builder_.batch.now;
    const bool grows_with_batch = batch > 1 && error.shape[0] % batch == 0;
    throw InputError(file_.name + ": " + who + ": " + error.what() + ": " +
                     (grows_with_batch ? "lower the batch size (--batch-size)"
                                       : "export the network for a smaller input"));
  }

  void fail_if_unsupported() const {
    if (problems_.empty()) return;
    std::string text = file_.name + ": ";
    if (broken_nodes_ > 0) {
      text += std::to_string(broken_nodes_) +
              (broken_nodes_ == 1 ? " node is not supported: " : " nodes are not supported: ");
    }
    for (size_t i = 0; i < problems_.size(); ++i) text += (i > 0 ? "; " : "") + problems_[i];
    throw InputError(text);
  }

  OnnxFile file_;
  const ImportOptions& options_;
  Builder builder_;
  Translation result_;
  std::map<std::string, int> uses_left_;
  mutable std::set<std::string> broken_;  // tensors that could not be translated
  std::vector<std::string> problems_;
  int broken_nodes_ = 0;
};

}  // namespace

Translation translate(OnnxFile file, const ImportOptions& options) {
  return Translator(std::move(file), options).run();
}

}  // namespace tinytl::internal
