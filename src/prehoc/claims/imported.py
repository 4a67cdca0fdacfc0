"""Runs of others: what `prehoc fit` makes of their runs tables, or made before."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd

from prehoc import tables
from prehoc.errors import InputError
from prehoc.fits.fit import fit
from prehoc.fits.rows import read_rows
from prehoc.fits.task import Options, make_ready
from prehoc.risk.data import TaskData

NAMES = ("variance", "envelope", "c_star", "regimes")


def tables_of(
    places: Sequence[Mapping[str, Any]], *, price: float, confidence: float, information: str, seed: int
) -> tuple[dict[str, pd.DataFrame], list[str]]:
    """(the tables variance, envelope, c_star and regimes of all tasks of `places`, names of tasks refused).

    A place has `path` (a runs table, or a folder of `prehoc fit`), `name` (put before its tasks' names) and
    `horizon`.  Raises InputError naming the path: for what cannot be read, and two tasks of one name.
    """
    parts: dict[str, list[pd.DataFrame]] = {name: [] for name in NAMES}
    refused: list[str] = []
    seen: set[str] = set()
    for place in places:
        path, before = Path(place["path"]), f"{place['name']}/" if place["name"] else ""
        if path.is_dir():
            made = {name: tables.read(name, path / f"{name}.csv") for name in NAMES}
        else:
            found = fit(
                path, horizon=place["horizon"], prices=[price], confidence=confidence,
                information=readable(information), seed=seed,
            )  # fmt: skip
            made = {name: getattr(found, name) for name in NAMES}
            refused += [before + task for task in found.refused]
        tasks = {before + task for task in made["variance"]["task"]}
        twice = sorted(tasks & seen)
        if twice:
            raise InputError(
                f"claims.imported: {path} has a task {twice[0]!r}, as one before it; give it a `name`"
            )
        seen |= tasks
        for name, frame in made.items():
            parts[name].append(frame.assign(task=before + frame["task"].astype(str)))
    whole = {
        name: pd.concat(frames, ignore_index=True) if frames else tables.empty(name)
        for name, frames in parts.items()
    }
    return whole, refused


def readable(information: str) -> str:
    """What is known of imported runs, nearest to the config's `risk.verdict_information`."""
    return information if information in ("last", "prefix") else "last"


def runs_of(places: Sequence[Mapping[str, Any]], *, information: str, seed: int) -> list[TaskData]:
    """The runs of all tasks of `places` that carry numbers, read as `tables_of` reads them.

    A folder of `prehoc fit` holds tables alone, and so gives none.
    """
    made = []
    for place in places:
        path, before = Path(place["path"]), f"{place['name']}/" if place["name"] else ""
        if path.is_dir():
            continue
        options = Options(horizon=place["horizon"], information=readable(information), seed=seed)
        rows = read_rows(path)
        for one in make_ready(rows.frame, rows.metric, options):
            if one.data is not None:
                made.append(replace(one.data, task=before + one.task))
    return made
