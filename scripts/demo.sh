#!/usr/bin/env bash
# The main job on data that Debian ships: a small network that knows five kinds of clothes learns five
# others from 100 images each, by four update methods. Installs, builds, runs; prints one table.
set -euo pipefail
cd "$(dirname "$0")/.."

scripts/install_packages.sh run
cmake --preset release -DTINYTL_TESTS=OFF -DTINYTL_BENCH=OFF >/dev/null
cmake --build --preset release --target tinytl-train tinytl-plan tinytl-eval tinytl-predict

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
train() {  # update, learning rate of what is not the classifier
  build/release/bin/tinytl-train --model examples/demo/backbone.onnx --new-head \
    --data /usr/share/datasets/fashion-mnist --only 1,3,5,7,9 --max-per-class 100 \
    --update "$1" --lr "$2" --head-lr 1e-2 --save "$work/$1.safetensors" --report "$work/$1.json"
}
train last 3e-3
train bias 3e-3
train lite+bias 3e-3
train full 1e-3
echo
echo "Fashion-MNIST: a network for shirts and bags learns shoes, trousers and dresses from 100 images each"
python3 scripts/print_table.py "$work"/{last,bias,lite+bias,full}.json
