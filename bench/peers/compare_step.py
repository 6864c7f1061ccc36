"""The engine and PyTorch in turn on the same model, update and batch: ratio of medians, spread.

The two alternate, so that both see the same state of the machine; one ratio comes from each pair.

    compare_step.py --engine build/release/tinytl-train --model M.onnx --update bias --pairs 5
"""

import argparse
import json
import shlex
import statistics
import subprocess
import tempfile
from pathlib import Path
from typing import Any, Dict, List

from onnx_torch import model_path
from step_torch import add_options, measure


def run_engine(args: argparse.Namespace) -> Dict[str, Any]:
    """The report of one run of the engine on synthetic data."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.json"
        command = [args.engine, "--model", str(model_path(args.model)), "--synthetic",
                   "--update", args.update, "--batch-size", str(args.batch_size),
                   "--optimizer", "sgd",  # as step_torch.py
                   "--threads", str(args.threads),
                   "--max-steps", str(args.steps + args.warm_up), "--report", str(report)]
        subprocess.run(command + shlex.split(args.engine_args), check=True,
                       stdout=subprocess.DEVNULL)
        return json.loads(report.read_text())


def spread(values: List[float], scale: float, unit: str) -> str:
    """Median, smallest and largest."""
    median, low, high = (scale * f(values) for f in (statistics.median, min, max))
    return f"{median:.3g}{unit} ({low:.3g} .. {high:.3g})"


def main() -> None:
    """Runs the pairs and prints the comparison."""
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    add_options(parser)
    parser.add_argument("--engine", required=True, help="path of tinytl-train")
    parser.add_argument("--engine-args", default="", help="more arguments, one string")
    parser.add_argument("--pairs", type=int, default=5)
    args = parser.parse_args()
    ours: List[Dict[str, Any]] = []
    theirs: List[Dict[str, Any]] = []
    for i in range(args.pairs):
        ours.append(run_engine(args))
        theirs.append(measure(args, want_memory=i == 0))
    ours_seconds = [r["step_seconds_median"] for r in ours]
    theirs_seconds = [r["step_seconds_median"] for r in theirs]
    ratios = [b / a for a, b in zip(ours_seconds, theirs_seconds)]
    torch_run = theirs[0]
    print(f"{Path(args.model).name}, update {args.update}, batch {args.batch_size}, "
          f"{args.threads} thread(s), {args.pairs} alternating pairs of {args.steps} steps")
    print(f"PyTorch configuration {args.config}, BLAS {torch_run['blas']}")
    print(f"step      engine {spread(ours_seconds, 1e3, ' ms')}   "
          f"PyTorch {spread(theirs_seconds, 1e3, ' ms')}")
    total = statistics.median(theirs_seconds) / statistics.median(ours_seconds)
    print(f"speed     engine is {total:.2f}x as fast (pairs {spread(ratios, 1, 'x')})")
    for title, our_key, their_key in (
            ("memory", "training_memory_bytes", "training_memory_bytes"),
            ("peak RSS", "measured_peak_rss_bytes", "peak_rss_growth_bytes")):
        a, b = ours[0][our_key], torch_run[their_key]
        print(f"{title:9} engine {a / 1e6:.2f} MB   PyTorch {b / 1e6:.2f} MB   "
              f"PyTorch needs {b / max(a, 1):.1f}x")
    if ours[0].get("trainable_bytes", torch_run["trainable_bytes"]) != torch_run["trainable_bytes"]:
        print(f"NOT THE SAME UPDATE: the engine trains {ours[0]['trainable_bytes']} bytes of "
              f"parameters, PyTorch {torch_run['trainable_bytes']}: check --classes")


if __name__ == "__main__":
    main()
