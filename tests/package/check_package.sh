#!/usr/bin/env bash
# Installs the build into a temporary folder and builds a program against it:
# check_package.sh BUILD_DIR SOURCE_DIR C_FLAGS
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cmake --install "$1" --prefix "$work/prefix" >/dev/null
cmake -S "$2/tests/package" -B "$work/build" -DCMAKE_PREFIX_PATH="$work/prefix" \
  -DADAPT_SOURCE="$2/examples/adapt.cc" -DCMAKE_CXX_FLAGS="$3" >/dev/null
cmake --build "$work/build"
"$work/build/adapt" && exit 1
[ $? -eq 2 ]  # prints its usage
