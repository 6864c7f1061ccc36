#!/usr/bin/env python3
"""Planned against measured memory of training, on real networks and data.

  measure_memory.py BIN_DIR [--steps 200] [--only TEXT]

Runs tinytl-train of BIN_DIR on every case below and compares the growth of the peak resident set
(measured_peak_rss_bytes) with the plan (training_memory_bytes). Allowed: 3 % and 1 MB more.
Needs TINYTL_DATA, a folder with models/ and datasets/. Exit code 1 where a case exceeds it.
"""

import argparse
import json
import os
import pathlib
import subprocess
import sys
import tempfile

MBV2 = "mbv2-w0.35_imagenet128_fp32.onnx"
MCUNET = "mcunet-5fps_imagenet128_fp32.onnx"
LARGE = "mobilenet_v2_1.0_imagenet224_fp32.onnx"
RESNET = "mlperf_ic_resnet8_cifar10_fp32.onnx"
KWT = "kwt1_gsc12_fp32.onnx"
AUTOENCODER = "mlperf_ad_toycar_autoencoder_fp32.onnx"

CASES = [  # model, data set ("": --synthetic), flags
    (MBV2, "flowers17", "--update bias"),
    (MBV2, "flowers17", "--update bias --micro-batch 1"),
    (MBV2, "flowers17", "--update full"),
    (MBV2, "flowers17", "--update last"),
    (MCUNET, "flowers17", "--update bias"),
    (LARGE, "flowers17", "--update bias"),
    (LARGE, "flowers17", "--update bias --micro-batch 1"),
    (LARGE, "flowers17", "--update last"),
    (LARGE, "flowers17", "--update full --micro-batch 1"),
    (RESNET, "cifar10_sub", "--update bias --mean 0 --std 1"),
    (KWT, "", "--update bias --classes 12"),
    (AUTOENCODER, "", "--update full --loss mse"),
]


def allowed(planned):
    return planned * 1.03 + 1e6


def measure(train, data, case, steps, folder):
    model, images, flags = case
    command = [train, "--model", data / "models" / model, *flags.split(), "--batch-size", "8",
               "--report", folder / "report.json"]
    if images:
        command += ["--data", data / "datasets" / images, "--save", folder / "learnt"]
        command += ["--max-steps", str(steps)]
    else:
        command += ["--synthetic", "--max-steps", str(steps), "--epochs", str(steps)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        sys.exit(f"{' '.join(map(str, command))}\n{done.stderr}")
    return json.loads((folder / "report.json").read_text())


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("bin_dir", type=pathlib.Path)
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--only", default="", help="cases whose name contains this")
    args = parser.parse_args()
    if "TINYTL_DATA" not in os.environ:
        sys.exit("measure_memory.py: set TINYTL_DATA to the folder with models/ and datasets/")
    data = pathlib.Path(os.environ["TINYTL_DATA"])
    failed = False
    print(f"{'case':64} {'planned':>9} {'measured':>9} {'over':>7} {'allowed':>8}   MB")
    for case in CASES:
        name = " ".join(part for part in (case[0].split("_fp32")[0], *case[1:]) if part)
        if args.only not in name:
            continue
        with tempfile.TemporaryDirectory() as folder:
            report = measure(args.bin_dir / "tinytl-train", data, case, args.steps,
                             pathlib.Path(folder))
        planned, measured = report["training_memory_bytes"], report["measured_peak_rss_bytes"]
        fits = measured <= allowed(planned)
        failed |= not fits
        print(f"{name:64} {planned / 1e6:9.2f} {measured / 1e6:9.2f} "
              f"{(measured - planned) / 1e6:7.2f} {(allowed(planned) - planned) / 1e6:8.2f}   "
              f"{'ok' if fits else 'EXCEEDED'}", flush=True)
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
