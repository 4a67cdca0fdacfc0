"""Held-out errors of tasks side by side, and bootstraps over runs and over tasks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Errors:
    """One task's squared errors [N, C], its R [N] and the names of the C columns."""

    task: str
    outcome: Array
    square: Array
    columns: tuple[tuple[int, str, str], ...]  # depth, information, predictor

    def column(self, depth: int, information: str, predictor: str) -> int | None:
        """Index of a column; None where it was not measured."""
        key = (depth, information, predictor)
        return self.columns.index(key) if key in self.columns else None


def errors_of(held: pd.DataFrame) -> dict[str, Errors]:
    """The errors of each task of a table `held_out`; runs in the order of their seeds."""
    made: dict[str, Errors] = {}
    for task, part in held.groupby("task", sort=False):
        square = part.assign(square=(part["outcome"] - part["forecast"]) ** 2)
        at = ["depth", "information", "predictor"]
        table = square.pivot_table(index="seed", columns=at, values="square")
        outcome = part.drop_duplicates("seed").set_index("seed")["outcome"].reindex(table.index)
        levels = [table.columns.get_level_values(k) for k in range(3)]
        columns = tuple((int(d), str(i), str(p)) for d, i, p in zip(*levels, strict=True))
        made[str(task)] = Errors(str(task), outcome.to_numpy(float), table.to_numpy(float), columns)
    return made


def shallow_limit(horizon: float, steps: float, share: float) -> float:
    """The deepest depth that is still shallow: `steps`, or `share` of T where that is half of T or more."""
    return steps if 2 * steps < horizon else share * horizon


def run_weights(runs: int, resamples: int, rng: np.random.Generator) -> Array:
    """How often each run is drawn in each resample, the sample itself first  [B + 1, N]."""
    drawn = rng.multinomial(runs, np.full(runs, 1 / runs), size=resamples)
    return np.vstack([np.ones(runs), drawn]).astype(float)


def shares(square: Array, outcome: Array, weights: Array) -> Array:
    """Mean squared error over Var R in each resample  [B + 1, C]; nan where R does not vary there."""
    n = weights.sum(axis=1)
    r = outcome - outcome.mean()
    mean = weights @ r / n
    var = (weights @ r**2 / n - mean**2) * n / np.maximum(n - 1, 1)
    risk = weights @ square / n[:, None]
    return np.divide(risk, var[:, None], out=np.full_like(risk, np.nan), where=var[:, None] > 0)


def over_tasks(values: Mapping[str, Array], rng: np.random.Generator) -> Array:
    """The mean over tasks of values [B + 1, C], tasks resampled too in each resample but the first.

    A value that is nan in a task leaves that task out of the mean.  With one task only runs are resampled.
    """
    stack = np.stack(list(values.values()))  # tasks, resamples, columns
    tasks, resamples = stack.shape[:2]
    weight = np.ones((tasks, resamples))
    if tasks > 1 and resamples > 1:
        weight[:, 1:] = rng.multinomial(tasks, np.full(tasks, 1 / tasks), size=resamples - 1).T
    known = np.isfinite(stack)
    total = np.einsum("tb,tbc->bc", weight, np.where(known, stack, 0.0))
    count = np.einsum("tb,tbc->bc", weight, known.astype(float))
    return np.divide(total, count, out=np.full_like(total, np.nan), where=count > 0)


def interval(values: Array, confidence: float) -> tuple[Array, Array]:
    """Percentile interval of resampled values [B + 1, C], their first row aside  [C], [C]."""
    tail = (1 - confidence) / 2
    rest = values[1:] if len(values) > 1 else values
    low = np.full(values.shape[1], np.nan)
    high = low.copy()
    for j, column in enumerate(rest.T):
        known = column[np.isfinite(column)]
        if len(known):
            low[j], high[j] = np.quantile(known, [tail, 1 - tail])
    return low, high


def regime_of(regimes: pd.DataFrame, drivers: Mapping[str, str]) -> dict[str, str]:
    """Each task's regime by the reading `bayes`, of the curve that drives its verdict.

    That is the forks' where there are some, but the residual's where `drivers` says "residual", as forks
    would know a hidden draw (config.driver_of).
    """
    made: dict[str, str] = {}
    for task, part in regimes[regimes["reading"] == "bayes"].groupby("task", sort=False):
        by_proxy = {str(p): str(r) for p, r in zip(part["proxy"], part["regime"], strict=True)}
        first = ("residual", "fork") if drivers.get(str(task)) == "residual" else ("fork", "residual")
        for proxy in (*first, *by_proxy):
            if proxy in by_proxy:
                made[str(task)] = by_proxy[proxy]
                break
    return made
