"""Time and memory of one PyTorch training step (forward, backward, SGD with momentum).

Float32, the folded network of the ONNX file. Two configurations:
    default  NCHW, plain malloc
    best     channels_last, ReLU in place, glibc malloc that never gives memory back
Time and memory come from separate processes, the second one under heap_peak.c. One JSON line:
    step_seconds_median, step_seconds_p10, step_seconds_p90
    heap_peak_bytes         peak of live malloc bytes over the loaded model, during 4 steps
    saved_bytes             what autograd keeps for backward, parameters excepted
    parameter_bytes         of the loaded model
    training_memory_bytes   heap_peak_bytes + parameter_bytes: compare with the engine's key
    peak_rss_growth_bytes   growth of the resident peak since just before the model was loaded
    blas                    the library that computes the matrix products

    step_torch.py --model mbv2-w0.35_imagenet128_fp32.onnx --update bias --config best
"""

import argparse
import ctypes
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, Callable, Dict, List

import torch
import torch.nn.functional as F

from onnx_torch import UPDATES, OnnxModule, model_path

MALLOC = {"MALLOC_MMAP_THRESHOLD_": "4294967296", "MALLOC_TRIM_THRESHOLD_": "4294967296",
          "MALLOC_TOP_PAD_": "268435456"}


def blas_library() -> str:
    """File name of the loaded BLAS, read from the map of the process after a product."""
    torch.rand(64, 64) @ torch.rand(64, 64)
    paths = set(re.findall(r"/\S*(?:blas|mkl_rt|blis)\S*", Path("/proc/self/maps").read_text()))
    names = sorted(Path(p).name for p in paths)
    backend = [n for n in names if re.search(r"openblas|mkl|blis|atlas", n)]
    return ", ".join(backend or names or ["unknown"])


def status_bytes(key: str) -> int:
    """A line of /proc/self/status (VmRSS, VmHWM)."""
    return 1024 * int(re.search(rf"{key}:\s+(\d+)", Path("/proc/self/status").read_text())[1])


def make_step(args: argparse.Namespace) -> "tuple[OnnxModule, Callable[[], Any]]":
    """The model and a function that does one step on a fixed random batch."""
    torch.manual_seed(0)
    is_best = args.config == "best"
    model = OnnxModule(model_path(args.model), inplace_activations=is_best)
    if args.classes:
        model.replace_head(args.classes)
    if is_best:
        model.to(memory_format=torch.channels_last)
    x = torch.rand(args.batch_size, *model.input_shape) * 2 - 1
    if is_best and x.dim() == 4:
        x = x.contiguous(memory_format=torch.channels_last)
    if args.update == "inference":
        return model, lambda: _infer(model, x)
    groups = model.set_update(args.update)
    parameters = [p for group in groups.values() for p in group]
    optimizer = torch.optim.SGD(parameters, lr=1e-5, momentum=0.9)
    with torch.no_grad():
        outputs = model(x[:1]).shape[1]
    labels = torch.arange(args.batch_size) % outputs

    def step() -> None:
        y = model(x)
        loss = F.mse_loss(y, x) if args.loss == "mse" else F.cross_entropy(y, labels)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()

    return model, step


def _infer(model: OnnxModule, x: torch.Tensor) -> torch.Tensor:
    with torch.no_grad():
        return model(x)


def measure_time(args: argparse.Namespace) -> Dict[str, Any]:
    """Seconds of each step after the warm-up, and the growth of the resident peak."""
    before = status_bytes("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")  # the peak starts again from here
    _, step = make_step(args)
    seconds: List[float] = []
    for i in range(args.warm_up + args.steps):
        started = time.perf_counter()
        step()
        if i >= args.warm_up:
            seconds.append(time.perf_counter() - started)
    seconds.sort()
    pick = lambda share: seconds[min(len(seconds) - 1, int(share * len(seconds)))]  # noqa: E731
    return {"step_seconds_median": pick(0.5), "step_seconds_p10": pick(0.1),
            "step_seconds_p90": pick(0.9), "peak_rss_growth_bytes": status_bytes("VmHWM") - before,
            "blas": blas_library(), "threads": torch.get_num_threads()}


def saved_bytes(model: OnnxModule, step: Callable[[], Any]) -> int:
    """Bytes of the distinct storages that autograd keeps, without the parameters."""
    own = {p.storage().data_ptr() for p in model.parameters()}
    kept: Dict[int, int] = {}

    def pack(tensor: torch.Tensor) -> torch.Tensor:
        if tensor.storage().data_ptr() not in own:
            kept[tensor.storage().data_ptr()] = tensor.storage().nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        step()
    return sum(kept.values())


def measure_memory(args: argparse.Namespace) -> Dict[str, Any]:
    """Peak of the heap; to be run with heap_peak.c preloaded."""
    model, step = make_step(args)
    heap = ctypes.CDLL(None)
    heap.heap_peak.restype = ctypes.c_int64
    heap.heap_reset()
    for _ in range(4):
        step()
    peak = heap.heap_peak()
    parameter_bytes = sum(p.numel() * 4 for p in model.parameters())
    return {"heap_peak_bytes": peak, "saved_bytes": saved_bytes(model, step),
            "parameter_bytes": parameter_bytes, "training_memory_bytes": peak + parameter_bytes,
            "trainable_bytes": sum(p.numel() * 4 for p in model.parameters() if p.requires_grad)}


def run(args: argparse.Namespace, part: str, environment: Dict[str, str]) -> Dict[str, Any]:
    """This script again in a fresh process that measures one part."""
    command = [sys.executable, __file__, "--part", part]
    for key in ("model", "update", "config", "loss", "batch_size", "classes", "steps", "warm_up",
                "threads"):
        command += ["--" + key.replace("_", "-"), str(getattr(args, key))]
    environment = {**os.environ, "OMP_NUM_THREADS": str(args.threads),
                   "OPENBLAS_NUM_THREADS": str(args.threads), **environment}
    output = subprocess.run(command, env=environment, check=True, stdout=subprocess.PIPE).stdout
    return json.loads(output)


def measure(args: argparse.Namespace, want_memory: bool = True) -> Dict[str, Any]:
    """Everything about one configuration."""
    malloc = MALLOC if args.config == "best" else {}
    result = {key: getattr(args, key) for key in ("model", "update", "config", "batch_size")}
    result.update(run(args, "time", malloc))
    if want_memory:
        with tempfile.TemporaryDirectory() as folder:
            library = f"{folder}/heap_peak.so"
            source = Path(__file__).with_name("heap_peak.c")
            subprocess.run(["cc", "-O2", "-shared", "-fPIC", "-o", library, source], check=True)
            result.update(run(args, "memory", {**malloc, "LD_PRELOAD": library}))
    return result


def add_options(parser: argparse.ArgumentParser) -> None:
    """The options that compare_step.py has too."""
    parser.add_argument("--model", required=True, help="file, or a name below $TINYTL_DATA/models")
    parser.add_argument("--update", choices=UPDATES + ("inference",), default="bias")
    parser.add_argument("--config", choices=("default", "best"), default="best")
    parser.add_argument("--loss", choices=("cross-entropy", "mse"), default="cross-entropy")
    parser.add_argument("--batch-size", type=int, default=8)
    parser.add_argument("--classes", type=int, default=100, help="0 keeps the model's classifier")
    parser.add_argument("--steps", type=int, default=30)
    parser.add_argument("--warm-up", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)


def main() -> None:
    """Reads the options and prints one JSON line."""
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    add_options(parser)
    parser.add_argument("--part", choices=("all", "time", "memory"), default="all",
                        help=argparse.SUPPRESS)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    part = {"all": measure, "time": measure_time, "memory": measure_memory}[args.part]
    print(json.dumps(part(args)))


if __name__ == "__main__":
    main()
