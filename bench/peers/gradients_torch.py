"""Gradients and training losses of a real model on a deterministic batch, for the engine to match.

Everything is made from hash(i) = (i * 2654435761 mod 2^32) / 2^31 - 1, so that a program in any
language builds the same batch:
    input, flat [n][h][w][c] index i           x[i] = hash(i), as float32
    labels                                     (7 n + 3) mod classes
    --replace-head C, [in][out] index i        classifier.weight 0.1 * hash(i + 12345), bias 0
An autoencoder (--loss mse) has its own input as target; the loss is the mean over all elements.

The safetensors file holds, in the engine's layouts (conv [kh][kw][ci/groups][co], depthwise
[kh][kw][c], matrices [in][out]):
    input, labels, logits (F64)
    loss (F64), loss_f32                       loss_f32: all arithmetic in float32
    grad.NAME (F64), grad_f32.NAME             of every parameter that learns
    sgd.losses, adam.losses (F64)              before each of ten steps on that batch
    sgd_f32.losses, adam_f32.losses (F64)      the same, all arithmetic in float32
Where a rounding error moves an activation across a kink of ReLU6, float32 gradients differ from
exact ones by more than rounding: judge an engine by how far grad_f32 itself is from grad.

    gradients_torch.py --model mbv2-w0.35_imagenet128_fp32.onnx --update bias --out g.safetensors
"""

import argparse
from typing import Callable, Dict, List, Tuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from onnx_torch import UPDATES, OnnxModule, model_path
from safetensors_file import write_safetensors

Loss = Callable[[Tensor], Tensor]
Optimizer = Callable[[List[Tensor]], torch.optim.Optimizer]


def hash_uniform(first: int, count: int) -> np.ndarray:
    """hash(first), hash(first + 1), ...: float64 in [-1, 1)."""
    index = np.arange(first, first + count, dtype=np.uint64)
    return ((index * np.uint64(2654435761)) % np.uint64(2**32)).astype(np.float64) / 2**31 - 1


def make_input(shape: List[int], batch_size: int) -> Tuple[np.ndarray, Tensor]:
    """The batch as the engine reads it (NHWC) and as the ONNX file does (NCHW)."""
    is_image = len(shape) == 3
    engine_shape = [shape[1], shape[2], shape[0]] if is_image else shape
    count = batch_size * int(np.prod(shape))
    x = hash_uniform(0, count).astype(np.float32).reshape([batch_size] + engine_shape)
    torch_x = torch.from_numpy(x)
    return x, torch_x.permute(0, 3, 1, 2).contiguous() if is_image else torch_x


def deterministic_head(model: OnnxModule, classes: int) -> None:
    """Replaces the last linear layer by the one in the module's docstring."""
    model.replace_head(classes)
    features = model.named()["classifier.weight"].shape[1]
    values = 0.1 * hash_uniform(12345, features * classes)
    weight = torch.from_numpy(values.astype(np.float32)).reshape(features, classes)
    model.set_parameter("classifier.weight", weight.t().contiguous())


def make_loss(args: argparse.Namespace, x: Tensor, labels: Tensor) -> Loss:
    """Loss of the model's output."""
    if args.loss == "mse":
        return lambda y: F.mse_loss(y, x)
    return lambda y: F.cross_entropy(y, labels, label_smoothing=args.label_smoothing)


def train_losses(model: nn.Module, x: Tensor, loss_of: Loss, make: Optimizer,
                 steps: int = 10) -> np.ndarray:
    """Losses before each step; the parameters are put back afterwards."""
    learning = [p for p in model.parameters() if p.requires_grad]
    before = [p.detach().clone() for p in learning]
    optimizer, losses = make(learning), []
    for _ in range(steps):
        loss = loss_of(model(x))
        losses.append(float(loss.detach()))
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
    with torch.no_grad():
        for parameter, value in zip(learning, before):
            parameter.copy_(value)
            parameter.grad = None
    return np.array(losses)


def gradients(model: OnnxModule, y_loss: Tensor) -> Dict[str, np.ndarray]:
    """Gradient of every learning parameter by name, in the engine's layout."""
    model.zero_grad(set_to_none=True)
    y_loss.backward()
    return {name: model.to_engine(name, p.grad).numpy().copy()
            for name, p in model.named().items() if p.requires_grad}


def ten_losses(model: OnnxModule, x: Tensor, labels: Tensor, args: argparse.Namespace,
               suffix: str) -> Dict[str, np.ndarray]:
    """Losses of SGD with momentum and of Adam: `sgd<suffix>.losses`, `adam<suffix>.losses`."""
    loss_of = make_loss(args, x, labels)
    sgd = train_losses(model, x, loss_of,
                       lambda p: torch.optim.SGD(p, args.sgd_lr, momentum=0.9))
    adam = train_losses(model, x, loss_of, lambda p: torch.optim.Adam(p, args.adam_lr))
    return {f"sgd{suffix}.losses": sgd, f"adam{suffix}.losses": adam}


def compute(args: argparse.Namespace) -> Dict[str, np.ndarray]:
    """All tensors of the file."""
    model = OnnxModule(model_path(args.model))
    if args.replace_head:
        deterministic_head(model, args.replace_head)
    model.set_update(args.update)
    engine_x, x = make_input(model.input_shape, args.batch_size)
    with torch.no_grad():
        outputs = model(x).shape[1]
    labels = torch.tensor([(7 * n + 3) % outputs for n in range(args.batch_size)])
    loss_f32 = make_loss(args, x, labels)(model(x))
    grads_f32 = gradients(model, loss_f32)
    losses = ten_losses(model, x, labels, args, "_f32")
    model.double()
    x = x.double()
    logits = model(x)
    loss = make_loss(args, x, labels)(logits)
    grads = gradients(model, loss)
    losses.update(ten_losses(model, x, labels, args, ""))
    tensors = {"input": engine_x, "labels": labels.numpy().astype(np.int32),
               "logits": logits.detach().numpy(), "loss": loss.detach().numpy().reshape(1),
               "loss_f32": loss_f32.detach().numpy().reshape(1)}
    tensors.update({f"grad.{name}": value for name, value in grads.items()})
    tensors.update({f"grad_f32.{name}": value for name, value in grads_f32.items()})
    return {**tensors, **losses}


def worst_error(tensors: Dict[str, np.ndarray]) -> Tuple[float, str]:
    """Largest relative error of a float32 gradient, in the 2-norm of its tensor."""
    worst = (0.0, "")
    for name, exact in tensors.items():
        if name.startswith("grad."):
            error = np.linalg.norm(tensors["grad_f32." + name[5:]] - exact)
            worst = max(worst, (float(error / max(np.linalg.norm(exact), 1e-30)), name))
    return worst


def main() -> None:
    """Reads the options, writes the file, prints a summary."""
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", required=True, help="file, or a name below $TINYTL_DATA/models")
    parser.add_argument("--update", choices=UPDATES, default="full")
    parser.add_argument("--loss", choices=("cross-entropy", "mse"), default="cross-entropy")
    parser.add_argument("--label-smoothing", type=float, default=0.1)
    parser.add_argument("--batch-size", type=int, default=4)
    parser.add_argument("--replace-head", type=int, default=0, metavar="CLASSES")
    parser.add_argument("--sgd-lr", type=float, default=1e-4, help="momentum is 0.9")
    parser.add_argument("--adam-lr", type=float, default=1e-4)
    parser.add_argument("--out", required=True)
    args = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    tensors = compute(args)
    write_safetensors(args.out, tensors)
    error, name = worst_error(tensors)
    print(f"{args.out}: loss {tensors['loss'][0]:.6f} (float32 {tensors['loss_f32'][0]:.6f}), "
          f"float32 gradients within {error:.1e} (worst {name})")
    for optimizer in ("sgd", "sgd_f32", "adam", "adam_f32"):
        print(f"{optimizer} losses " + " ".join(f"{v:.6g}" for v in tensors[f"{optimizer}.losses"]))


if __name__ == "__main__":
    main()
