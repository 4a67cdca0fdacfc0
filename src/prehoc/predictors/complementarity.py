"""Claim E5: what static and trajectory information each leave of Var R over depth, by task and regime."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from prehoc import tables
from prehoc.predictors.held_out import RESAMPLES, stream
from prehoc.predictors.pooled import Errors, errors_of, interval, over_tasks, run_weights, shares

Array = NDArray[np.float64]
WALKED = ("trajectory", "static+trajectory")


def complementarity_table(
    held: pd.DataFrame,
    regime: Mapping[str, str],
    horizons: Mapping[str, int],
    pooled_shares: Sequence[float],
    *,
    resamples: int,
    seed: int,
    confidence: float,
) -> pd.DataFrame:
    """The table `complementarity`, by each task's `regime`, of predictor `best` (`mean` under `none`).

    A task's rows stand at its depths, with intervals over its runs.  A regime's stand at
    `pooled_shares` of the horizon: each task's share of Var R there, linear in log c between its
    depths (not beyond them), averaged over tasks; intervals over tasks and their runs at once.
    Where nothing is known of a run before it starts, static information leaves what none leaves, and
    both together what the trajectory does.  `gain` is what static information alone leaves, less
    this, from the same resamples.
    """
    found = errors_of(held)
    rows: list[dict[str, Any]] = []
    grids: dict[str, dict[str, Array]] = {}
    for task, one in found.items():
        weights = run_weights(len(one.outcome), resamples, stream(seed, task, RESAMPLES))
        value = shares(one.square, one.outcome, weights)
        own = {key: value[:, i] for key, i in _columns(one).items()}
        horizon, where = horizons[task], regime.get(task, "undecided")
        keys = sorted(own, key=lambda key: (key[0], tables.decisions.KNOWN_BY.index(key[1])))
        for depth, information in keys:
            row = _row(own[depth, information], own[0, "static"], information, confidence)
            at = {"level": "task", "name": task, "regime": where, "depth": depth}
            rows.append(at | row | {"depth_share": depth / horizon, "tasks": 1, "n": len(one.outcome)})
        grids.setdefault(where, {})[task] = _on_grid(own, horizon, pooled_shares)
    for where, parts in sorted(grids.items()):
        mean = over_tasks(parts, stream(seed, where, RESAMPLES))
        count = np.isfinite(np.stack([p[0] for p in parts.values()])).sum(axis=0)
        runs = {t: len(found[t].outcome) for t in parts}
        for j, (share, information) in enumerate(_cells(pooled_shares)):
            if count[j] == 0:
                continue
            row = _row(mean[:, j], mean[:, 1], information, confidence)
            n = sum(runs[t] for t, p in parts.items() if np.isfinite(p[0, j]))
            at = {"level": "regime", "name": where, "regime": where, "depth": np.nan}
            rows.append(at | row | {"depth_share": share, "tasks": int(count[j]), "n": n})
    frame = pd.DataFrame(rows, columns=list(tables.SCHEMAS["complementarity"].columns))
    return tables.check("complementarity", frame) if rows else tables.empty("complementarity")


def _columns(one: Errors) -> dict[tuple[int, str], int]:
    """Column of the errors by depth and information, information that is not there standing as it must."""
    none = one.column(0, "none", "mean")
    made: dict[tuple[int, str], int] = {}
    if none is None:
        return made
    static = one.column(0, "static", "best")
    made[0, "none"] = none
    made[0, "static"] = none if static is None else static
    for depth in sorted({d for d, _, _ in one.columns if d > 0}):
        alone = one.column(depth, "trajectory", "best")
        both = one.column(depth, "static+trajectory", "best")
        if alone is not None:
            made[depth, "trajectory"] = alone
            made[depth, "static+trajectory"] = alone if both is None else both
    return made


def _cells(grid: Sequence[float]) -> list[tuple[float, str]]:
    return [(0.0, "none"), (0.0, "static"), *[(float(s), i) for s in grid for i in WALKED]]


def _on_grid(own: Mapping[tuple[int, str], Array], horizon: int, grid: Sequence[float]) -> Array:
    """Shares of Var R [B + 1, cells] at the shares of the horizon; nan beyond the measured depths."""
    depth = np.array(sorted({d for d, _ in own if d > 0}), float)
    made = [own[0, "none"], own[0, "static"]]
    for share in grid:
        at = share * horizon
        for information in WALKED:
            if not len(depth) or not depth[0] * (1 - 1e-9) <= at <= depth[-1] * (1 + 1e-9):
                made.append(np.full_like(own[0, "none"], np.nan))
                continue
            right = int(np.clip(np.searchsorted(depth, at * (1 - 1e-9)), 0, len(depth) - 1))
            left = max(right - 1, 0)
            part = 1.0
            if left < right:
                part = float(np.clip(np.log(at / depth[left]) / np.log(depth[right] / depth[left]), 0, 1))
            ends = [own[int(depth[i]), information] for i in (left, right)]
            made.append((1 - part) * ends[0] + part * ends[1])
    return np.stack(made, axis=1)


def _row(value: Array, static: Array, information: str, confidence: float) -> dict[str, Any]:
    low, high = interval(value[:, None], confidence)
    gain = (static - value)[:, None]
    less, more = interval(gain, confidence)
    return {
        "information": information,
        "share": value[0],
        "low": low[0],
        "high": high[0],
        "gain": gain[0, 0],
        "gain_low": less[0],
        "gain_high": more[0],
    }
