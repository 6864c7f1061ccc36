#!/usr/bin/env python3
"""Accuracy of sparse schemes at equal memory, and of 8-bit training against floats.

sparse_study.py BIN_DIR OUT_DIR schemes|integers

TINYTL_DATA names the folder of models and data sets. Rows go to OUT_DIR/schemes.csv or integers.csv when their
run is done, and the same command goes on. `schemes`: searched by measured contributions (half an hour for the
analysis) and by the estimate, those of MCUNetV3's authors, last-k, full; budgets in KiB of the authors' bill;
SGD without momentum, 8 epochs. `integers`: the last six convolutions, in floats, in integers with and without
quantization-aware scaling, 6 epochs.
"""
import json
import os
import pathlib
import subprocess
import sys

MODELS = {"mcunet": "mcunet-5fps_imagenet128_qdq_int8.onnx", "mbv2": "mbv2-w0.35_imagenet128_qdq_int8.onnx"}
# By network and budget: biases that train, and the part of each convolution's input channels.
AUTHORS = {
    ("mcunet", 50): (20, {24: 0.25, 27: 0.5, 30: 0.5}),
    ("mcunet", 100): (22, {21: 1, 24: 1, 27: 1, 30: 1, 36: 0.125, 39: 0.25}),
    ("mcunet", 150): (23, {21: 1, 24: 1, 27: 1, 30: 1, 36: 1, 39: 0.5}),
    ("mbv2", 50): (16, {36: 1, 39: 1, 41: 0.25, 42: 0.125, 45: 0.125, 48: 0.125, 49: 0.125}),
    ("mbv2", 100): (25, {27: 1, 30: 1, 33: 1, 36: 1, 39: 1, 42: 0.125, 45: 0.5, 48: 1}),
    ("mbv2", 150): (34, {27: 1, 30: 1, 33: 1, 36: 1, 39: 1, 42: 1, 45: 1, 48: 1}),
}
BUDGETS = (50, 75, 100, 125, 150)
# The most layers whose weights and biases the bill allows; 0: not even the last one.
LAST = {"mcunet": (0, 0, 1, 2, 2), "mbv2": (1, 3, 4, 5, 6)}
OPTIMIZER = ["--optimizer", "sgd", "--momentum", "0"]
HEAD_RATE = ["--head-lr", "5e-2"]


class Study:
    def __init__(self, bin_dir: str, out: str, table: str) -> None:
        self.bin = pathlib.Path(bin_dir)
        self.data = pathlib.Path(os.environ["TINYTL_DATA"])
        self.out = pathlib.Path(out)
        self.out.mkdir(parents=True, exist_ok=True)
        self.table = self.out / table
        self.done = set()
        if self.table.exists():
            self.done = {tuple(line.split(",")[:4]) for line in self.table.read_text().splitlines()}

    def of(self, network: str, data: str) -> list[str]:
        squash = ["--squash"] if data == "cars66" else []
        model, folder = self.data / "models" / MODELS[network], self.data / "datasets" / data
        return ["--model", str(model), "--data", str(folder), *squash]

    def train(self, network: str, data: str, label: str, seed: int, epochs: int, flags: list[str],
              rate: str = "1e-2") -> None:
        key = (network, data, label, str(seed))
        if key in self.done:
            return
        report = self.out / "report.json"
        command = [str(self.bin / "tinytl-train"), *self.of(network, data), *OPTIMIZER, *HEAD_RATE, "--lr", rate,
                   "--epochs", str(epochs), "--seed", str(seed), "--report", str(report),
                   "--save", str(self.out / "learnt"), *flags]
        run = subprocess.run(command, capture_output=True, text=True)
        if run.returncode == 0:
            result = json.loads(report.read_text())
            row = (f"{100 * result['epochs'][-1]['val_top1']:.1f}", f"{1e3 * result['step_seconds_median']:.2f}")
        else:
            row = (run.stderr.strip().splitlines()[-1].replace(",", ";"),)
        with self.table.open("a") as table:
            print(*key, *row, sep=",", file=table)
        print(*key, *row, flush=True)

    def authors(self, network: str, budget: int) -> pathlib.Path:
        biases, channels = AUTHORS[network, budget]
        file = self.out / f"{network}-authors{budget}.json"
        parts = [{"conv": conv, "channels": part} for conv, part in channels.items()]
        file.write_text(json.dumps({"train": [{"last_biases": biases}, *parts]}))
        return file

    def search(self, network: str, budget: int, contributions: list[str], label: str) -> pathlib.Path:
        file = self.out / f"{network}-{label}{budget}.json"
        if not file.exists():
            subprocess.run([str(self.bin / "tinytl-sparsify"), "search", *self.of(network, "cars66"), *OPTIMIZER,
                            "--memory-budget", f"{budget}KiB", "--accounting", "mcunetv3", "--batch-size", "1",
                            "--scheme-out", str(file), *contributions], check=True, stdout=subprocess.DEVNULL)
        return file

    def analyse(self) -> list[str]:
        """Contributions of mcunet on cars66, for every data set."""
        parts = str(self.out / "parts")
        subprocess.run([str(self.bin / "tinytl-sparsify"), "analyse", *self.of("mcunet", "cars66"), *OPTIMIZER,
                        "--full", "--hold-out", "0.3", "--epochs", "4", "--bias-step", "2", "--out", parts,
                        "--jobs", "1", "--", "--lr", "4e-3", *HEAD_RATE], check=True)
        return ["--contributions", parts]

    def schemes(self, network: str, data: str, measured: list[str] | None) -> None:
        for budget, last in zip(BUDGETS, LAST[network]):
            runs = {"estimate": self.search(network, budget, [], "estimate")}
            if measured is not None:
                runs["measured"] = self.search(network, budget, measured, "measured")
            if (network, budget) in AUTHORS:
                runs["authors"] = self.authors(network, budget)
            if last > 0:
                runs["last"] = f"last:{last}"
            for seed in range(3 if budget == 100 and network == "mcunet" else 1):
                for label, scheme in runs.items():
                    flags = ["--update", "sparse", "--scheme", str(scheme)]
                    self.train(network, data, f"{label}-{budget}", seed, 8, flags)
        for update in ("last", "full"):
            self.train(network, data, update, 0, 8, ["--update", update], "3e-3")  # 1e-2 is too much for full


def main(bin_dir: str, out: str, what: str) -> None:
    study = Study(bin_dir, out, what + ".csv")
    if what == "schemes":
        measured = study.analyse()
        for data in ("cars66", "flowers17"):
            study.schemes("mcunet", data, measured)
        study.schemes("mbv2", "cars66", None)
        return
    integers = ["--precision", "int8"]
    modes = {"float": [], "int8": integers, "int8 without scaling": [*integers, "--qas", "off"]}
    for seed in (0, 1):
        for network in MODELS:
            for data in ("flowers17", "cars66"):
                for label, flags in modes.items():
                    study.train(network, data, label, seed, 6, ["--update", "sparse", "--scheme", "last:6", *flags])


if __name__ == "__main__":
    if len(sys.argv) != 4 or sys.argv[3] not in ("schemes", "integers"):
        sys.exit(__doc__)
    main(*sys.argv[1:])
