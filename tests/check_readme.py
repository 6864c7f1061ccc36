#!/usr/bin/env python3
"""Runs the README's commands and the examples on small photos made here.

check_readme.py ROOT BIN_DIR EXAMPLES_DIR: the block after <!-- run --> runs as it stands, with net.onnx
and photos/ in the working folder. Fails if a command fails, or the README names a file that is not there.
"""
import os
import pathlib
import re
import shutil
import struct
import subprocess
import sys
import tempfile
import zlib


def write_png(path: pathlib.Path, rgb: tuple[int, int, int], seed: int) -> None:
    """A 40x40 image of about one colour, with a pattern that differs from image to image."""
    side = 40
    rows = b""
    for y in range(side):
        rows += b"\0"
        for x in range(side):
            shade = (x * (seed + 3) + y * (2 * seed + 5)) % 48
            rows += bytes(max(0, min(255, c - shade)) for c in rgb)

    def chunk(kind: bytes, data: bytes) -> bytes:
        body = kind + data
        return struct.pack(">I", len(data)) + body + struct.pack(">I", zlib.crc32(body))

    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) +
                     chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b""))


def run(command: list[str] | str, folder: pathlib.Path, env: dict[str, str]) -> None:
    print("$", command if isinstance(command, str) else " ".join(command), flush=True)
    subprocess.run(command, cwd=folder, env=env, check=True, shell=isinstance(command, str))


def main(root: pathlib.Path, bin_dir: str, examples: pathlib.Path) -> None:
    readme = (root / "README.md").read_text()
    for link in re.findall(r"\]\(([^)#:]+)\)", readme):
        assert (root / link).exists(), f"README.md links to {link}, which does not exist"
    for script in re.findall(r"scripts/\w+\.sh", readme):
        assert os.access(root / script, os.X_OK), f"README.md names {script}, which cannot be run"

    commands = re.search(r"<!-- run -->\n```\n(.*?)```", readme, re.S)
    assert commands, "README.md has no block to run"
    env = dict(os.environ, PATH=bin_dir + os.pathsep + os.environ["PATH"])
    with tempfile.TemporaryDirectory() as work:
        folder = pathlib.Path(work)
        for name, rgb in {"red": (230, 60, 60), "green": (60, 230, 60), "blue": (60, 60, 230)}.items():
            (folder / "photos" / name).mkdir(parents=True)
            for i in range(24):
                write_png(folder / "photos" / name / f"{i}.png", rgb, i)
        shutil.copy(root / "tests" / "golden" / "mobilenet_small.onnx", folder / "net.onnx")
        for line in commands.group(1).strip().splitlines():
            run(line, folder, env)
        assert (folder / "adapted.onnx").stat().st_size > 0
        run([str(examples / "adapt"), "net.onnx", "photos"], folder, env)
        run([str(examples / "new_network"), "new.onnx"], folder, env)


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]), sys.argv[2], pathlib.Path(sys.argv[3]))
