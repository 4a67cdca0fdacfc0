"""Reading a file or frame of runs, row by row: what is wrong is named with its file, line and column."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from prehoc.errors import InputError
from prehoc.fits.raw import Raw, import_of, load
from prehoc.tables import SPLITS

KNOWN = ("task", "seed", "depth", "metric", "value", "final", "split", "group", "failure")
NULL = ("", "nan", "none", "null", "na", "n/a")
_LARGEST = 2**53
_ENDLESS_FROM = 1e100  # beyond, fourth powers overflow


@dataclass(frozen=True)
class SetAside:
    """What enters no number: `what` (rows, runs, depths, values, columns), how many, and why."""

    what: str
    count: int
    why: str

    def as_dict(self) -> dict[str, Any]:
        """For the verdict."""
        return {"what": self.what, "count": self.count, "why": self.why}


@dataclass(frozen=True)
class Rows:
    """Checked rows.

    `frame` has task, seed (whole), depth (whole), split, value (nan: the run had failed), final,
    group ("" for none).  `names` tells a task's seeds by their own names, where these are no
    numbers.  `metric` is the metric's name, if one is known.
    """

    frame: pd.DataFrame
    source: str
    read: int
    metric: str
    set_aside: list[SetAside] = field(default_factory=list)
    names: dict[str, dict[str, int]] = field(default_factory=dict)


def read_rows(
    source: str | Path | pd.DataFrame, *, metric: str | None = None, bad_rows: str = "stop"
) -> Rows:
    """The rows of a CSV or Parquet file, or of a frame, with columns seed, depth (or step), metric.

    Optional columns: task, final, split, group; others are left out and counted.  In a long table
    with a column `value`, `metric` is the metric's name and chooses the rows.  `bad_rows`: `stop` at
    the first bad row, or `skip` them with a count; of two rows that say different things of one
    (task, seed, split, depth), `skip` keeps the last.
    Raises InputError that names file, line and column.
    """
    if bad_rows not in ("stop", "skip"):
        raise InputError(f"bad_rows must be stop or skip, not {bad_rows!r}")
    raw, default_task = load(source)
    columns, aside = _columns(raw)
    told = {} if isinstance(source, pd.DataFrame) else import_of(Path(source))
    aside += [
        SetAside(str(a["what"]), int(a["count"]), f"on import: {a['why']}")
        for a in told.get("set_aside", [])
    ]
    name = metric or ("" if told.get("kind") == "mlperf" else str(told.get("metric", "")))
    if "value" in columns:
        name = _chosen_metric(raw, columns, metric)
        aside += _keep_metric(raw, columns, name)
    read = len(raw.lines)
    if not read:
        raise InputError(
            f"{raw.source}: no rows; it needs columns task, seed, depth, metric and a row a measurement"
        )
    frame = _typed(raw, columns, default_task, bad_rows == "skip", aside)
    names = _seed_names(raw, frame, bad_rows == "skip")
    kept = frame[~raw.bad]
    if raw.bad.any():
        aside.append(SetAside("rows", int(raw.bad.sum()), "a cell could not be read as its column wants"))
    kept = _once(raw, kept, bad_rows == "skip", aside)
    kept = _a_run_has_one(raw, kept)
    return Rows(kept.drop(columns="row").reset_index(drop=True), raw.source, read, name, aside, names)


def _columns(raw: Raw) -> tuple[dict[str, list[Any]], list[SetAside]]:
    """The known columns by our names, and what is left out."""
    found: dict[str, str] = {}
    for name in raw.columns:
        plain = name.strip().lower()
        plain = "depth" if plain == "step" else plain
        if plain in KNOWN:
            if plain in found:
                raise InputError(
                    f"{raw.source}: columns {found[plain]!r} and {name!r} both give {plain}; remove one"
                )
            found[plain] = name
    lacking = [c for c in ("seed", "depth", "metric") if c not in found]
    if lacking:
        words = ["depth (or step)" if c == "depth" else c for c in lacking]
        raise InputError(
            f"{raw.source}: no column {', '.join(words)} among {list(raw.columns)[:12]}; rename yours, "
            "or let `prehoc import csv --map depth=YOURS` write such a file"
        )
    other = [n for n in raw.columns if n not in found.values()]
    aside = [SetAside("columns", len(other), f"not used by fit: {', '.join(other[:8])}")] if other else []
    return {ours: raw.columns[theirs] for ours, theirs in found.items()}, aside


def _chosen_metric(raw: Raw, columns: dict[str, list[Any]], metric: str | None) -> str:
    names = list(dict.fromkeys(str(m).strip() for m in columns["metric"]))
    if metric is None:
        if len(names) != 1:
            raise InputError(f"{raw.source}: holds the metrics {names[:12]}; choose one with --metric")
        return names[0]
    if metric not in names:
        raise InputError(f"{raw.source}: no row has metric {metric!r}; it holds {names[:12]}")
    return metric


def _keep_metric(raw: Raw, columns: dict[str, list[Any]], name: str) -> list[SetAside]:
    """Keep the rows of one metric (and of the splits that count), with their places."""
    keep = np.array([str(m).strip() == name for m in columns["metric"]])
    raw.lines, raw.bad = raw.lines[keep], raw.bad[keep]
    for column, cells in columns.items():
        columns[column] = list(itertools.compress(cells, keep))
    columns["metric"] = columns.pop("value")
    other = int((~keep).sum())
    return [SetAside("rows", other, f"of other metrics than {name}")] if other else []


def _is_null(cell: Any) -> bool:
    if cell is None or cell is pd.NA or cell is pd.NaT:
        return True
    if isinstance(cell, float):
        return np.isnan(cell)
    return isinstance(cell, str) and cell.strip().lower() in NULL


def _fault(raw: Raw, i: int, column: str, cell: Any, wanted: str, skip: bool) -> None:
    if not skip:
        raise InputError(
            f"{raw.place(i)}, column {column}: {cell!r} is not {wanted}; mend it, or set such rows aside "
            "with --bad-rows skip"
        )
    raw.bad[i] = True


def _numbers(raw: Raw, cells: list[Any], column: str, skip: bool, aside: list[SetAside]) -> np.ndarray:
    """Cells as numbers; empty ones, and infinities (counted), as nan; text is a fault."""
    made = np.full(len(cells), np.nan)
    endless = 0
    for i, cell in enumerate(cells):
        if isinstance(cell, bool):
            _fault(raw, i, column, cell, "a number", skip)
            continue
        if _is_null(cell):
            continue
        try:
            made[i] = float(cell)
        except (TypeError, ValueError):
            _fault(raw, i, column, cell, "a number", skip)
            continue
        if abs(made[i]) > _ENDLESS_FROM:
            made[i] = np.nan
            endless += 1
    if endless:
        aside.append(
            SetAside(
                "values", endless, f"{column} is infinite, or over {_ENDLESS_FROM:g}: taken as a failed run"
            )
        )
    return made


def _whole(raw: Raw, cells: list[Any], column: str, skip: bool) -> np.ndarray:
    made = np.zeros(len(cells), np.int64)
    for i, cell in enumerate(cells):
        try:
            number = float(cell) if not isinstance(cell, bool) else np.nan
        except (TypeError, ValueError):
            number = np.nan
        if 0 <= number <= _LARGEST and number == int(number):
            made[i] = int(number)
        else:
            _fault(raw, i, column, cell, "a whole number of 0 or more", skip)
    return made


def _typed(
    raw: Raw, columns: dict[str, list[Any]], default_task: str, skip: bool, aside: list[SetAside]
) -> pd.DataFrame:
    n = len(raw.lines)

    def texts(column: str, default: str) -> list[str]:
        cells = columns.get(column)
        if cells is None:
            return [default] * n
        return ["" if _is_null(c) else str(c).strip() for c in cells]

    task, split = texts("task", default_task), texts("split", "val")
    split = [s.lower() or "val" for s in split]
    for i, (name, part) in enumerate(zip(task, split, strict=True)):
        if not name:
            _fault(raw, i, "task", columns["task"][i], "a name", skip)
        if part not in SPLITS:
            _fault(raw, i, "split", part, f"one of {list(SPLITS)}", skip)
    value = _numbers(raw, columns["metric"], "metric", skip, aside)
    final = np.full(n, np.nan)
    if "final" in columns:
        final = _numbers(raw, columns["final"], "final", skip, aside)
    return pd.DataFrame(
        {
            "task": task,
            "seed": columns["seed"],
            "depth": _whole(raw, columns["depth"], "depth", skip),
            "split": split,
            "value": value,
            "final": final,
            "group": texts("group", ""),
            "row": np.arange(n),
        }
    )


def _seed_names(raw: Raw, frame: pd.DataFrame, skip: bool) -> dict[str, dict[str, int]]:
    """Make `frame.seed` whole numbers; texts are numbered by task in their order, and told."""
    cells = ["" if _is_null(c) else str(c).strip() for c in frame["seed"]]
    empty = [i for i, c in enumerate(cells) if not c]
    for i in empty:
        raw.bad[i] = True
    if empty and not skip:
        raise InputError(
            f"{raw.place(empty[0])}, column seed: is empty ({len(empty)} such rows); give each run a "
            "number or name"
        )
    numbers = pd.to_numeric(pd.Series([c or "0" for c in cells]), errors="coerce").to_numpy(float)
    if np.all((numbers >= 0) & (numbers % 1 == 0) & (numbers <= _LARGEST)):
        frame["seed"] = numbers.astype(np.int64)
        return {}
    names: dict[str, dict[str, int]] = {}
    made = np.zeros(len(cells), np.int64)
    for i, (task, cell) in enumerate(zip(frame["task"], cells, strict=True)):
        known = names.setdefault(task, {})
        made[i] = known.setdefault(cell, len(known))
    frame["seed"] = made
    return names


def _once(raw: Raw, frame: pd.DataFrame, skip: bool, aside: list[SetAside]) -> pd.DataFrame:
    """Each (task, seed, split, depth) once: the same value again is counted, another one is a fault."""
    key = ["task", "seed", "split", "depth"]
    twice = frame.duplicated(key, keep=False)
    if not twice.any():
        return frame
    both = frame[twice]
    spread = both.groupby(key)["value"].agg(lambda v: len(set(v.fillna(np.inf))))
    differ = spread[spread > 1]
    if len(differ) and not skip:
        rows = both.set_index(key).loc[[differ.index[0]], "row"].to_numpy()
        task, seed, _, depth = differ.index[0]
        raise InputError(
            f"{raw.place(rows[-1])}, column metric: task {task!r}, seed {seed}, depth {depth} was measured "
            f"before in {raw.unit} {raw.lines[rows[0]]} with another value ({len(differ)} such cases); "
            "keep one, or the last of each with --bad-rows skip"
        )
    kept = frame.drop_duplicates(key, keep="last")
    same = len(frame) - len(kept)
    why = (
        "the same measurement again"
        if not len(differ)
        else "measured again at the same depth: the last stands"
    )
    aside.append(SetAside("rows", same, why))
    return kept


def _a_run_has_one(raw: Raw, frame: pd.DataFrame) -> pd.DataFrame:
    """A run has one group and one final value: what some of its rows say holds for all."""
    for column in ("group", "final"):
        told = frame[frame[column] != ""] if column == "group" else frame[frame[column].notna()]
        if told.empty:
            continue
        apart = told.groupby(["task", "seed"])[column].nunique()
        apart = apart[apart > 1]
        if len(apart):
            task, seed = apart.index[0]
            rows = told[(told["task"] == task) & (told["seed"] == seed)]
            first = str(rows[column].iloc[0])
            other = rows[rows[column].astype(str) != first].iloc[0]
            raise InputError(
                f"{raw.place(other['row'])}, column {column}: task {task!r}, seed {seed} has "
                f"{str(other[column])!r} here and {first!r} before; a run has one {column} (do "
                "two runs share a seed?)"
            )
        one = told.groupby(["task", "seed"])[column].first().rename("_one")
        joined = frame.join(one, on=["task", "seed"])["_one"]
        frame = frame.assign(**{column: joined.fillna("") if column == "group" else joined})
    return frame
