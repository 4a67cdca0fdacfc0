"""Rows of a user's CSV, TSV or JSONL file as they stand there: cells, columns and encoding checked.

Without pandas, which takes a cell too many for an index and renames columns of one name.  Everywhere a
person sees it, row 1 is the first row behind the header (of a JSONL file: its first object), and a line
is a line of the file, counted from 1.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from prehoc.errors import InputError

ENDINGS = (".csv", ".tsv", ".jsonl")
HEAD = 4096  # bytes in which a UTF-16 file without a mark shows itself by its zero bytes
MARKS = (
    (b"\xff\xfe\x00\x00", "UTF-32", "utf-32"), (b"\x00\x00\xfe\xff", "UTF-32", "utf-32"),
    (b"\xff\xfe", "UTF-16", "utf-16"), (b"\xfe\xff", "UTF-16", "utf-16"),
)  # fmt: skip
UNUSED = {0x81, 0x8D, 0x8F, 0x90, 0x9D}  # bytes that mean nothing in Windows-1252
WHOLE = (-(2**63), 2**64)  # integers from here on and to before here are read by pandas
csv.field_size_limit(1 << 30)


def ending(path: Path) -> str:
    """A file's ending in lower case: `.CSV` is `.csv`."""
    return path.suffix.lower()


def encoding_fault(path: Path) -> str | None:
    """What a text file is in place of UTF-8, with the remedy; None where it is UTF-8."""
    with path.open("rb") as stream:
        head = stream.read(HEAD)
    for mark, name, code in MARKS:
        if head.startswith(mark):
            return f"not UTF-8 but {name}; {_remedy(path, code)}"
    if b"\x00" in head:
        even, odd = head[::2].count(0), head[1::2].count(0)
        if max(even, odd) > len(head) // 8:
            return f"not UTF-8 but UTF-16; {_remedy(path, 'utf-16be' if even > odd else 'utf-16le')}"
        return "holds zero bytes, and is no text file; give a text file in UTF-8"
    try:
        with path.open(encoding="utf-8") as text:
            while text.read(1 << 20):
                pass
    except UnicodeDecodeError:
        name, code = _western(path)
        return f"not UTF-8; if it is {name}, {_remedy(path, code)}"
    return None


def _western(path: Path) -> tuple[str, str]:
    """Name and code of the likelier of two encodings: bytes 0x80-0x9f are letters in Windows-1252 alone."""
    with path.open("rb") as stream:
        seen = set().union(*iter(lambda: stream.read(1 << 20), b""))
    if seen & set(range(0x80, 0xA0)) and not seen & UNUSED:
        return "Windows-1252", "cp1252"
    return "Latin-1", "latin1"


def _remedy(path: Path, code: str) -> str:
    return f"`iconv -f {code} -t utf-8 {path.name} > utf8_{path.name}` writes one that is"


def twice(names: Sequence[str]) -> str | None:
    """The first name that stands there again; empty names are none."""
    seen: set[str] = set()
    for name in names:
        if name in seen and name:
            return name
        seen.add(name)
    return None


def rows_of(path: Path) -> Iterator[dict[str, Any]]:
    """The rows of a file whose ending is in ENDINGS, each a dict by column; cells of a CSV are texts.

    Raises InputError, with the row and the remedy, for a file that is not UTF-8, two columns of one name,
    a row with more or fewer cells than the header, and a line that is no JSON object.
    """
    fault = encoding_fault(path)
    if fault:
        raise InputError(f"{path}: cannot be read: {fault}")
    with path.open(newline="", encoding="utf-8-sig") as stream:
        if ending(path) == ".jsonl":
            yield from _objects(path, stream)
        else:
            yield from _cells(path, stream)


def _objects(path: Path, stream: Any) -> Iterator[dict[str, Any]]:
    row = 0
    for number, line in enumerate(stream, start=1):
        if not line.strip():
            continue
        row += 1
        try:
            made = json.loads(line)
        except (ValueError, RecursionError) as error:
            said = " ".join(str(error).split())[:120]
            raise InputError(
                f"{path}: cannot be read: row {row} (line {number}) is no JSON object: {said}"
            ) from None
        if not isinstance(made, dict):
            raise InputError(f"{path}, row {row}: is no object of columns; write one a line")
        yield made


def _cells(path: Path, stream: Any) -> Iterator[dict[str, str]]:
    mark, parted = ("\t", "tabs") if ending(path) == ".tsv" else (",", "commas")
    reader = csv.reader(stream, delimiter=mark)
    row = 0
    try:
        names = next((cells for cells in reader if cells), [])
        again = twice(names)
        if again is not None:
            raise InputError(f"{path}: cannot be read: two columns have the name {again!r}; rename one")
        first = reader.line_num + 1
        for cells in reader:
            if not cells or (len(cells) == 1 < len(names) and not cells[0].strip()):
                first = reader.line_num + 1
                continue  # an empty line
            row += 1
            if len(cells) != len(names):
                remedy = _cells_remedy(cells, len(names), parted, reader.line_num > first)
                raise InputError(
                    f"{path}: cannot be read: row {row} (line {first}) has {_count(len(cells))}, and the "
                    f"header has {len(names)}; {remedy}"
                )
            first = reader.line_num + 1
            yield dict(zip(names, cells, strict=True))
    except csv.Error as error:
        said = " ".join(str(error).split())[:120]
        raise InputError(
            f"{path}: cannot be read: row {row + 1} (line {reader.line_num}): {said}"
        ) from None


def _count(cells: int) -> str:
    return f"{cells} cell{'s' * (cells != 1)}"


def _cells_remedy(cells: Sequence[str], wanted: int, parted: str, lines: bool) -> str:
    if len(cells) < wanted and lines:
        return "it runs over several lines: close the quote that was left open, or write the missing cells"
    if len(cells) < wanted:
        return f"write the missing ones, empty ones too, or drop the row; cells are parted by {parted}"
    if not any(cells[wanted:]):
        return f"take the {parted} at its end away: behind them stands nothing"
    return f"put a text that holds {parted} in double quotes, or take the extra cell away"


def check(path: Path) -> None:
    """Read a file through; InputError as `rows_of`, and for an integer in JSON that pandas cannot hold."""
    for number, row in enumerate(rows_of(path), start=1):
        if ending(path) == ".jsonl" and any(map(_beyond, row.values())):
            name = next(name for name, value in row.items() if _beyond(value))
            raise InputError(
                f"{path}: cannot be read: row {number} has in {name!r} an integer beyond 64 bits; put it "
                "in double quotes, or write it shorter"
            )


def _beyond(value: Any) -> bool:
    if isinstance(value, dict | list):
        return any(map(_beyond, value.values() if isinstance(value, dict) else value))
    return isinstance(value, int) and not WHOLE[0] <= value < WHOLE[1]
