"""What a pilot says of a task's c* and alpha, and what the planned calibration would make of both."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from prehoc import tables
from prehoc.config import Config, stage_config
from prehoc.errors import InputError
from prehoc.plan.pilot import begun


@dataclass(frozen=True)
class Prospect:
    """A task's driving curve in the pilot, from `n` runs (trunks, for forks), and at the planned number.

    `alpha` and the width of its interval, nan where it was not identified.  `c_star` at `price` is the
    pilot's; `pilot_steps` all steps that its calibration took, `break_even` the future runs that repay the
    planned one: break-even runs are proportional to the calibration's steps (prehoc.risk.stopping).
    """

    task: str
    proxy: str
    n: int
    planned: int
    alpha: float
    width: float
    price: float
    c_star: float
    pilot_steps: int
    planned_steps: int
    break_even: float

    @property
    def width_then(self) -> float:
        """The width of alpha's interval at the planned number: as 1/sqrt(N), depths unchanged."""
        return self.width * math.sqrt(self.n / self.planned)


def read(results: Path, config: Config, names: list[str]) -> tuple[list[Prospect], list[str]]:
    """The prospects of the tasks in `names` that the pilot has decided, and notes on the others."""
    try:
        made = {
            name: tables.read(name, results / "tables" / f"{name}.csv")
            for name in ("variance", "envelope", "c_star")
        }
    except InputError as error:
        return [], [f"the pilot has no decisions yet, so nothing is said of c* and alpha: {error}"]
    found, notes = [], []
    for name in names:
        one: Prospect | str | None
        try:
            one = _task(results, config, name, made)
        except InputError as error:  # a table of the pilot that is broken
            one = str(error)
        if isinstance(one, str):
            notes.append(f"{name}: {one}: nothing is said of its c* and alpha")
        elif one is not None:
            found.append(one)
    return found, notes


def _task(
    results: Path, config: Config, name: str, made: Mapping[str, pd.DataFrame]
) -> Prospect | str | None:
    task = config.tasks[name]
    if task.crossed:
        return None
    runs, forks = results / name / "runs.parquet", results / name / "forks.parquet"
    stage = "simulate" if task.kind == "synthetic" else "train"
    known = begun(results, name, stage, runs) if runs.exists() else None
    if known is None:
        return "not in the pilot"
    if _bare(known) != _bare(stage_config(config, name, stage)):
        return "the pilot had other settings"
    rows = made["c_star"]
    rows = rows[(rows["task"] == name) & rows["recommended"]].sort_values("price")
    if rows.empty:
        return "the pilot recommends no c*"
    row = rows.iloc[len(rows) // 2]
    curve = (row["proxy"], row["information"])
    n = _of(made["variance"], name, curve)["n"].max()
    fit = _of(made["envelope"], name, curve)
    fit = fit[(fit["model"] == "power") & fit["identified"]]
    alpha, width = math.nan, math.nan
    if len(fit):
        alpha = float(fit["alpha"].iloc[0])
        width = float(fit["alpha_high"].iloc[0] - fit["alpha_low"].iloc[0])
    took = _steps(runs, forks, int(known["horizon"]))
    each = sum(task.horizon - d for d in task.forks.depths) if task.forks else 0
    per = task.forks.trunks * task.forks.per_trunk if task.forks else 0
    steps = task.runs * task.horizon + per * each
    planned = task.forks.trunks if row["proxy"] == "fork" and task.forks else task.runs
    return Prospect(
        name,
        str(row["proxy"]),
        int(n),
        planned,
        alpha,
        width,
        float(row["price"]),
        float(row["c_star"]),
        took,
        steps,
        float(row["break_even_runs"]) * steps / took,
    )


def _of(frame: pd.DataFrame, name: str, curve: tuple[str, str]) -> pd.DataFrame:
    return frame[
        (frame["task"] == name) & (frame["proxy"] == curve[0]) & (frame["information"] == curve[1])
    ]


def _steps(runs: Path, forks: Path, horizon: int) -> int:
    """Steps of all runs and forks, as prehoc.risk counts them."""
    taken = tables.read("runs", runs)["seed"].nunique() * horizon
    if forks.exists():
        made = tables.read("forks", forks).drop_duplicates(["seed", "depth", "fork"])
        taken += int((horizon - made["depth"]).sum())
    return int(taken)


def _bare(known: Mapping[str, Any]) -> dict[str, Any]:
    """A stage config without what changes no number's law: where things lie, how many runs and forks."""
    return {k: v for k, v in known.items() if k not in ("store", "runs", "forks", "seed")}
