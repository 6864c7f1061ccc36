#!/usr/bin/env bash
# Makes examples/demo/backbone.onnx: a network with random weights (examples/new_network.cc), trained
# by this engine on the five Fashion-MNIST classes that the demo does not learn.
set -euo pipefail
cd "$(dirname "$0")/.."

scripts/install_packages.sh run
cmake --preset release -DTINYTL_TESTS=OFF -DTINYTL_BENCH=OFF >/dev/null
cmake --build --preset release --target tinytl-train new_network

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
build/release/examples/new_network "$work/new.onnx"
build/release/bin/tinytl-train --model "$work/new.onnx" \
  --data /usr/share/datasets/fashion-mnist --only 0,2,4,6,8 \
  --update full --lr 3e-3 --epochs 10 --batch-size 32 --warmup-epochs 0.2 \
  --save "$work/learnt.safetensors" --export examples/demo/backbone.onnx
