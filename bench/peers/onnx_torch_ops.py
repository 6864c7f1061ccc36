"""One PyTorch function for each ONNX operator (opset 13) that onnx_torch.py evaluates.

Each takes the attributes as a dictionary, then the inputs: tensors, NumPy arrays for integer
constants, None where an optional input is absent.
"""

from typing import Any, Callable, Dict, List, Optional

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

Attributes = Dict[str, Any]


def _pads(a: Attributes) -> List[int]:
    """ONNX [top, left, bottom, right]."""
    if a.get("auto_pad", "NOTSET") != "NOTSET":
        raise ValueError("auto_pad is not supported: give explicit pads")
    return list(a.get("pads", [0, 0, 0, 0]))


def _split_pads(a: Attributes, x: Tensor, value: float) -> "tuple[Tensor, List[int]]":
    """Symmetric pads are left to the operator, others are added to x here."""
    top, left, bottom, right = _pads(a)
    if (top, left) == (bottom, right):
        return x, [top, left]
    return F.pad(x, (left, right, top, bottom), value=value), [0, 0]


def conv(a: Attributes, x: Tensor, w: Tensor, b: Optional[Tensor] = None) -> Tensor:
    """Convolution; asymmetric pads are an explicit F.pad."""
    x, pads = _split_pads(a, x, 0.0)
    return F.conv2d(x, w, b, a.get("strides", 1), pads, a.get("dilations", 1), a.get("group", 1))


def max_pool(a: Attributes, x: Tensor) -> Tensor:
    """MaxPool without dilation."""
    x, pads = _split_pads(a, x, float("-inf"))
    return F.max_pool2d(x, a["kernel_shape"], a.get("strides", 1), pads,
                        ceil_mode=bool(a.get("ceil_mode", 0)))


def average_pool(a: Attributes, x: Tensor) -> Tensor:
    """AveragePool with symmetric pads."""
    top, left, bottom, right = _pads(a)
    if (top, left) != (bottom, right):
        raise ValueError("AveragePool with asymmetric pads is not supported")
    return F.avg_pool2d(x, a["kernel_shape"], a.get("strides", 1), [top, left],
                        bool(a.get("ceil_mode", 0)), bool(a.get("count_include_pad", 0)))


def clip(a: Attributes, x: Tensor, low: Optional[Tensor] = None,
         high: Optional[Tensor] = None) -> Tensor:
    """Clip; the gradient at a bound itself is 0, as that of ReLU6 is in PyTorch.

    In place only where nothing is to be differentiated: for backward, PyTorch keeps a copy of what
    hardtanh_ overwrites, so that it would save no memory and cost time.
    """
    bounds = [float("-inf") if low is None else float(low),
              float("inf") if high is None else float(high)]
    return F.hardtanh(x, *bounds, inplace=a.get("inplace", False) and not x.requires_grad)


def gemm(a: Attributes, x: Tensor, w: Tensor, b: Optional[Tensor] = None) -> Tensor:
    """alpha x w + beta b for alpha = beta = 1."""
    if a.get("alpha", 1.0) != 1.0 or a.get("beta", 1.0) != 1.0 or a.get("transA", 0):
        raise ValueError("Gemm with alpha, beta or transA is not supported")
    return F.linear(x, w if a.get("transB", 0) else w.t(), b)


def batch_norm(a: Attributes, x: Tensor, gamma: Tensor, beta: Tensor, mean: Tensor,
               variance: Tensor) -> Tensor:
    """BatchNormalization with frozen statistics."""
    return F.batch_norm(x, mean, variance, gamma, beta, eps=a.get("epsilon", 1e-5))


def reduce_mean(a: Attributes, x: Tensor) -> Tensor:
    """ReduceMean (axes are an attribute up to opset 17)."""
    axes = a.get("axes", list(range(x.dim())))
    return x.mean(list(axes), keepdim=bool(a.get("keepdims", 1)))


def reshape(_: Attributes, x: Tensor, shape: np.ndarray) -> Tensor:
    """Reshape; 0 copies a size."""
    return x.reshape([x.shape[i] if n == 0 else int(n) for i, n in enumerate(shape)])


def pad(a: Attributes, x: Tensor, pads: np.ndarray, value: Optional[Tensor] = None) -> Tensor:
    """Constant Pad."""
    if a.get("mode", "constant") != "constant":
        raise ValueError("only constant Pad is supported")
    rank = x.dim()
    pairs = [int(p) for axis in reversed(range(rank)) for p in (pads[axis], pads[axis + rank])]
    return F.pad(x, pairs, value=0.0 if value is None else float(value))


def gather(a: Attributes, x: Tensor, indices: np.ndarray) -> Tensor:
    """Gather by constant indices; a scalar index drops the axis."""
    axis = a.get("axis", 0) % x.dim()
    flat = torch.tensor(indices.reshape(-1), dtype=torch.long) % x.shape[axis]
    shape = list(x.shape)
    shape[axis:axis + 1] = indices.shape
    return x.index_select(axis, flat).reshape(shape)


def slice_(_: Attributes, x: Tensor, starts: np.ndarray, ends: np.ndarray,
           axes: Optional[np.ndarray] = None, steps: Optional[np.ndarray] = None) -> Tensor:
    """Slice with positive steps."""
    axes = np.arange(len(starts)) if axes is None else axes
    steps = np.ones_like(starts) if steps is None else steps
    index = [slice(None)] * x.dim()
    for start, end, axis, step in zip(starts, ends, axes, steps):
        index[int(axis)] = slice(int(start), int(end), int(step))
    return x[tuple(index)]


def flatten(a: Attributes, x: Tensor) -> Tensor:
    """Flatten at axis 1."""
    if a.get("axis", 1) != 1:
        raise ValueError("only Flatten at axis 1 is supported")
    return x.flatten(1)


OPERATORS: Dict[str, Callable[..., Tensor]] = {
    "Add": lambda _, x, y: x + y,
    "AveragePool": average_pool,
    "BatchNormalization": batch_norm,
    "Clip": clip,
    "Concat": lambda a, *xs: torch.cat(xs, a["axis"]),
    "Conv": conv,
    "Div": lambda _, x, y: x / y,
    "Erf": lambda _, x: torch.erf(x),
    "Flatten": flatten,
    "Gather": gather,
    "Gemm": gemm,
    "GlobalAveragePool": lambda _, x: x.mean((2, 3), keepdim=True),
    "Identity": lambda _, x: x,
    "Log": lambda _, x: torch.log(x),
    "MatMul": lambda _, x, y: x @ y,
    "MaxPool": max_pool,
    "Mul": lambda _, x, y: x * y,
    "Pad": pad,
    "Pow": lambda _, x, y: x ** y,
    "ReduceMean": reduce_mean,
    "Relu": lambda a, x: F.relu(x, inplace=a.get("inplace", False)),
    "Reshape": reshape,
    "Sigmoid": lambda _, x: torch.sigmoid(x),
    "Slice": slice_,
    "Softmax": lambda a, x: F.softmax(x, a.get("axis", -1)),
    "Sqrt": lambda _, x: torch.sqrt(x),
    "Sub": lambda _, x, y: x - y,
    "Tanh": lambda _, x: torch.tanh(x),
    "Transpose": lambda a, x: x.permute(a["perm"]),
}
