#!/usr/bin/env python3
"""Fails if a folder includes a folder that it may not depend on (the map of the README)."""
import pathlib
import re
import sys

ENGINE = {  # engine/ has layers of its own
    "engine/graph": [],
    "engine/kernels": [],
    "engine/memory": [],
    "engine/ops": ["engine/graph", "engine/kernels"],
    "engine/schedule": ["engine/graph", "engine/kernels", "engine/ops", "engine/memory"],
    "engine/onnx": ["engine/graph", "engine/kernels", "engine/ops"],
    "engine/runtime": ["engine/graph", "engine/kernels", "engine/ops", "engine/memory", "engine/schedule"],
    "engine/xnnpack": ["engine/graph", "engine/kernels", "engine/ops", "engine/memory", "engine/schedule",
                       "engine/runtime"],
}
ALL_ENGINE = list(ENGINE)
ALLOWED = ENGINE | {
    "autodiff": ["engine/graph", "engine/ops", "engine/kernels", "engine/schedule"],
    "optim": ALL_ENGINE + ["autodiff"],
    "sparse_update": ALL_ENGINE + ["autodiff", "optim"],
    "tinytl/data": ["engine/graph"],
    "tinytl/networks": ["engine/graph", "engine/kernels", "engine/ops", "tinytl/data"],
    "tinytl/methods": ALL_ENGINE + ["autodiff", "optim", "tinytl/data"],
    "tinytl/train": ALL_ENGINE + ["autodiff", "optim", "tinytl/data", "tinytl/methods"],
    "tinytl/cli": ALL_ENGINE + ["autodiff", "optim", "sparse_update", "tinytl/data", "tinytl/networks",
                             "tinytl/methods", "tinytl/train"],
}
FREE = {"examples", "bench", "tests"}


def layer_of(path: str) -> str:
    parts = path.split("/")
    return "/".join(parts[:2]) if parts[0] in ("engine", "tinytl") else parts[0]


def main(root: pathlib.Path) -> int:
    errors = []
    files = [f for f in sorted(root.rglob("*")) if f.suffix in (".h", ".cc", ".c") and "build" not in f.parts]
    for file in files:
        name = str(file.relative_to(root))
        layer = layer_of(name)
        if layer in FREE:
            continue
        if layer not in ALLOWED:
            errors.append(f"{name}: {layer} is not in the map of tests/check_layering.py")
            continue
        for target in re.findall(r'#include "([\w/]+\.h)"', file.read_text()):
            used = layer_of(target)
            if "/" in target and not (root / target.split("/")[0]).exists():
                continue  # an outside library that is included by quotes
            if not (root / target).exists():
                errors.append(f'{name}: "{target}" is not a path from the root of the project')
            elif used != layer and used not in ALLOWED[layer]:
                errors.append(f"{name}: {layer} must not include {used}")
    print("\n".join(errors) or f"{len(files)} files keep to their layers")
    return bool(errors)


if __name__ == "__main__":
    sys.exit(main(pathlib.Path(sys.argv[1])))
