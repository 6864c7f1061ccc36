#!/usr/bin/env python3
"""The whole time-memory curve: how long a step takes as its memory budget shrinks, measured.

  budget_curve.py BIN_FOLDER [--models NAME...] [--updates bias,full] [--points 10] [--steps 15]
                  [--rounds 3] [--torch FILE] [--svg curve.svg] [--json curve.json]
  budget_curve.py --from curve.json --svg curve.svg

For each model and update, budgets from that of the fastest plan down to the smallest that
tinytl-plan accepts. Each plan runs in turn with the plan that takes the whole batch at once and
pulls no lever; the ratio of the two medians is what the machine's other work disturbs least.
--torch: the lines that bench/peers/step_torch.py printed on this machine, as reference points.
Needs TINYTL_DATA, a folder with models/. Exit code 1 where memory exceeds its budget.
"""

import argparse
import json
import math
import os
import pathlib
import re
import statistics
import subprocess
import sys
import tempfile

from budget_picture import picture, si_bytes

MODELS = ["mobilenet_v2_1.0_imagenet224", "mbv2-w0.35_imagenet128", "mcunet-5fps_imagenet128"]
BATCH = 8
CLASSES = 17
SETTING = ["--classes", str(CLASSES), "--batch-size", str(BATCH)]
WHOLE_BATCH = ["--micro-batch", str(BATCH)]
OVER_BUDGET = 4  # the exit code of tinytl-plan and tinytl-train


def allowed(planned):
    """Measured growth may exceed the plan by this, as in measure_memory.py."""
    return planned * 1.03 + 1e6


class Tools:
    """tinytl-plan and tinytl-train on one model and update."""

    def __init__(self, folder, model, update):
        self.folder = folder
        self.flags = ["--model", model, "--update", update, *SETTING]

    def run(self, tool, flags):
        """The report; or, where the budget cannot be met, the message."""
        with tempfile.TemporaryDirectory() as scratch:
            report = pathlib.Path(scratch) / "report.json"
            command = [self.folder / tool, *self.flags, *flags, "--report", report]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if done.returncode == OVER_BUDGET:
                return None, done.stderr
            if done.returncode != 0:
                sys.exit(f"{' '.join(map(str, command))}\n{done.stderr}")
            return json.loads(report.read_text()), ""

    def plan(self, flags):
        return self.run("tinytl-plan", flags)

    def train(self, flags, steps):
        count = str(steps)
        result, message = self.run(
            "tinytl-train", [*flags, "--synthetic", "--epochs", count, "--max-steps", count])
        return result if result is not None else sys.exit(message)

    def smallest_plan(self):
        """The budget which the refusal of one byte names, or the refusal of that, and its plan."""
        budget = 1
        for _ in range(10):
            report, message = self.plan(["--memory-budget", str(budget)])
            if report is not None:
                return budget, report
            budget = int(re.search(r"is (\d+) bytes", message)[1])
        sys.exit(f"the smallest budget is refused again and again: {message}")


def levers_of(report):
    """In words."""
    words = []
    if report["micro_batch_size"] < report["batch_size"]:
        words.append(f"micro-batches of {report['micro_batch_size']}")
    for key, one, many in (("regions_in_pieces", "region in pieces", "regions in pieces"),
                           ("values_recomputed", "value recomputed", "values recomputed")):
        if report.get(key, 0) > 0:
            words.append(f"{report[key]} {one if report[key] == 1 else many}")
    return ", ".join(words) or "none"


def point_of(budget, flags, report):
    whole = report["levers"][0] if report["levers"] else report
    keys = ("arena_bytes", "training_memory_bytes", "micro_batch_size", "regions_in_pieces",
            "values_recomputed")
    return {"budget": budget, "flags": flags, "levers": levers_of(report),
            **{key: report[key] for key in keys},
            "predicted_ratio":
                round(report["predicted_step_seconds"] / whole["predicted_step_seconds"], 6)}


def budgets_between(largest, smallest, count):
    """Evenly spaced in the logarithm of the arena, the part that a budget can change."""
    rest = smallest["training_memory_bytes"] - smallest["arena_bytes"]
    high, low = largest["training_memory_bytes"] - rest, smallest["arena_bytes"]
    shares = [i / max(1, count - 1) for i in range(count)]
    budgets = [math.ceil(rest + high * (low / high) ** share) for share in shares]
    return [largest["training_memory_bytes"], *budgets[1:-1]]


def plan_series(tools, count):
    """The plan of the whole batch, and one for each budget; of equal plans one."""
    whole, _ = tools.plan(WHOLE_BATCH)
    fastest, _ = tools.plan(["--memory-budget", str(whole["training_memory_bytes"])])
    least, smallest = tools.smallest_plan()
    first = point_of(whole["training_memory_bytes"], WHOLE_BATCH, whole)
    points = []
    for budget in [*budgets_between(fastest, smallest, count), least]:
        flags = ["--memory-budget", str(budget)]
        report, _ = tools.plan(flags)
        if report is None:
            print(f"  {budget} bytes: refused, though {least} are not")
            continue
        point = point_of(budget, flags, report)
        if not any(is_same_plan(point, other) for other in [first, *points]):
            points.append(point)
    return first, points


def is_same_plan(a, b):
    return all(a[key] == b[key] for key in ("levers", "arena_bytes", "training_memory_bytes"))


def measure_series(tools, series, steps, rounds):
    """Adds what was measured to the points: the reference runs next to each of them."""
    whole, points = series["whole"], series["points"]
    runs = [[] for _ in points]
    references = []
    for _ in range(rounds):
        for of_point, point in zip(runs, points):
            references.append(tools.train(whole["flags"], steps))
            of_point.append((tools.train(point["flags"], steps), references[-1]))
    add_measured(whole, [(run, run) for run in references])
    for of_point, point in zip(runs, points):
        add_measured(point, of_point)


def add_measured(point, pairs):
    seconds = "step_seconds_median"
    own = [run for run, _ in pairs]
    point["measured_growth_bytes"] = max(run["measured_peak_rss_bytes"] for run in own)
    point["step_seconds"] = statistics.median(run[seconds] for run in own)
    point["ratio"] = statistics.median(run[seconds] / beside[seconds] for run, beside in pairs)
    point["model_error"] = statistics.median(
        run["predicted_step_seconds"] / run[seconds] for run in own)


def add_torch(all_series, lines):
    """PyTorch on the same network, update and batch, where it was measured."""
    for series in all_series:
        series["torch"] = next(
            (run for run in map(json.loads, lines)
             if run["model"].startswith(series["model"]) and run["update"] == series["update"] and
             run["batch_size"] == BATCH), None)


def print_series(series):
    print(f"\n{series['model']}, {series['update']} update, batch {BATCH}")
    print(f"  {'budget':>9} {'training':>9} {'growth':>9} {'step':>9} {'time':>6} "
          f"{'predicted':>9} {'model':>7}  levers")
    for point in [series["whole"], *series["points"]]:
        budget = "-" if point is series["whole"] else si_bytes(point["budget"])
        print(f"  {budget:>9} {si_bytes(point['training_memory_bytes']):>9} "
              f"{si_bytes(point['measured_growth_bytes']):>9} "
              f"{1e3 * point['step_seconds']:6.1f} ms {point['ratio']:5.2f}x "
              f"{point['predicted_ratio']:8.2f}x {point['model_error'] - 1:+7.0%}  "
              f"{point['levers']}", flush=True)
    torch = series.get("torch")
    if torch is not None:
        ratio = torch["step_seconds_median"] / series["whole"]["step_seconds"]
        print(f"  {'-':>9} {si_bytes(torch['training_memory_bytes']):>9} "
              f"{'-':>9} {1e3 * torch['step_seconds_median']:6.1f} ms {ratio:5.2f}x {'':26}PyTorch")


def verdict(all_series):
    """Prints whether memory stayed within its budgets; True if so."""
    points = [p for s in all_series for p in s["points"]]
    over_plan = [p for p in points if p["training_memory_bytes"] > p["budget"]]
    over_budget = [p for p in points if p["measured_growth_bytes"] > allowed(p["budget"])]
    print(f"\nplanned:  {len(points) - len(over_plan)} of {len(points)} plans within their budget")
    print(f"measured: {len(points) - len(over_budget)} of {len(points)} runs within their budget "
          "(3 % and 1 MB allowed)")
    if points:
        worst = max(p["measured_growth_bytes"] - p["budget"] for p in points)
        print(f"          at most {worst / 1e6:+.2f} MB from the budget")
    return not over_plan and not over_budget


def measure(args):
    if "TINYTL_DATA" not in os.environ:
        sys.exit("budget_curve.py: set TINYTL_DATA to the folder with models/")
    folder = pathlib.Path(os.environ["TINYTL_DATA"]) / "models"
    all_series = []
    for name in args.models:
        for update in args.updates.split(","):
            model = folder / f"{name}_fp32.onnx"
            tools = Tools(args.bin_folder, model, update)
            print(f"{name}, {update}: plans", file=sys.stderr, flush=True)
            whole, points = plan_series(tools, args.points)
            print(f"{name}, {update}: {len(points)} plans to run", file=sys.stderr, flush=True)
            series = {"model": name.split("_imagenet")[0], "update": update, "whole": whole,
                      "points": points}
            measure_series(tools, series, args.steps, args.rounds)
            all_series.append(series)
            if args.json is not None:  # what there is, should the rest be interrupted
                args.json.write_text(json.dumps(all_series, indent=1) + "\n")
    return all_series


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("bin_folder", type=pathlib.Path, nargs="?")
    parser.add_argument("--models", nargs="+", default=MODELS, help="names in models/")
    parser.add_argument("--updates", default="bias,full")
    parser.add_argument("--points", type=int, default=10, help="budgets")
    parser.add_argument("--steps", type=int, default=15, help="of a run")
    parser.add_argument("--rounds", type=int, default=3, help="runs of each plan")
    parser.add_argument("--torch", type=pathlib.Path, help="output of step_torch.py, to compare")
    parser.add_argument("--svg", type=pathlib.Path)
    parser.add_argument("--json", type=pathlib.Path)
    parser.add_argument("--from", dest="source", type=pathlib.Path,
                        help="draw what --json wrote, instead of measuring")
    args = parser.parse_args()
    if (args.bin_folder is None) == (args.source is None):
        parser.error("give BIN_FOLDER or --from")
    all_series = measure(args) if args.source is None else json.loads(args.source.read_text())
    if args.torch is not None:
        add_torch(all_series, args.torch.read_text().splitlines())
    for series in all_series:
        print_series(series)
    if args.svg is not None:
        args.svg.write_text(picture(all_series, BATCH))
    sys.exit(0 if verdict(all_series) else 1)


if __name__ == "__main__":
    main()
