"""Checks of a file of labelled texts before any job, cell by cell; without pandas."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from prehoc.config import Task
from prehoc.config.blocks import Data
from prehoc.datafile import ending, rows_of
from prehoc.errors import InputError
from prehoc.labels import COUNTED, counts, decimal_commas, missing, spelt


def file_rows(key: str, path: Path) -> Iterator[Mapping[str, Any]]:
    """A file's rows; a fault in the file names the key."""
    try:
        yield from rows_of(path)
    except InputError as error:
        raise InputError(f"{key}.name: {error}") from None


def asked_domains(task: Task) -> dict[str, list[str]]:
    """The domains that a task names, by the key that names them."""
    factor = task.population.get("target_domain")
    asked = {
        "data.train_domains": list(task.data.train_domains or []) if task.data else [],
        "population.target_domain": [str(v) for v in factor.choice or []] if factor else [],
    }
    return {key: names for key, names in asked.items() if names}


def domain_column(key: str, task: Task) -> None:
    """Raise InputError where domains are asked for, and the data's column of domains is not named."""
    assert task.data is not None
    if task.data.domain is None:
        for asked in asked_domains(task):
            raise InputError(
                f"{key}.domain: null, and {asked} names domains of {task.data.name}; set data.domain "
                "to the column that names a row's domain"
            )


def labelled_file(key: str, task: Task, path: Path) -> None:
    """Check columns, labels, domains and the number of rows of a CSV, TSV or JSONL file.

    Raises InputError with one line that names the key and the remedy.
    """
    data = task.data
    assert data is not None
    assert data.label is not None
    assert data.text is not None  # the config sees to both in this kind
    texts = [data.text] if isinstance(data.text, str) else list(data.text)
    table = ending(path) != ".jsonl"
    columns: dict[str, None] = {}
    labels: list[Any] = []
    domains: list[Any] = []
    count = 0
    for count, row in enumerate(file_rows(key, path), start=1):
        columns |= dict.fromkeys(row)
        label = row.get(data.label)
        if missing(label, table) or any(missing(row.get(c), table) for c in texts):
            continue  # as the reader leaves them out
        if data.labels == "number" and not _is_number(label):
            commas = decimal_commas([label])
            raise InputError(
                f"{key}.labels: number, but {data.name}, row {count} has the label {label!r}; "
                + ("write a point in place of the comma" if commas else "mend it, or set labels: class")
            )
        labels.append(label)
        if data.domain is not None:
            domains.append(row.get(data.domain))
    if count == 0:
        raise InputError(f"{key}.name: {data.name} holds no rows; give data with text and label")
    wanted = [("text", c) for c in texts] + [("label", data.label), ("domain", data.domain)]
    for name, column in wanted:
        if column is not None and column not in columns:
            raise InputError(
                f"{key}.{name}: {data.name} has no column {column!r}; it has {', '.join(columns)}"
            )
    _labels(key, task, data, counts(labels, table), count - len(labels))
    if data.domain is not None:
        _domains(key, task, data, counts(domains, table))
    need = data.train + data.val + data.target
    if len(labels) < need:
        raise InputError(
            f"{key}.train: {data.name} has {len(labels)} rows{_lacking(count - len(labels))}, and train + "
            f"val + target ask for {need}; lower them"
        )


def _lacking(lost: int) -> str:
    return f" with text and label ({lost} lack one: {COUNTED})" if lost else ""


def _labels(key: str, task: Task, data: Data, labels: Mapping[str, int], lost: int) -> None:
    some = ", ".join(sorted(labels)[:6])
    if not labels:
        raise InputError(f"{key}.name: {data.name} has 0 rows{_lacking(lost)}; give data")
    if data.classes is not None and len(labels) > data.classes:
        raise InputError(
            f"{key}.classes: {data.classes} classes, but {data.name} has {len(labels)} labels ({some}); "
            "raise classes or drop rows"
        )
    if len(labels) < 2:
        also = f"; {lost} rows lack text or label: {COUNTED}" if lost else ""
        raise InputError(f"{key}.label: {data.name} has the one label {some!r}; need two{also}")
    if task.outcome.metric == "f1" and len(labels) != 2:
        raise InputError(
            f"{key.rpartition('.')[0]}.outcome.metric: f1 is of two classes, and {data.name} has "
            f"{len(labels)} labels; set accuracy or matthews"
        )
    if data.positive is not None and spelt(data.positive, labels) is None:
        raise InputError(f"{key}.positive: {data.name} has no label {str(data.positive)!r}; it has {some}")


def _domains(key: str, task: Task, data: Data, domains: Mapping[str, int]) -> None:
    for asked, names in asked_domains(task).items():
        for name in names:
            if name not in domains:
                raise InputError(
                    f"{key.removesuffix('data')}{asked}: {data.name} has no domain {name!r}; it has "
                    f"{', '.join(sorted(domains)[:12])}"
                )


def _is_number(cell: object) -> bool:
    try:
        return math.isfinite(float(str(cell)))
    except ValueError:
        return False
