"""A runs table in CSV to which many processes add their rows, at the same time if need be.

Every change is made under a lock on a file beside the table, to a copy that takes the table's place in
one step. So a reader finds a whole table at any moment, and a process that is killed leaves no half row;
the operating system frees its lock. What other runs wrote is kept as written, in columns unknown here
too.
"""

from __future__ import annotations

import contextlib
import csv
import io
import math
from collections.abc import Iterator, Mapping
from pathlib import Path

from filelock import FileLock, Timeout

from prehoc import tables
from prehoc.errors import InputError

COLUMNS = ("task", "seed", "depth", "metric")
LOCK_SECONDS = 60.0  # a change takes milliseconds: who waits this long waits for a process that hangs


class TakenError(InputError):
    """Another process changed the rows of this run."""


class RunsTable:
    """The rows of a runs table in memory, as text: see RunsFile.change."""

    def __init__(self, path: Path, header: list[str], rows: list[list[str]]) -> None:
        self.path = path
        self.header = header
        self.rows = rows
        self.depth = "depth" if "depth" in header else "step"

    def of(self, task: str, seed: int | str) -> dict[int, str]:
        """Depth -> metric, as written, of run (task, seed)."""
        depth, metric = self.header.index(self.depth), self.header.index("metric")
        return {int(float(row[depth])): row[metric].strip() for row in self._own(task, seed)}

    def put(
        self, task: str, seed: int | str, values: Mapping[int, str], group: str | None, anew: bool
    ) -> None:
        """Make `values` (depth -> metric, as written) all the rows of the run, none with a `final` yet.

        `anew` drops what was there of the run; otherwise rows that stay keep their place.
        """
        if group is not None:
            self._column("group")
        own = self._own(task, seed)
        mine = {id(row) for row in own}
        kept: dict[int, list[str]] = {}
        if not anew:
            at = self.header.index(self.depth)
            kept = {int(float(row[at])): row for row in own if int(float(row[at])) in values}
        stay = {id(row) for row in kept.values()}
        self.rows = [row for row in self.rows if id(row) not in mine or id(row) in stay]
        for depth, metric in sorted(values.items()):
            cells = {"task": task, "seed": str(seed), self.depth: str(depth), "metric": metric, "final": ""}
            if group is not None:
                cells["group"] = group
            row = kept.get(depth)
            if row is None:
                row = [""] * len(self.header)
                self.rows.append(row)
            for name, cell in cells.items():
                if name in self.header:
                    row[self.header.index(name)] = cell

    def put_final(self, task: str, seed: int | str, value: str) -> None:
        """Write a run's final performance on all its rows."""
        self._column("final")
        at = self.header.index("final")
        for row in self._own(task, seed):
            row[at] = value

    def _own(self, task: str, seed: int | str) -> list[list[str]]:
        name, run = self.header.index("task"), self.header.index("seed")
        wanted = _seed(str(seed))
        return [row for row in self.rows if row[name] == task and _seed(row[run]) == wanted]

    def _column(self, name: str) -> None:
        if name not in self.header:
            self.header.append(name)
            for row in self.rows:
                row.append("")


class RunsFile:
    """A runs table on disk, shared by processes.  `path` ends in .csv; its folder is made."""

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path).resolve()
        if self.path.suffix.lower() != ".csv":
            raise InputError(f"{path}: runs are added to a CSV file; name one that ends in .csv")

    @contextlib.contextmanager
    def change(self) -> Iterator[RunsTable]:
        """Yield the table under the lock; what was changed is on disk when the block ends without an error.

        Raises InputError if the file is no runs table (with its line), or its lock cannot be had.
        """
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            lock = FileLock(self.path.with_name(f".{self.path.name}.lock"), timeout=LOCK_SECONDS)
            with lock:
                table = self.read()
                before = _text(table)
                yield table
                after = _text(table)
                if after != before:
                    with tables.atomic(self.path) as temporary:
                        temporary.write_text(after, encoding="utf-8", newline="")
        except Timeout as error:
            raise InputError(
                f"{self.path}: another process has held the lock of this file for {LOCK_SECONDS:g} s; "
                "end it, or name another file"
            ) from error
        except (OSError, NotImplementedError) as error:
            raise InputError(
                f"{self.path}: cannot be locked and written ({error}); name a file where both work"
            ) from error

    def read(self) -> RunsTable:
        """The table as it is now, without rows if there is no file; raises InputError as `change` does."""
        try:
            content = self.path.read_text(encoding="utf-8-sig")
        except FileNotFoundError:
            content = ""
        except UnicodeDecodeError as error:
            raise InputError(
                f"{self.path}: is not UTF-8 text ({error.reason}); name another file"
            ) from error
        reader = csv.reader(io.StringIO(content, newline=""))
        try:
            numbered = [(reader.line_num, row) for row in reader if row]
        except csv.Error as error:
            raise InputError(f"{self.path}: line {reader.line_num} is no CSV ({error}); mend it") from error
        if not numbered:
            return RunsTable(self.path, list(COLUMNS), [])
        header = [name.strip() for name in numbered[0][1]]
        self._check_header(header)
        for line, row in numbered[1:]:
            self._check_row(line, row, header)
        return RunsTable(self.path, header, [row for _, row in numbered[1:]])

    def has(self, task: str, seed: int | str) -> bool:
        """Whether run (task, seed) has rows there.  Raises InputError as `change` does."""
        return bool(self.read().of(task, seed))

    def _check_header(self, header: list[str]) -> None:
        missing = [c for c in COLUMNS if c not in header and not (c == "depth" and "step" in header)]
        if missing:
            raise InputError(
                f"{self.path}: line 1: no column {', '.join(map(repr, missing))}; "
                f"a file with the columns {', '.join(COLUMNS)} is added to, or name a new one"
            )
        if "value" in header:
            raise InputError(f"{self.path}: line 1: column 'value' makes it a long table; name a new file")
        twice = sorted({name for name in header if header.count(name) > 1})
        if twice:
            raise InputError(f"{self.path}: line 1: column {twice[0]!r} is there twice; rename one")

    def _check_row(self, line: int, row: list[str], header: list[str]) -> None:
        where = f"{self.path}: line {line}"
        if len(row) != len(header):
            raise InputError(
                f"{where}: {len(row)} cells under {len(header)} columns; mend or delete the line"
            )
        depth = "depth" if "depth" in header else "step"
        cell = row[header.index(depth)]
        at = _number(cell)
        if at is None or not at >= 0 or at % 1:  # an infinity's remainder is NaN, which is true
            raise InputError(
                f"{where}: column {depth!r} takes whole numbers of 0 or more, not {cell!r}; mend it"
            )
        metric = row[header.index("metric")]
        if metric.strip() and _number(metric) is None:
            raise InputError(
                f"{where}: column 'metric' takes numbers, not {metric!r}; mend it, or leave it empty"
            )


def _number(cell: str) -> float | None:
    try:
        return float(cell)
    except ValueError:
        return None


def _seed(cell: str) -> str:
    """A run's name, so that 7, 07 and 7.0 are one."""
    number = _number(cell)
    whole = number is not None and math.isfinite(number) and number % 1 == 0
    return str(int(number)) if whole and number is not None else cell.strip()


def _text(table: RunsTable) -> str:
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(table.header)
    writer.writerows(table.rows)
    return out.getvalue()
