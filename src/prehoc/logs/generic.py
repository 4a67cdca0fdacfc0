"""Any CSV with one row an evaluation: a map says which columns are task, seed, depth and metric."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from prehoc.errors import InputError
from prehoc.logs.files import Table, read_csv, relative, task_of, walk
from prehoc.logs.run import Notes, Options, Point, Run, count, few, number, scalar

FIELDS = ("task", "seed", "depth", "metric", "final", "split", "group")


def read(src: Path, options: Options, notes: Notes) -> list[Run]:
    """The runs of a CSV file or of all in a folder, in the order of first appearance.

    Files of a folder that have no column for the seed are one run each.  Raises InputError if a mapped
    column is missing, or depth or metric, or a lone file's seed, has none.
    """
    runs: dict[tuple[str, str], Run] = {}
    for path in walk(src, options.not_read):
        if path != src and path.suffix.lower() not in (".csv", ".tsv"):
            continue
        table = read_csv(path, notes)
        columns = _columns(table, options, src.is_dir())
        _fill(runs, table, columns, options, src, notes)
    made = list(runs.values())
    for run in made:
        run.hp = {c: scalar(v) for c, v in run.hp.items() if v not in ("", None)}
    _empty_cells(made, options, notes)
    return made


def parse_map(given: list[str]) -> tuple[dict[str, str], dict[str, str]]:
    """(columns, constants) of `--map FIELD=COLUMN` and `--map FIELD==CONSTANT`; InputError if malformed."""
    columns: dict[str, str] = {}
    constants: dict[str, str] = {}
    for word in given:
        name, mark, value = word.partition("=")
        if not mark or name not in (*FIELDS, "step") or value in ("", "="):
            raise InputError(
                f"--map {word}: write FIELD=COLUMN or FIELD==CONSTANT, FIELD one of {few(FIELDS)}"
            )
        name = "depth" if name == "step" else name
        if name in columns or name in constants:
            raise InputError(f"--map {word}: {name} is mapped twice; keep one")
        if value.startswith("="):
            constants[name] = value[1:]
        else:
            columns[name] = value
    for name in ("seed", "depth", "metric", "final"):
        if name in constants:
            raise InputError(
                f"--map {name}=={constants[name]}: {name} must be a column; write {name}=COLUMN"
            )
    return columns, constants


def _columns(table: Table, options: Options, folder: bool) -> dict[str, str]:
    columns = dict(options.columns)
    if options.metric is not None:
        columns.setdefault("metric", options.metric)
    if options.depth is not None:
        columns.setdefault("depth", options.depth)
    for name in FIELDS:
        if name not in columns and name not in options.constants and name in table.header:
            columns[name] = name
    if "depth" not in columns and "step" in table.header:
        columns["depth"] = "step"
    for name, column in columns.items():
        if column not in table.header:
            raise InputError(f"{table.path}: no column {column!r} for {name}; it has {few(table.header)}")
    missing = [n for n in ("seed", "depth", "metric") if n not in columns]
    if missing and not (missing == ["seed"] and folder):
        raise InputError(
            f"{table.path}: no column for {few(missing)} among {few(table.header)}: "
            f"name it, as --map {missing[0]}=COLUMN"
        )
    return columns


def _fill(
    runs: dict[tuple[str, str], Run],
    table: Table,
    columns: dict[str, str],
    options: Options,
    src: Path,
    notes: Notes,
) -> None:
    name = relative(table.path, src)
    rest = [c for c in table.header if c not in columns.values()]
    by_file = "seed" not in columns
    default = options.constants.get("task", task_of(table.path, src) if by_file else table.path.stem)
    if by_file:
        notes.say(
            "no column tells runs apart: each file is one run (--map seed=COLUMN if it holds several)"
        )
    for line, row in table.rows:
        told = {field: row[column].strip() for field, column in columns.items()}
        told.setdefault("seed", name)
        where = f"{table.path}, line {line}"
        if not told["seed"]:
            notes.bad(where, f"an empty {columns['seed']}", "say which run the row is of")
            continue
        key = (told.get("task", default), told["seed"])
        run = runs.get(key)
        if run is None:
            run = runs[key] = Run(name, key[0], logged_seed=None if by_file else scalar(key[1]))
            run.series["metric"] = []
            run.group = told.get("group", options.constants.get("group", ""))
        elif "group" in told and told["group"] != run.group:
            notes.bad(where, f"run {key[1]} is of two groups: {run.group} and {told['group']}", "keep one")
            continue
        split = told.get("split", options.constants.get("split", "val")) or "val"
        points = run.series["metric"] if split == "val" else run.splits.setdefault(split, [])
        points.append(Point(told["depth"], told["metric"], str(table.path), line))
        if told.get("final"):
            _final(run, told["final"], where, notes)
        for column in rest:  # what stays the same all through a run is a setting; None once it changed
            if run.hp.setdefault(column, row[column]) != row[column]:
                run.hp[column] = None


def _final(run: Run, text: str, where: str, notes: Notes) -> None:
    try:
        given = number(text)
    except ValueError:
        notes.bad(where, f"final '{text}' is no number", "mend the cell", "cell")
        return
    if run.final is not None and given != run.final and (given == given or run.final == run.final):
        notes.bad(where, f"final {text} differs from {run.final:g} of the same run", "keep one", "cell")
    else:
        run.final = given


def _empty_cells(runs: list[Run], options: Options, notes: Notes) -> None:
    """What an empty metric means: the run had failed by then, or nothing was evaluated at that row.

    Unless the user says, a number after an empty cell in any run shows the second; else it is the first.
    """
    held = [points for run in runs for points in (run.series["metric"], *run.splits.values())]
    empties = sum(p.value == "" for points in held for p in points)
    if not empties:
        return
    how = options.empty
    if how == "auto":
        how = "skip" if any(_recovers(points) for points in held) else "failed"
        notes.say(
            f"{count(empties, 'empty metric cell')} read as "
            + (
                "rows without an evaluation (numbers follow them)"
                if how == "skip"
                else "failures of the run"
            )
            + ": --empty failed or --empty skip says otherwise"
        )
    for points in held:
        if how == "skip":
            points[:] = [p for p in points if p.value != ""]
        else:
            points[:] = [p._replace(value="nan") if p.value == "" else p for p in points]


def _recovers(points: list[Point]) -> bool:
    seen: Any = False
    for point in points:
        if point.value == "":
            seen = True
        elif seen:
            return True
    return False
