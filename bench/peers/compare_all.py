"""The engine and PyTorch on a table of networks, updates and batches, as Markdown.

Each row runs in turn the engine, PyTorch "default" and PyTorch "best" (step_torch.py), a fresh
process each, so that all see the same state of the machine. Times are medians over the rounds of
the medians of each run; a ratio is the engine's time over PyTorch's in one round: its median, and
in brackets the smallest and the largest. Memory is training memory (the planned arena and all
parameters) against PyTorch's peak of the heap and its parameters.

The engine runs by bench/step_bench: the plan of tinytl-train (SGD with momentum, 100 classes,
micro-batches as it chooses them), and for "inference" that of tinytl-eval.

    compare_all.py --engine build/release/bench/step_bench --rounds 3 --cpu 1
"""

import argparse
import json
import os
import shlex
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any, Dict, List, NamedTuple

from onnx_torch import model_path
from step_torch import measure

MOBILENET = "mobilenet_v2_1.0_imagenet224_fp32.onnx"
SMALL = ("mbv2-w0.35_imagenet128_fp32.onnx", "mcunet-5fps_imagenet128_fp32.onnx")
CONFIGS = ("default", "best")
DEFAULT_TARGET = 0.45  # of the engine's time over PyTorch's, for every row


class Row(NamedTuple):
    """One line of the table; `target` is for the ratio to the best PyTorch."""

    model: str
    update: str
    batch_size: int
    target: float


class Result(NamedTuple):
    """What the rounds of a row measured; one entry a round."""

    ours: List[Dict[str, Any]]
    theirs: Dict[str, List[Dict[str, Any]]]  # by configuration

    def ratios(self, config: str) -> List[float]:
        """The engine's time over PyTorch's, round by round."""
        return [a["step_seconds_median"] / b["step_seconds_median"]
                for a, b in zip(self.ours, self.theirs[config])]


def rows() -> List[Row]:
    """All lines of the table."""
    table = [Row(MOBILENET, update, batch, target)
             for update, target in (("bias", 0.7), ("full", 0.75), ("inference", 1.0))
             for batch in (8, 1)]
    return table + [Row(model, update, batch, 0.6 if batch == 8 else 0.5)
                    for model in SMALL for update in ("bias", "full") for batch in (8, 1)]


def run_engine(row: Row, args: argparse.Namespace) -> Dict[str, Any]:
    """One case of step_bench."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "steps.json"
        command = [args.engine, "--models", str(model_path(row.model)), "--updates", row.update,
                   "--batches", str(row.batch_size), "--threads", str(args.threads),
                   "--seconds", str(args.seconds), "--json", str(report)]
        subprocess.run(command + shlex.split(args.engine_args), check=True,
                       stdout=subprocess.DEVNULL)
        return json.loads(report.read_text())[0]


def run_torch(row: Row, config: str, args: argparse.Namespace,
              want_memory: bool, steps: int) -> Dict[str, Any]:
    """One case of step_torch.py. Inference runs the model's own classifier, as tinytl-eval does."""
    classes = 0 if row.update == "inference" else 100
    return measure(argparse.Namespace(
        model=row.model, update=row.update, batch_size=row.batch_size, config=config,
        loss="cross-entropy", classes=classes, steps=steps, warm_up=3, threads=args.threads),
        want_memory)


def run_row(row: Row, args: argparse.Namespace) -> Result:
    """All rounds of a row: the three in turn."""
    result = Result([], {config: [] for config in CONFIGS})
    for i in range(args.rounds):
        result.ours.append(run_engine(row, args))
        # PyTorch takes one to three times as long; as many steps as fit into the same time.
        steps = int(args.seconds / (2 * result.ours[0]["step_seconds_median"]))
        for config in CONFIGS:
            result.theirs[config].append(
                run_torch(row, config, args, want_memory=i == 0, steps=min(max(steps, 5), 200)))
    for config in CONFIGS:
        theirs = result.theirs[config][0]
        if result.ours[0].get("trainable_bytes", theirs["trainable_bytes"]) != \
                theirs["trainable_bytes"] and row.update != "inference":
            sys.exit(f"{row}: not the same update, {result.ours[0]['trainable_bytes']} bytes of "
                     f"parameters learn here, {theirs['trainable_bytes']} in PyTorch")
    return result


def milliseconds(runs: List[Dict[str, Any]]) -> str:
    """The median of the runs."""
    return f"{1e3 * statistics.median(r['step_seconds_median'] for r in runs):.3g}"


def verdict(ratios: List[float], target: float) -> str:
    """Columns: ratio with its spread, target, pass or fail."""
    ratio = statistics.median(ratios)
    return (f"{ratio:.2f} ({min(ratios):.2f}..{max(ratios):.2f}) | {target:.2f} | "
            f"{'pass' if ratio <= target else 'FAIL'}")


def line(row: Row, result: Result) -> str:
    """One line of the table."""
    runs = [result.ours, result.theirs["default"], result.theirs["best"]]
    times = " | ".join(milliseconds(r) for r in runs)
    memory = " | ".join(f"{r[0]['training_memory_bytes'] / 1e6:.1f}" for r in runs)
    name = row.model.split("_imagenet")[0]
    return (f"| {name} {row.update} | {row.batch_size} | {times} | "
            f"{verdict(result.ratios('default'), DEFAULT_TARGET)} | "
            f"{verdict(result.ratios('best'), row.target)} | {memory} |")


HEAD = ["network, update", "batch", "ours ms", "default ms", "best ms", "to default", "target", "",
        "to best", "target", "", "ours MB", "default MB", "best MB"]


def main() -> None:
    """Runs the rows and prints each when it is done."""
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--engine", required=True, help="path of step_bench")
    parser.add_argument("--engine-args", default="", help="more arguments of it, one string")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=2, help="of measuring, the engine's run")
    parser.add_argument("--threads", type=int, default=1, help="of the engine and of PyTorch")
    parser.add_argument("--cpu", help="processors to run on, as 1 or 0,1; all unless given")
    parser.add_argument("--only", default="", help="rows whose name contains this: 'v2_1.0_ bias'")
    args = parser.parse_args()
    if args.cpu:
        os.sched_setaffinity(0, {int(cpu) for cpu in args.cpu.split(",")})
    table = [row for row in rows() if args.only in f"{row.model} {row.update} {row.batch_size}"]
    failed = 0
    for i, row in enumerate(table):
        result = run_row(row, args)
        if i == 0:
            print(f"{args.rounds} rounds, {args.threads} thread(s), PyTorch's BLAS: "
                  f"{result.theirs['best'][0]['blas']}; load {os.getloadavg()[0]:.1f}\n")
            print("| " + " | ".join(HEAD) + " |\n" + "|---" * len(HEAD) + "|")
        text = line(row, result)
        failed += text.count("FAIL")
        print(text, flush=True)
    print(f"\n{2 * len(table) - failed} of {2 * len(table)} targets met; "
          f"load {os.getloadavg()[0]:.1f}")


if __name__ == "__main__":
    main()
