"""Finding and reading log files: walks, text, JSON, YAML and CSV, with errors that name file and line."""

from __future__ import annotations

import csv
import io
import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from prehoc.errors import InputError
from prehoc.logs.run import Notes

_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class _Lenient(_Loader):
    """YAML without foreign objects: what a tag would construct is read as plain data or text."""


def _plain(loader: Any, _suffix: str, node: yaml.Node) -> Any:
    if isinstance(node, yaml.MappingNode):
        return loader.construct_mapping(node, deep=True)
    if isinstance(node, yaml.SequenceNode):
        return loader.construct_sequence(node, deep=True)
    return loader.construct_scalar(node)


_Lenient.add_multi_constructor("", _plain)
csv.field_size_limit(1 << 27)


def natural(path: str | Path) -> list[Any]:
    """A sort key by which result_2 comes before result_10."""
    return [(1, int(p), "") if p.isdigit() else (0, 0, p) for p in re.split(r"(\d+)", str(path)) if p]


def walk(src: Path, not_read: tuple[str, ...] = ()) -> Iterator[Path]:
    """All files under `src` (or `src` itself) in natural order; hidden ones are left.

    Links to folders are followed once, after the folders; a link to a file of the same name below `src` is
    that file again, and left.

    Raises InputError if there is no such path; OSError where a folder cannot be listed.
    """
    if not src.exists():
        raise InputError(f"{src}: no such file or folder; check the path")
    if src.is_file():
        yield src
        return
    seen: set[str] = set()
    root = src.resolve()
    for folder, below, names in os.walk(src, followlinks=True, onerror=_refuse):
        real = os.path.realpath(folder)
        if real in seen:
            below.clear()
            continue
        seen.add(real)
        shown = (d for d in below if not d.startswith("."))
        below[:] = sorted(shown, key=lambda d: (Path(folder, d).is_symlink(), natural(d)))
        for name in sorted((n for n in names if not n.startswith(".")), key=natural):
            path = Path(folder, name)
            if path.is_symlink():
                real_file = path.resolve()
                if real_file.name == name and real_file.is_relative_to(root):
                    continue
            if not not_read or str(path.resolve()) not in not_read:
                yield path


def _refuse(error: OSError) -> None:
    raise error


def read_text(path: Path) -> str:
    """A text file's content without a byte-order mark; InputError if it is not UTF-8."""
    try:
        return path.read_text("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: not UTF-8 text (byte {error.start}); convert it, as by iconv") from None


def read_json(path: Path, notes: Notes) -> Any:
    """A JSON file's content; None where it is broken and bad files are set aside."""
    try:
        return json.loads(read_text(path))
    except json.JSONDecodeError as error:
        notes.bad(f"{path}, line {error.lineno}", f"broken JSON: {error.msg}", "mend the file", "file")
    except InputError as error:
        if not notes.skip_bad:
            raise
        notes.aside("file", "not UTF-8 text", str(error).split(": not UTF-8")[0])
    except RecursionError:
        notes.bad(str(path), "JSON nested too deep", "mend the file", "file")
    return None


def read_yaml(path: Path, notes: Notes) -> Any:
    """A YAML file's content, foreign tags as plain data; None where it is broken and such are set aside."""
    try:
        return yaml.load(read_text(path), Loader=_Lenient)  # a safe loader
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f", line {mark.line + 1}" if mark else ""
        notes.bad(f"{path}{line}", "broken YAML", "mend the file", "file")
    except InputError as error:
        if not notes.skip_bad:
            raise
        notes.aside("file", "not UTF-8 text", str(error).split(": not UTF-8")[0])
    return None


class Table:
    """A CSV file: its header, and its rows as (line, {column: text})."""

    def __init__(self, path: Path, header: list[str], rows: list[tuple[int, dict[str, str]]]) -> None:
        self.path = path
        self.header = header
        self.rows = rows


def read_csv(path: Path, notes: Notes) -> Table:
    """A CSV file (comma, semicolon or tab, told by its header), each row with its line.

    A row of another length than the header is a bad line.  Raises InputError if the file is empty, has a
    column twice or is no text.
    """
    text = read_text(path)
    if "\0" in text:
        raise InputError(f"{path}: holds NUL bytes; it is no CSV text")
    first = text.lstrip("\r\n").split("\n", 1)[0]
    mark = max(",;\t", key=first.count)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=mark, strict=True)
    header: list[str] = []
    rows: list[tuple[int, dict[str, str]]] = []
    try:
        for cells in reader:
            if not any(cells):
                continue
            if not header:
                header = [c.strip() for c in cells]
                twice = sorted({c for c in header if c and header.count(c) > 1})
                if twice:
                    raise InputError(f"{path}: has the column(s) {twice} twice; rename one")
            elif len(cells) != len(header):
                fault = f"{len(cells)} cells where the header has {len(header)} columns"
                notes.bad(f"{path}, line {reader.line_num}", fault, "mend the line")
            else:
                rows.append((reader.line_num, dict(zip(header, cells, strict=True))))
    except csv.Error as error:
        raise InputError(f"{path}, line {reader.line_num}: broken CSV ({error}); mend the line") from None
    if not header:
        raise InputError(f"{path}: is empty; give a file with a header and rows")
    return Table(path, header, rows)


def relative(path: Path, src: Path) -> str:
    """`path` below `src` as text with slashes; the name itself where `src` is the file."""
    made = path.relative_to(src) if path != src else Path(path.name)
    return made.as_posix() if made.parts else path.resolve().name


def task_of(run: Path, src: Path) -> str:
    """The task of a run's folder or file: the folders between it and `src`; `src`'s name without any."""
    above = relative(run, src).rsplit("/", 1)
    return above[0] if len(above) == 2 else src.resolve().name if src != run else run.resolve().parent.name
