"""Importing logs in a test: the frames, as a user's call makes them."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from prehoc.logs.kinds import import_runs
from prehoc.logs.run import Options


def imported(kind: str, src: Path, **options: object) -> tuple[pd.DataFrame, pd.DataFrame, list[str]]:
    """(runs, index, lines) of an import."""
    made = import_runs(kind, src, Options(**options))  # type: ignore[arg-type]
    return made.runs, made.index, made.lines


def curve(runs: pd.DataFrame, task: str, seed: int) -> list[tuple[int, float]]:
    """(depth, metric) of a run."""
    mine = runs[(runs["task"] == task) & (runs["seed"] == seed)]
    return list(zip(mine["depth"].tolist(), mine["metric"].tolist(), strict=True))
