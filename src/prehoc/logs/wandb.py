"""Weights & Biases: the UI's exported CSV, and run histories as JSON lines or CSV."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from prehoc.errors import InputError
from prehoc.logs.files import Table, read_csv, read_json, read_text, read_yaml, relative, task_of, walk
from prehoc.logs.run import Notes, Options, Run, few, flat, seed_of

_ENDINGS = (".csv", ".jsonl", ".ndjson")


def read(src: Path, options: Options, notes: Notes) -> list[Run]:
    """Runs of an export, a history file, or a folder of them."""
    runs: list[Run] = []
    offline = []
    files: dict[Path, list[Path]] = {}
    for path in walk(src, options.not_read):
        history = path.suffix == ".json" and "history" in path.name
        if path.suffix.lower() in _ENDINGS or history or (path == src and path.suffix == ".json"):
            files.setdefault(path.parent, []).append(path)
        elif path.suffix == ".wandb":
            offline.append(path)
    if offline and not files:
        raise InputError(
            f"{offline[0]}: an offline run's own binary; sync it and export the history "
            "(run.scan_history() as JSON lines, or the chart as CSV), then import that"
        )
    for path in offline:
        notes.aside("file", "an offline run's own binary: export its history", relative(path, src))
    for paths in files.values():
        for path in paths:
            runs += _file(path, src, options, notes, alone=len(paths) == 1 and path != src)
    return runs


def _file(path: Path, src: Path, options: Options, notes: Notes, alone: bool) -> list[Run]:
    if path.suffix.lower() == ".csv":
        table = read_csv(path, notes)
        if _is_export(table):
            return _export(table, src)
        rows: list[tuple[int, dict[str, Any]]] = list(table.rows)
    else:
        rows = _json_rows(path, notes)
        if rows and "log_history" in rows[0][1]:
            raise InputError(f"{path}: a Trainer's state, no history of wandb; give a history")
    name = relative(path, src)
    by_folder = alone and re.match(r"(history|metrics|logs?|run)\b", path.name) is not None
    run = Run(name, task_of(path.parent if by_folder else path, src))
    depth = _depth(path, rows, options)
    for line, row in rows:
        if row.get(depth) not in (None, ""):
            run.log_row({k: v for k, v in row.items() if k != depth}, row[depth], str(path), line)
        elif any(v not in (None, "") for k, v in row.items() if not k.startswith("_")):
            notes.aside("row", f"no {depth} in it", f"{name}, line {line}")
    if alone:
        _settings(path.parent, run, notes)
    return [run]


def _depth(path: Path, rows: list[tuple[int, dict[str, Any]]], options: Options) -> str:
    names = list(dict.fromkeys(k for _, row in rows for k in row))
    if options.depth is not None:
        if options.depth not in names:
            raise InputError(f"{path}: no key {options.depth!r} for --depth; it has {few(names)}")
        return options.depth
    if "_step" not in names:
        raise InputError(
            f"{path}: no history of a run: no _step among {few(names) or 'no columns'}; name it by --depth"
        )
    return "_step"


def _json_rows(path: Path, notes: Notes) -> list[tuple[int, dict[str, Any]]]:
    text = read_text(path)
    rows: list[tuple[int, dict[str, Any]]] = []
    if text.lstrip().startswith("["):
        for i, row in enumerate(read_json(path, notes) or [], start=1):
            if isinstance(row, dict):
                rows.append((i, flat(row)))
            else:
                notes.bad(f"{path}, entry {i}", "no object", "mend or remove it", "entry")
        return rows
    for line, one in enumerate(text.split("\n"), start=1):
        if not one.strip():
            continue
        try:
            row = json.loads(one)
            if not isinstance(row, dict):
                raise ValueError("no object")
        except (ValueError, RecursionError):
            notes.bad(f"{path}, line {line}", "broken JSON", "mend or remove the line")
            continue
        rows.append((line, flat(row)))
    return rows


def _is_export(table: Table) -> bool:
    return "_step" not in table.header and any(" - " in c for c in table.header[1:])


def _export(table: Table, src: Path) -> list[Run]:
    """The UI's table: a column of steps, then `RUN - METRIC` and its __MIN and __MAX."""
    depth, columns = table.header[0], table.header[1:]
    name = relative(table.path, src)
    task = Path(name).with_suffix("").as_posix()
    runs: dict[str, Run] = {}
    for column in columns:
        run, mark, metric = column.rpartition(" - ")
        if not mark or re.search(r"__(MIN|MAX)$", metric) or metric.startswith("_"):
            continue
        made = runs.setdefault(run, Run(f"{name}#{run}", task))
        for line, row in table.rows:
            if row[column] != "":
                made.log(metric, row[depth], row[column], f"{table.path}, column {column!r}", line)
        made.series.setdefault(metric, [])
    return list(runs.values())


def _settings(folder: Path, run: Run, notes: Notes) -> None:
    """Hyperparameters from config.yaml (as wandb writes it: {key: {value: ...}}) or config.json beside."""
    for name in ("config.yaml", "config.json"):
        path = folder / name
        if path.is_file():
            given = read_yaml(path, notes) if path.suffix == ".yaml" else read_json(path, notes)
            if isinstance(given, dict):
                plain = {
                    k: v["value"] if isinstance(v, dict) and "value" in v else v
                    for k, v in given.items()
                    if k not in ("_wandb", "wandb_version")
                }
                run.hp.update(flat(plain))
    run.logged_seed = seed_of(run.hp)
