#!/usr/bin/env bash
# All tests on a fresh Debian 12: installs, builds and tests the kernels for 64-bit ARM in an emulator,
# then the release build, then the same with the address and undefined-behaviour sanitizers and warnings
# as errors.
set -euo pipefail
cd "$(dirname "$0")/.."

scripts/install_packages.sh test
if scripts/install_packages.sh aarch64 && scripts/aarch64_sysroot.sh build/aarch64-root; then
  cmake --workflow --preset aarch64
else
  echo "warning: packages for 64-bit ARM are out of reach, so its kernels are not tested" >&2
fi
for preset in release dev; do
  cmake --preset "$preset" -DTINYTL_TESTS=ON -DTINYTL_BENCH=ON
  cmake --build --preset "$preset"
  ctest --preset "$preset"
done
