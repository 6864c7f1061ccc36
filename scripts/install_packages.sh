#!/usr/bin/env bash
# Installs what a build needs from Debian's packages: scripts/install_packages.sh run|test|aarch64
# Does nothing where everything is there already.
set -euo pipefail

run=(cmake ninja-build g++ libprotobuf-dev protobuf-compiler libonnx-dev libhwy-dev
     libpthreadpool-dev libxnnpack-dev libcli11-dev libfmt-dev nlohmann-json3-dev libjpeg-dev
     libpng-dev zlib1g-dev python3 dataset-fashion-mnist)
test=(libgtest-dev libgmock-dev libeigen3-dev libbenchmark-dev libonnx-testdata clang-format git
      coinor-cbc)
aarch64=(cmake ninja-build g++-aarch64-linux-gnu qemu-user)

case "${1:-run}" in
  run) packages=("${run[@]}") ;;
  test) packages=("${run[@]}" "${test[@]}") ;;
  aarch64) packages=("${aarch64[@]}") ;;
  *) echo "usage: $0 run|test|aarch64" >&2; exit 2 ;;
esac

missing=()
for package in "${packages[@]}"; do
  dpkg-query -W -f='${Status}' "$package" 2>/dev/null | grep -q 'ok installed' || missing+=("$package")
done
[ ${#missing[@]} -eq 0 ] && exit 0

as_root=()
[ "$(id -u)" -eq 0 ] || as_root=(sudo)
echo "installing: ${missing[*]}"
export DEBIAN_FRONTEND=noninteractive
"${as_root[@]}" apt-get update -qq
"${as_root[@]}" apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
