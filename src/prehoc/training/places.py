"""Where checkpoints lie, and what can be read of them without torch: names, header, small arrays."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

ABOUT = "about.json"  # what the checkpoints of a folder depend on
_KINDS = {"F32": "<f4", "F64": "<f8", "I64": "<i8", "I32": "<i4"}
_HEADER = 8  # bytes of a safetensors file that say how long its header is
_LONGEST = 100 << 20


class BrokenError(ValueError):
    """A checkpoint that is not whole; the message says in what."""


@dataclass(frozen=True)
class Header:
    """A safetensors file's header: where each array lies, and the metadata."""

    path: Path
    start: int
    arrays: dict[str, dict[str, Any]]
    meta: dict[str, Any]

    def array(self, name: str) -> np.ndarray:
        """One array, read from the file; KeyError where it holds none of that name and a known type."""
        entry = self.arrays[name]
        first, end = entry["data_offsets"]
        kind = np.dtype(_KINDS[entry["dtype"]])
        with self.path.open("rb") as stream:
            stream.seek(self.start + first)
            raw = stream.read(end - first)
        return np.frombuffer(raw, kind).reshape(entry["shape"])


def path_of(base: Path, seeds: list[int], depth: int) -> Path:
    """The file of a bank at a depth; a bank is named by its first seed and its number of real runs."""
    return base / f"seeds_{seeds[0]:06d}+{len(seeds)}" / f"depth_{depth:08d}.safetensors"


def depth_of(path: Path) -> int:
    """The depth in a checkpoint's name."""
    return int(path.stem.removeprefix("depth_"))


def banks(base: Path) -> Iterator[tuple[int, int, Path]]:
    """First seed, number of real runs and folder of each bank that was kept."""
    for folder_ in sorted(base.glob("seeds_*+*")):
        first, count = map(int, folder_.name.removeprefix("seeds_").split("+"))
        yield first, count, folder_


def header(path: Path) -> Header:
    """The header of a checkpoint; BrokenError where the file is shorter or longer than it says, or none."""
    size = path.stat().st_size
    if size == 0:
        raise BrokenError("it is empty")
    with path.open("rb") as stream:
        length = int.from_bytes(stream.read(_HEADER), "little")
        if size < _HEADER or not 0 < length <= min(size - _HEADER, _LONGEST):
            raise BrokenError(f"it is cut off, or no checkpoint ({size} bytes)")
        raw = stream.read(length)
    try:
        arrays = json.loads(raw)
        meta = json.loads((arrays.pop("__metadata__", None) or {}).get("meta", "{}"))
        ends = [entry["data_offsets"][1] for entry in arrays.values()]
    except (ValueError, TypeError, KeyError, AttributeError, IndexError):
        raise BrokenError("its header cannot be read") from None
    whole = _HEADER + length + max(ends, default=0)
    if size != whole:
        raise BrokenError(f"it holds {size} bytes of {whole}")
    return Header(path, _HEADER + length, arrays, meta)
