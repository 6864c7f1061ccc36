#!/usr/bin/env bash
# All tests on a fresh Debian 12: installs, builds and tests the release build, then the same with the
# address and undefined-behaviour sanitizers and warnings as errors.
set -euo pipefail
cd "$(dirname "$0")/.."

scripts/install_packages.sh test
for preset in release dev; do
  cmake --preset "$preset" -DTINYTL_TESTS=ON -DTINYTL_BENCH=ON
  cmake --build --preset "$preset"
  ctest --preset "$preset"
done
