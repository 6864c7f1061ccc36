"""Writes reference_outputs.txt: what PyTorch computes for every real model in $TINYTL_DATA/models.

Each line: model file, number of outputs, then the first eight (or all), the sum and the L2 norm of the
output for a batch of two; the input is 0.5 sin(0.7 i) + 0.5 cos(0.13 i) for element i.

    TINYTL_DATA=... python3 tests/onnx/make_reference.py
"""

import sys
from pathlib import Path

import numpy as np
import onnx
import torch

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parents[1] / "bench" / "peers"))

from onnx_torch import OnnxModule, data_root  # noqa: E402

BATCH = 2


def sample_input(path: Path) -> torch.Tensor:
    """The input of a model, its open dimensions taken as the batch."""
    info = onnx.load(str(path)).graph.input[0]
    shape = [dim.dim_value or BATCH for dim in info.type.tensor_type.shape.dim]
    i = np.arange(int(np.prod(shape)), dtype=np.float64)
    x = 0.5 * np.sin(0.7 * i) + 0.5 * np.cos(0.13 * i)
    return torch.from_numpy(x.astype(np.float32).reshape(shape))


def reference_line(path: Path) -> str:
    """One line of the file."""
    with torch.no_grad():
        y = OnnxModule(path)(sample_input(path)).numpy().astype(np.float64).ravel()
    numbers = [*y[:8], y.sum(), np.sqrt((y * y).sum())]
    return " ".join([path.name, str(y.size), *(f"{v:.9g}" for v in numbers)])


def main() -> None:
    """Writes the file beside this script."""
    torch.set_num_threads(1)
    models = sorted((data_root() / "models").glob("*.onnx"))
    lines = [reference_line(path) for path in models]
    (HERE / "reference_outputs.txt").write_text("\n".join(lines) + "\n", encoding="ascii")


if __name__ == "__main__":
    main()
