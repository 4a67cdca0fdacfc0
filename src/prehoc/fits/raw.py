"""Runs as they lie in a file or frame: columns of cells, each row with its place for messages."""

from __future__ import annotations

import csv
import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from prehoc.errors import InputError


class Raw:
    """Columns of text with the place of each row, for messages."""

    def __init__(self, source: str, columns: dict[str, list[Any]], lines: list[int], unit: str) -> None:
        self.source, self.columns, self.unit = source, columns, unit
        self.lines = np.array(lines, dtype=np.int64)
        self.bad = np.zeros(len(lines), bool)

    def place(self, i: int) -> str:
        """File and line (or row) of row i."""
        return f"{self.source}, {self.unit} {self.lines[i]}"


def load(source: str | Path | pd.DataFrame) -> tuple[Raw, str]:
    """The columns of a CSV, a Parquet file or a frame, and the name of its task if it tells none.

    Raises InputError for what is no such file, and for lines with too few or too many fields.
    """
    if isinstance(source, pd.DataFrame):
        return _of_frame(source, "the frame"), "task"
    if not isinstance(source, str | Path):
        raise InputError(f"fit takes a data frame or the path of a file, not {type(source).__name__}")
    path = Path(source)
    if path.is_dir():
        raise InputError(f"{path}: is a folder; give a CSV or Parquet file (prehoc import makes one)")
    if not path.exists():
        raise InputError(f"{path}: no such file")
    if path.suffix in (".parquet", ".pq"):
        try:
            frame = pd.read_parquet(path)
        except Exception as error:  # pyarrow's own errors are many
            raise InputError(f"{path}: cannot be read as Parquet ({str(error).splitlines()[0]})") from None
        return _of_frame(frame, str(path)), path.stem
    return _of_csv(path), path.stem


def _of_frame(frame: pd.DataFrame, source: str) -> Raw:
    if len({str(c) for c in frame.columns}) < len(frame.columns):
        raise InputError(f"{source}: two columns have the same name; rename one")
    columns = {str(c): frame[c].tolist() for c in frame.columns}
    return Raw(source, columns, list(range(1, len(frame) + 1)), "row")


def _of_csv(path: Path) -> Raw:
    try:
        with path.open(newline="", encoding="utf-8-sig") as stream:
            first = stream.readline()
            delimiter = max((",", ";", "\t"), key=first.count)
            stream.seek(0)
            return _parse(path, csv.reader(_without_nul(stream, path), delimiter=delimiter))
    except UnicodeDecodeError as error:
        raise InputError(
            f"{path}: is not UTF-8 text ({error.reason} at byte {error.start}); save it as UTF-8"
        ) from None
    except csv.Error as error:
        raise InputError(f"{path}: cannot be read as CSV ({error})") from None


def _without_nul(stream: Any, path: Path) -> Iterator[str]:
    for number, line in enumerate(stream, start=1):
        if "\0" in line:
            raise InputError(
                f"{path}, line {number}: holds a zero byte, so it is no text; give a CSV or Parquet file"
            )
        yield line


def _parse(path: Path, reader: Any) -> Raw:
    header = next(reader, None)
    if not header:
        raise InputError(f"{path}: is empty; it needs a header line with task, seed, depth, metric")
    names = [h.strip() for h in header]
    twice = sorted({n for n in names if names.count(n) > 1})
    if twice:
        raise InputError(f"{path}, line 1: column(s) {twice} stand twice; rename one")
    lines, rows = [], []
    for row in reader:
        if not any(cell.strip() for cell in row):
            continue  # an empty line says nothing
        if len(row) != len(names):
            raise InputError(
                f"{path}, line {reader.line_num}: {len(row)} fields where the header has {len(names)}; "
                "the file may be cut off, or a text with a comma needs quotes"
            )
        lines.append(reader.line_num)
        rows.append(row)
    columns = list(zip(*rows, strict=True)) if rows else [()] * len(names)
    return Raw(str(path), {n: list(c) for n, c in zip(names, columns, strict=True)}, lines, "line")


def import_of(path: Path) -> dict[str, Any]:
    """What `prehoc import` recorded of this very file beside it; {} if it did not, or the file was changed.

    MLPerf calls every metric eval_accuracy, losses too: that name says nothing.
    """
    try:
        told = json.loads(path.with_suffix(".import.json").read_text())
        same = told["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
        return dict(told) if same else {}
    except (OSError, ValueError, KeyError, TypeError):
        return {}
