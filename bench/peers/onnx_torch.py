"""ONNX models as differentiable PyTorch: the independent reference the engine is compared with.

Parameters keep the names of their initializers. A BatchNormalization that follows a Conv is folded
into it (the bias then has the Conv's bias name, or that of the norm's shift), and
QuantizeLinear/DequantizeLinear are dropped, so that the parameters are those of a folded float
network. Values that no later node reads are released, as hand-written PyTorch code would.
"""

import math
import os
from pathlib import Path
from typing import Any, Dict, List, NamedTuple, Optional, Union

import numpy as np
import onnx
import torch
from onnx import numpy_helper
from torch import Tensor, nn

from onnx_torch_ops import OPERATORS

Groups = Dict[str, List[nn.Parameter]]
UPDATES = ("last", "bias", "full")


class Node(NamedTuple):
    """One ONNX node; an absent optional input is the empty string."""

    op: str
    inputs: List[str]
    output: str
    attributes: Dict[str, Any]


def data_root() -> Path:
    """The folder of real models and data sets."""
    if "TINYTL_DATA" not in os.environ:
        raise SystemExit("set TINYTL_DATA to the folder that holds models/ and datasets/")
    return Path(os.environ["TINYTL_DATA"])


def model_path(name: str) -> Path:
    """An existing file, or else a name below $TINYTL_DATA/models."""
    path = Path(name) if Path(name).exists() else data_root() / "models" / name
    if not path.exists():
        raise SystemExit(f"{name}: no such model, neither here nor in {path.parent}")
    return path


def conv_to_engine(weight: Tensor, groups: int) -> Tensor:
    """[co][ci/groups][kh][kw] -> [kh][kw][ci/groups][co], or [kh][kw][c] where depthwise."""
    if groups > 1 and weight.shape[0] == groups and weight.shape[1] == 1:
        return weight[:, 0].permute(1, 2, 0).contiguous()
    return weight.permute(2, 3, 1, 0).contiguous()


def _simplify(nodes: List[Node], arrays: Dict[str, np.ndarray]) -> List[Node]:
    """Folds constants, Q/DQ pairs and norms into `arrays`; returns the nodes that remain."""
    readers: Dict[str, int] = {}
    for node in nodes:
        for name in node.inputs:
            readers[name] = readers.get(name, 0) + 1
    alias: Dict[str, str] = {}
    convs: Dict[str, Node] = {}
    kept: List[Node] = []
    for node in nodes:
        node = node._replace(inputs=[alias.get(name, name) for name in node.inputs])
        source = node.inputs[0] if node.inputs else ""
        if node.op == "Constant":
            arrays[node.output] = node.attributes["value"]
        elif node.op == "DequantizeLinear" and source in arrays:
            arrays[node.output] = _dequantize(node, arrays)
        elif node.op in ("QuantizeLinear", "DequantizeLinear", "Identity", "Dropout"):
            alias[node.output] = source
        elif node.op == "BatchNormalization" and source in convs and readers[source] == 1:
            _fold_norm(node, convs[source], arrays)
            alias[node.output] = source
        else:
            kept.append(node)
            if node.op == "Conv":
                convs[node.output] = node
    # The graph's outputs may be aliases: keep their names.
    return kept + [Node("Identity", [old], new, {}) for new, old in alias.items()
                   if new not in readers]


def _dequantize(node: Node, arrays: Dict[str, np.ndarray]) -> np.ndarray:
    quantized, scale = (arrays[name] for name in node.inputs[:2])
    zero = arrays[node.inputs[2]] if len(node.inputs) > 2 else np.zeros_like(scale)
    shape = [1] * quantized.ndim
    if scale.size > 1:
        shape[node.attributes.get("axis", 1)] = -1
    else:
        scale, zero = scale.reshape(()), zero.reshape(())
        shape = []
    offset = quantized.astype(np.float32) - zero.astype(np.float32).reshape(shape)
    return offset * scale.reshape(shape)


def _fold_norm(norm: Node, conv: Node, arrays: Dict[str, np.ndarray]) -> None:
    """Moves the norm into the weight and bias of `conv`, whose input list is extended in place."""
    gamma, beta, mean, variance = (arrays[name].astype(np.float64) for name in norm.inputs[1:5])
    scale = gamma / np.sqrt(variance + norm.attributes.get("epsilon", 1e-5))
    weight = conv.inputs[1]
    arrays[weight] = (arrays[weight] * scale[:, None, None, None]).astype(np.float32)
    if len(conv.inputs) < 3:
        conv.inputs.append(norm.inputs[2])
        bias = np.zeros_like(beta)
    else:
        bias = arrays[conv.inputs[2]]
    arrays[conv.inputs[2]] = ((bias - mean) * scale + beta).astype(np.float32)


def _attribute(attribute: onnx.AttributeProto) -> Any:
    value = onnx.helper.get_attribute_value(attribute)
    if isinstance(value, onnx.TensorProto):
        return numpy_helper.to_array(value)
    return value.decode() if isinstance(value, bytes) else value


class OnnxModule(nn.Module):
    """A model file as a module. forward() takes and returns tensors in the layout of the file.

    inplace_activations  writes ReLU and ReLU6 over their input where nothing else reads it, as
                         torchvision does: the same numbers, less memory.
    """

    def __init__(self, path: Union[str, Path], inplace_activations: bool = False) -> None:
        super().__init__()
        graph = onnx.load(str(path)).graph
        arrays = {i.name: numpy_helper.to_array(i) for i in graph.initializer}
        trainable = {k for k, v in arrays.items() if v.dtype == np.float32}
        nodes = [Node(n.op_type, list(n.input), n.output[0],
                      {a.name: _attribute(a) for a in n.attribute}) for n in graph.node]
        # A dequantized initializer is as trainable as a float one.
        trainable |= {n.output for n in nodes
                      if n.op == "DequantizeLinear" and n.inputs[0] in arrays}
        self.nodes = _simplify(nodes, arrays)
        missing = sorted({n.op for n in self.nodes} - set(OPERATORS))
        if missing:
            raise ValueError(f"{path}: operators not in onnx_torch_ops.py: {', '.join(missing)}")
        self.input_name = next(i.name for i in graph.input if i.name not in arrays)
        self.output_name = graph.output[0].name
        dims = [v for v in graph.input if v.name == self.input_name][0].type.tensor_type.shape.dim
        self.input_shape = [d.dim_value for d in dims][1:]  # without the batch
        self.inplace_activations = inplace_activations
        self.roles: Dict[str, str] = {}  # parameter name -> "weight" or "bias"
        self._slots: Dict[str, int] = {}
        self._parameters_list = nn.ParameterList()
        self._integers: Dict[str, np.ndarray] = {}
        self._floats: Dict[str, str] = {}  # constant name -> buffer name
        for name in dict.fromkeys(i for node in self.nodes for i in node.inputs if i in arrays):
            self._store(name, arrays[name], name in trainable)
        self._plan_lifetimes()

    def _store(self, name: str, array: np.ndarray, trainable: bool) -> None:
        role = self._role(name, array) if trainable else None
        if role:
            self.roles[name] = role
            self._slots[name] = len(self._parameters_list)
            self._parameters_list.append(nn.Parameter(torch.from_numpy(array.copy())))
        elif array.dtype == np.float32:
            self._floats[name] = f"constant_{len(self._floats)}"
            self.register_buffer(self._floats[name], torch.from_numpy(array.copy()))
        else:
            self._integers[name] = array

    def _role(self, name: str, array: np.ndarray) -> Optional[str]:
        """What multiplies is a weight, what is added a bias, a single number neither."""
        node = next(n for n in self.nodes if name in n.inputs)
        slot = node.inputs.index(name)
        if node.op in ("Conv", "Gemm"):
            return "weight" if slot == 1 else "bias"
        if node.op == "BatchNormalization":
            return {1: "weight", 2: "bias"}.get(slot)
        if node.op == "MatMul":
            return "weight"
        is_vector = array.size == array.shape[-1] if array.ndim else False
        added = "bias" if is_vector else "weight"  # a table that is added is a position embedding
        return {"Mul": "weight", "Add": added}.get(node.op) if array.size > 1 else None

    def _plan_lifetimes(self) -> None:
        """Finds where each value is read last, and which activations may be in place."""
        last = {name: i for i, node in enumerate(self.nodes) for name in node.inputs}
        producer = {node.output: node.op for node in self.nodes}
        self._released = [[n for n in set(node.inputs) if last[n] == i]
                          for i, node in enumerate(self.nodes)]
        # Conv, Gemm and Add do not keep their output for backward.
        self._in_place = [node.op in ("Relu", "Clip") and node.inputs[0] in self._released[i]
                          and producer.get(node.inputs[0]) in ("Conv", "Gemm", "Add")
                          for i, node in enumerate(self.nodes)]

    def named(self) -> Dict[str, nn.Parameter]:
        """Parameters by initializer name, in the order in which the network reads them."""
        return {name: self._parameters_list[slot] for name, slot in self._slots.items()}

    def set_parameter(self, name: str, value: Tensor) -> None:
        """Replaces a parameter (of any shape)."""
        self._parameters_list[self._slots[name]] = nn.Parameter(value)

    def head_names(self) -> List[str]:
        """Weight and bias of the last linear layer."""
        linear = [n for n in self.nodes if n.op in ("Gemm", "MatMul")
                  and any(i in self._slots for i in n.inputs)]
        names = [i for i in linear[-1].inputs if i in self._slots]
        if linear[-1].op == "MatMul":
            names += [i for n in self.nodes if n.op == "Add" and linear[-1].output in n.inputs
                      for i in n.inputs if i in self._slots]
        return names

    def replace_head(self, classes: int, generator: Optional[torch.Generator] = None) -> None:
        """A new last layer: weight U(-1/sqrt(in), 1/sqrt(in)), bias 0.

        It stands in place of the last Gemm, or after the features of a network that has none, and
        its parameters are called classifier.weight and classifier.bias, as in the engine.
        """
        names = ["classifier.weight", "classifier.bias"]
        position = max((i for i, n in enumerate(self.nodes) if n.op == "Gemm"), default=None)
        if position is None:
            with torch.no_grad():
                features = self(torch.zeros(1, *self.input_shape)).shape[1]
            self.nodes.append(Node("Gemm", [self.output_name] + names, "classifier", {"transB": 1}))
            self.output_name = "classifier"
        else:
            old = self.nodes[position]
            features = self.named()[old.inputs[1]].shape[1 if old.attributes.get("transB") else 0]
            self.nodes[position] = Node("Gemm", old.inputs[:1] + names, old.output, {"transB": 1})
            for new, gone in zip(names, old.inputs[1:]):
                self._slots[new], self.roles[new] = self._slots.pop(gone), self.roles.pop(gone)
        for name in names:
            if name not in self._slots:
                self._store(name, np.zeros((0, 0), np.float32), True)
        bound = 1 / math.sqrt(features)
        weight = torch.empty(classes, features).uniform_(-bound, bound, generator=generator)
        self.set_parameter("classifier.weight", weight)
        self.set_parameter("classifier.bias", torch.zeros(classes))
        self._plan_lifetimes()

    def set_update(self, update: str) -> Groups:
        """Marks what learns; returns the trained parameters as head, biases and weights."""
        if update not in UPDATES:
            raise ValueError(f"update {update!r} is not one of {', '.join(UPDATES)}")
        head = self.head_names()
        groups: Groups = {"head": [], "biases": [], "weights": []}
        for name, parameter in self.named().items():
            is_bias = self.roles[name] == "bias"
            group = "head" if name in head else "biases" if is_bias else "weights"
            learns = group == "head" or update == "full" or (update, group) == ("bias", "biases")
            parameter.requires_grad_(learns)
            if learns:
                groups[group].append(parameter)
        return groups

    def to_engine(self, name: str, tensor: Tensor) -> Tensor:
        """A tensor of parameter `name` (itself or its gradient) in the engine's layout."""
        node = next(n for n in self.nodes if name in n.inputs)
        if self.roles[name] == "weight":
            if node.op == "Conv":
                return conv_to_engine(tensor, node.attributes.get("group", 1))
            if node.op == "Gemm" and node.attributes.get("transB", 0):
                return tensor.t().contiguous()
        return tensor

    def forward(self, x: Tensor) -> Tensor:
        """Evaluates the graph on one input batch."""
        values: Dict[str, Any] = {"": None, self.input_name: x, **self._integers, **self.named()}
        values.update((name, getattr(self, key)) for name, key in self._floats.items())
        del x
        for i, node in enumerate(self.nodes):
            attributes = node.attributes
            if self.inplace_activations and self._in_place[i]:
                attributes = {**attributes, "inplace": True}
            inputs = [values[name] for name in node.inputs]
            for name in self._released[i]:
                del values[name]
            values[node.output] = OPERATORS[node.op](attributes, *inputs)
            del inputs
        return values[self.output_name]
