#!/usr/bin/env python3
"""Fails if clang-format would change a source file of the project: check_format.py ROOT."""
import pathlib
import subprocess
import sys

FOLDERS = ["engine", "autodiff", "optim", "sparse_update", "tinytl", "examples", "bench", "tests"]


def main(root: pathlib.Path) -> int:
    files = [str(f) for folder in FOLDERS for f in sorted((root / folder).rglob("*"))
             if f.suffix in (".h", ".cc", ".c")]
    result = subprocess.run(["clang-format", "--dry-run", "-Werror", *files], capture_output=True, text=True)
    print(result.stderr[-4000:] or f"{len(files)} files are formatted")
    return result.returncode


if __name__ == "__main__":
    sys.exit(main(pathlib.Path(sys.argv[1])))
