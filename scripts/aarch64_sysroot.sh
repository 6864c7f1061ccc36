#!/usr/bin/env bash
# Debian's arm64 packages that the kernel tests link, unpacked for the preset `aarch64`:
# scripts/aarch64_sysroot.sh DIR
# They are not installed: arm64 as a foreign architecture would push packages of this machine out.
# Does nothing where DIR is there already.
set -euo pipefail
dir=$(realpath -m "$1")
[ -d "$dir" ] && exit 0

mkdir -p "$(dirname "$dir")"
work=$(mktemp -d "$dir.XXXXXX")
trap 'rm -rf "$work"' EXIT
mkdir "$work"/{state,cache,debs,root}
apt=(apt-get -qq -o Dir::State="$work/state" -o Dir::State::status=/dev/null -o Dir::Cache="$work/cache"
     -o APT::Architecture=arm64 -o APT::Architectures=arm64 -o APT::Sandbox::User=)
echo "unpacking arm64 packages in $dir"
"${apt[@]}" update
(cd "$work/debs" && "${apt[@]}" download libgtest-dev libgmock-dev libhwy-dev libhwy1)
for deb in "$work"/debs/*.deb; do dpkg-deb -x "$deb" "$work/root"; done
mv "$work/root" "$dir"
