"""Writing an import: the runs table, its index beside it, and the summary that is printed."""

from __future__ import annotations

import hashlib
from pathlib import Path

from prehoc.errors import InputError
from prehoc.logs.assemble import Imported
from prehoc.logs.run import count, few
from prehoc.tables import atomic, write_json


def index_path(out: Path) -> Path:
    """Where the index of `out` lies: RUNS.csv or RUNS.parquet -> RUNS.index.csv.

    Raises InputError for another ending.
    """
    if out.suffix not in (".csv", ".parquet"):
        raise InputError(f"{out}: give --out a name that ends in .csv or .parquet")
    return out.with_suffix(".index.csv")


def record_path(runs: Path) -> Path:
    """Where the import's record of a runs table lies: RUNS.csv -> RUNS.import.json."""
    return runs.with_suffix(".import.json")


def write(made: Imported, out: Path, kind: str) -> None:
    """Write the index, the table and the record: what is there is whole.

    The record says which table it is of (its SHA-256), the metric's name, and what was set aside;
    `prehoc fit` takes the counts into the verdict.
    """
    record_path(out).unlink(missing_ok=True)
    with atomic(index_path(out)) as temporary:
        made.index.to_csv(temporary, index=False)
    with atomic(out) as temporary:
        if out.suffix == ".parquet":
            made.runs.to_parquet(temporary, index=False)
        else:
            made.runs.to_csv(temporary, index=False)
    none = int((made.index["rows"] == 0).sum())
    alone = [{"what": "runs", "count": none, "why": "no evaluation in their logs"}] if none else []
    record = {
        "sha256": hashlib.sha256(out.read_bytes()).hexdigest(),
        "kind": kind,
        "metric": made.metric,
        "status": {str(k): int(n) for k, n in made.index["status"].value_counts().items()},
        "set_aside": [*alone, *made.aside],
    }
    write_json(record, record_path(out))


def summary(made: Imported, out: Path) -> list[str]:
    """Lines for a person: runs, rows, tasks, statuses, failures, runs without an evaluation."""
    index, runs = made.index, made.runs
    failed = int(runs["metric"].isna().sum())
    lines = [
        f"{out}: {count(len(index), 'run')}, {count(len(runs), 'row')} of {made.metric}, "
        + count(index["task"].nunique(), "task")
        + (f", {count(runs['group'].nunique(), 'group')}" if "group" in runs else "")
    ]
    for task, part in list(index.groupby("task", sort=False))[:20]:
        told = part["status"].value_counts(sort=False)
        first, last = part["first_depth"].dropna(), part["last_depth"].dropna()
        depths = f", depths {first.min()} to {last.max()}" if len(first) else ""
        states = ", ".join(f"{n} {status}" for status, n in told.items())
        lines.append(f"  {task}: {count(len(part), 'run')} ({states}){depths}")
    if (more := index["task"].nunique() - 20) > 0:
        lines.append(f"  and {more} more tasks")
    if failed:
        lines.append(f"  failures (NaN or infinite; an empty metric): {count(failed, 'row')}")
    none = index.loc[index["rows"] == 0, "source"]
    if len(none):
        named = few(list(none.astype(str)), 6)
        lines.append(f"  no evaluation, in the index alone: {count(len(none), 'run')}: {named}")
    lines.append(f"{index_path(out)}: source, status and hyperparameters of each run")
    return lines
