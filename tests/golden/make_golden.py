"""Makes the golden files of this folder: three small random networks and their exact training.

    make_golden.py [--out FOLDER]

Everything is computed in float64 on the PyTorch modules below and stored as float32. The exported
ONNX files are evaluated a second time by bench/peers/onnx_torch.py: logits, loss and every gradient
must agree, or nothing is written.
"""

import argparse
import os
import sys
import tempfile
from pathlib import Path
from typing import Callable, Dict, List

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parents[1] / "bench" / "peers"))
from golden_networks import CLASSES, MobileNetSmall, ResNetSmall, TransformerSmall  # noqa: E402
from onnx_torch import OnnxModule, conv_to_engine  # noqa: E402
from safetensors_file import write_safetensors  # noqa: E402

BATCH = 4
Optimizer = Callable[[List[Tensor]], torch.optim.Optimizer]


def randomise(module: nn.Module) -> None:
    """Weights that keep the size of the signal, in MobileNet up to the bound of ReLU6."""
    for name, layer in module.named_modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
            if isinstance(module, MobileNetSmall):
                layer.weight.data *= 2.0 if name.startswith("stem") else 1.0
            else:
                layer.weight.data *= 0.6
            nn.init.normal_(layer.bias, std=0.2)
        elif isinstance(layer, nn.LayerNorm):
            nn.init.normal_(layer.weight, 1.0, 0.2)
            nn.init.normal_(layer.bias, std=0.2)
        elif isinstance(layer, nn.Linear):
            nn.init.normal_(layer.bias, std=0.2)


def engine_layouts(module: nn.Module) -> Dict[str, Callable[[Tensor], Tensor]]:
    """How to bring each parameter whose layout differs into the engine's."""
    layouts: Dict[str, Callable[[Tensor], Tensor]] = {}
    for name, layer in module.named_modules():
        if isinstance(layer, nn.Conv2d):
            layouts[f"{name}.weight"] = lambda w, groups=layer.groups: conv_to_engine(w, groups)
        elif isinstance(layer, nn.Linear):
            layouts[f"{name}.weight"] = lambda w: w.t()
    return layouts


def loss_of(logits: Tensor, labels: Tensor) -> Tensor:
    """Mean cross entropy, labels smoothed by 0.1."""
    return F.cross_entropy(logits, labels, label_smoothing=0.1)


def ten_losses(module: nn.Module, x: Tensor, labels: Tensor,
               make: Optimizer, only_bias: bool) -> np.ndarray:
    """Losses before each of ten steps; the parameters are put back afterwards."""
    head = ("fc.", "classifier.")
    learning = [p for name, p in module.named_parameters()
                if not only_bias or name.endswith("bias") or name.startswith(head)]
    before = {name: value.clone() for name, value in module.state_dict().items()}
    optimizer, losses = make(learning), []
    for _ in range(10):
        loss = loss_of(module(x), labels)
        losses.append(float(loss.detach()))
        module.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
    module.load_state_dict(before)
    return np.array(losses)


def all_losses(module: nn.Module, x: Tensor, labels: Tensor) -> Dict[str, np.ndarray]:
    """The three runs that are stored."""
    def sgd(p: List[Tensor]) -> torch.optim.Optimizer:
        return torch.optim.SGD(p, 0.05, momentum=0.9)

    def adam(p: List[Tensor]) -> torch.optim.Optimizer:
        return torch.optim.Adam(p, 0.003)

    return {"sgd.losses": ten_losses(module, x, labels, sgd, only_bias=False),
            "adam.losses": ten_losses(module, x, labels, adam, only_bias=False),
            "sgd_bias.losses": ten_losses(module, x, labels, sgd, only_bias=True)}


def export(module: nn.Module, x: Tensor, path: Path) -> None:
    """Writes the float32 module with a free batch size."""
    torch.onnx.export(module.eval(), x, str(path), opset_version=13, input_names=["input"],
                      output_names=["logits"],
                      dynamic_axes={"input": {0: "batch"}, "logits": {0: "batch"}})


def check_same(path: Path, x: Tensor, labels: Tensor, module: nn.Module, logits: Tensor) -> None:
    """The exported file, evaluated independently, has the same parameters, logits and gradients."""
    model = OnnxModule(path).double()
    again = model(x)
    loss_of(again, labels).backward()
    expected = dict(module.named_parameters())
    assert set(model.named()) == set(expected), set(model.named()) ^ set(expected)
    torch.testing.assert_close(again, logits, rtol=1e-6, atol=1e-6)
    for name, parameter in model.named().items():
        torch.testing.assert_close(parameter.grad, expected[name].grad, rtol=1e-5, atol=1e-6)


def check_robust(module: nn.Module, x: Tensor, labels: Tensor, losses: Dict[str, np.ndarray],
                 name: str) -> None:
    """Rounding cannot move the results: no activation sits near a kink, now or in ten steps.

    Copies with parameters changed by 1e-5, a hundred times the rounding of float32, must give
    nearly the same gradients, and a float32 copy the same losses.
    """
    for _ in range(5):
        near = clone(module).double()
        with torch.no_grad():
            for parameter in near.parameters():
                parameter *= 1 + 1e-5 * torch.randn_like(parameter)
        loss_of(near(x), labels).backward()
        for (key, exact), moved in zip(module.named_parameters(), near.parameters()):
            error = (moved.grad - exact.grad).norm() / exact.grad.norm()
            assert error < 5e-4 or exact.grad.norm() < 1e-9, (
                f"{name}: {key} is too near a kink ({error:.1e}): change the seed")
    rounded = all_losses(clone(module), x.float(), labels)
    for key, exact in losses.items():
        error = np.abs(rounded[key] - exact).max()
        assert error < 1e-4, f"{name}: {key} is not robust ({error:.1e}): change the seed"


def clone(module: nn.Module) -> nn.Module:
    """A float32 copy."""
    copy = type(module)()
    copy.load_state_dict(module.state_dict())
    return copy


def make(name: str, module_type: Callable[[], nn.Module], shape: List[int], seed: int,
         out: Path) -> None:
    """One network: <name>.onnx and <name>.safetensors."""
    torch.manual_seed(seed)
    module = module_type()
    randomise(module)
    x = torch.randn(BATCH, *shape)
    labels = torch.randint(CLASSES, (BATCH,))
    export(module, x, out / f"{name}.onnx")
    module.double()
    logits = module(x.double())
    loss = loss_of(logits, labels)
    loss.backward()
    check_same(out / f"{name}.onnx", x.double(), labels, module, logits)
    layouts = engine_layouts(module)
    grads = {f"grad.{k}": layouts.get(k, lambda w: w)(p.grad).numpy().copy()
             for k, p in module.named_parameters()}

    losses = all_losses(clone(module).double(), x.double(), labels)
    check_robust(module, x.double(), labels, losses, name)
    tensors = {"input": (x.permute(0, 2, 3, 1) if x.dim() == 4 else x).numpy(),
               "labels": labels.numpy().astype(np.int32), "logits": logits.detach().numpy(),
               "loss": loss.detach().numpy().reshape(1), **grads, **losses}
    for key, values in losses.items():
        print(name, key, " ".join(f"{v:.4f}" for v in values))
    write_safetensors(out / f"{name}.safetensors", {
        k: v if v.dtype == np.int32 else v.astype(np.float32) for k, v in tensors.items()})


def main() -> None:
    """Makes all files in a temporary folder, then moves them into place."""
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=HERE)
    out = parser.parse_args().out
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory(dir=out) as folder:
        make("mobilenet_small", MobileNetSmall, [3, 16, 16], seed=2, out=Path(folder))
        make("resnet_small", ResNetSmall, [3, 16, 16], seed=1, out=Path(folder))
        make("transformer_small", TransformerSmall, [6, 8], seed=1, out=Path(folder))
        for path in Path(folder).iterdir():
            os.replace(path, out / path.name)


if __name__ == "__main__":
    main()
