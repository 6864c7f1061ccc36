"""Reads and writes safetensors files: u64 header length, JSON header, raw little-endian data."""

import json
import struct
from pathlib import Path
from typing import Dict, Union

import numpy as np

_NAMES = {"float32": "F32", "float64": "F64", "int32": "I32", "int64": "I64", "uint8": "U8"}
_TYPES = {name: np.dtype(dtype) for dtype, name in _NAMES.items()}


def write_safetensors(path: Union[str, Path], tensors: Dict[str, np.ndarray]) -> None:
    """Writes the tensors in the order of the dictionary, C-contiguous."""
    header, offset = {}, 0
    for name, array in tensors.items():
        header[name] = {"dtype": _NAMES[array.dtype.name], "shape": list(array.shape),
                        "data_offsets": [offset, offset + array.nbytes]}
        offset += array.nbytes
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)  # the data starts at a multiple of 8
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        for array in tensors.values():
            file.write(np.ascontiguousarray(array).tobytes())


def read_safetensors(path: Union[str, Path]) -> Dict[str, np.ndarray]:
    """The tensors of a file by name."""
    data = Path(path).read_bytes()
    (length,) = struct.unpack_from("<Q", data)
    header = json.loads(data[8:8 + length])
    tensors = {}
    for name, entry in header.items():
        if name != "__metadata__":
            first, last = (8 + length + offset for offset in entry["data_offsets"])
            tensors[name] = np.frombuffer(data[first:last], _TYPES[entry["dtype"]]).reshape(
                entry["shape"])
    return tensors
