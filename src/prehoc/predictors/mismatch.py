"""Claim E4: the same predictor at a fixed shallow depth and at the task's own c*."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from prehoc import tables
from prehoc.predictors.held_out import RESAMPLES, stream
from prehoc.predictors.pooled import (
    Errors,
    errors_of,
    interval,
    over_tasks,
    run_weights,
    shallow_limit,
    shares,
)

Array = NDArray[np.float64]


def shallow_depth(depths: Array, horizon: float, steps: float, share: float) -> int:
    """The measured depth nearest to `steps` and not beyond it; the first where all lie beyond.

    Where `steps` is half of the horizon or more, `share` of the horizon takes its place.
    """
    within = depths[depths <= shallow_limit(horizon, steps, share)]
    return int(within.max() if len(within) else depths.min())


def mismatch_table(
    held: pd.DataFrame,
    own_depth: pd.DataFrame,
    regime: Mapping[str, str],
    horizons: Mapping[str, int],
    *,
    shallow_steps: float,
    shallow_share: float,
    resamples: int,
    seed: int,
    confidence: float,
) -> pd.DataFrame:
    """The table `mismatch`, by each task's `regime`: risk at the shallow depth over risk at c*, paired.

    Every predictor sees static information and the trajectory (the trajectory alone where nothing is
    known before the start).  A fold's runs are judged at the c* that the other folds' runs gave; at
    c* = 0 a predictor has static information or else the mean alone.  `own` is the mean depth over
    runs; a task without a c* in some fold has no rows.  A regime's shares are means over its tasks, its
    ratio that of these means, the intervals over tasks and their runs at once.
    """
    found = errors_of(held)
    rows: list[dict[str, Any]] = []
    parts: dict[tuple[str, str, float], dict[str, Array]] = {}
    depths: dict[tuple[str, str, float], dict[str, tuple[float, float, int]]] = {}
    for task, one in found.items():
        at = np.array(sorted({d for d, _, _ in one.columns if d > 0}), float)
        mine = own_depth[own_depth["task"] == task]
        if not len(at) or mine.empty:
            continue
        fold = held[held["task"] == task].drop_duplicates("seed").sort_values("seed")["fold"].to_numpy()
        shallow = shallow_depth(at, horizons[task], shallow_steps, shallow_share)
        where = regime.get(task, "undecided")
        weights = run_weights(len(one.outcome), resamples, stream(seed, task, RESAMPLES))
        for predictor in sorted({p for _, i, p in one.columns if "trajectory" in i}):
            near = _errors(one, shallow, predictor)
            if near is None:
                continue
            for price, chosen in mine.groupby("price", sort=True):
                if chosen["c_star"].isna().any():
                    continue  # too few runs for a curve: no depth is known
                by_fold = dict(zip(chosen["fold"], chosen["depth"], strict=True))
                own = np.array([int(by_fold[f]) for f in fold])
                far = near.copy()
                for depth in set(own):
                    told = _errors(one, depth, predictor)
                    far[own == depth] = np.nan if told is None else told[own == depth]
                key = (where, predictor, float(str(price)))
                value = shares(np.stack([near, far], 1), one.outcome, weights)
                parts.setdefault(key, {})[task] = value
                mean = float(own.mean())
                depths.setdefault(key, {})[task] = (float(shallow), mean, len(fold))
                rows.append(_row("task", task, key, value, (shallow, mean, len(fold)), confidence))
    for key in sorted(parts):
        value = over_tasks(parts[key], stream(seed, f"{key[0]} {key[1]}", RESAMPLES))
        said = np.array(list(depths[key].values()))
        placed = (float(said[:, 0].mean()), float(said[:, 1].mean()), int(said[:, 2].sum()))
        rows.append(_row("regime", key[0], key, value, placed, confidence))
    frame = pd.DataFrame(rows, columns=list(tables.SCHEMAS["mismatch"].columns))
    return tables.check("mismatch", frame) if rows else tables.empty("mismatch")


def _errors(one: Errors, depth: int, predictor: str) -> Array | None:
    """Squared errors [N] of a predictor at a depth, with all the information that there is."""
    if depth > 0:
        tries = [(depth, "static+trajectory", predictor), (depth, "trajectory", predictor)]
    else:
        tries = [(0, "static", predictor), (0, "none", "mean")]
    for key in tries:
        column = one.column(*key)
        if column is not None:
            return one.square[:, column]
    return None


def _row(
    level: str,
    name: str,
    key: tuple[str, str, float],
    value: Array,
    placed: tuple[float, float, int],
    confidence: float,
) -> dict[str, Any]:
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = value[:, 0] / value[:, 1]
    low, high = interval(ratio[:, None], confidence)
    return {
        "level": level,
        "name": name,
        "regime": key[0],
        "predictor": key[1],
        "price": key[2],
        "shallow": placed[0],
        "own": placed[1],
        "share_shallow": value[0, 0],
        "share_own": value[0, 1],
        "ratio": ratio[0],
        "low": low[0],
        "high": high[0],
        "n": placed[2],
    }
