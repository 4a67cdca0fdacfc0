"""A check on the forks: what the state explains and what it leaves must add up to Var R.

Var R = Var E[R | state at c] + E Var(R | state at c).  The forks give both terms: the scatter of the
trunks' means, less the share of it that is the forks' own, and the mean scatter within trunks.  The
runs themselves give Var R.  Where they part, forks and runs do not have the same law.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from prehoc.risk.curves import none_estimate
from prehoc.risk.data import TaskData, split_tasks
from prehoc.risk.proxies import MIN_RUNS

Array = NDArray[np.float64]

LIMIT = 4.0  # |z| from which the two are said to part: one depth in 16,000 by chance


def fork_sum(values: Array) -> tuple[float, float, float]:
    """(explained, left, standard error of their sum) of forks [trunks, M], squared units.

    Trunks with under two forks drop out.  Sample variances are linear in the trunks' own sums of
    squares, so the standard error is the jackknife's over trunks.  nan with under 5 trunks.
    """
    size = np.isfinite(values).sum(1)
    v, size = values[size >= 2], size[size >= 2]
    if len(v) < MIN_RUNS:
        return (float("nan"),) * 3
    mean = np.nanmean(v, axis=1)
    squares = np.nansum((v - mean[:, None]) ** 2, axis=1)

    def split(keep: NDArray[np.bool_]) -> tuple[float, float]:
        left = float(squares[keep].sum() / (size[keep] - 1).sum())
        return float(mean[keep].var(ddof=1) - left * np.mean(1 / size[keep])), left

    count = len(v)
    explained, left = split(np.ones(count, bool))
    without = [sum(split(np.arange(count) != i)) for i in range(count)]
    se = float(np.sqrt((count - 1) * np.var(without)))
    return explained, left, se


def identity_rows(data: TaskData) -> list[dict[str, float]]:
    """A row a fork depth: depth, explained, left, var_r, and z of (explained + left - Var R).

    The standard error takes forks and runs for independent; as trunks are runs, |z| errs low.
    """
    none = none_estimate(data)
    var_r, se_r = float(none.risk[0]), float(none.se[0])
    rows = []
    for depth, values in zip(data.fork_depth, data.forks, strict=True):
        explained, left, se = fork_sum(values)
        spread = float(np.hypot(se, se_r))
        if spread > 0:
            z = (explained + left - var_r) / spread
            rows.append({"depth": int(depth), "explained": explained, "left": left, "var_r": var_r, "z": z})
    return rows


def identity_of(
    task: str,
    runs: pd.DataFrame,
    forks: pd.DataFrame,
    *,
    metric: str,
    horizons: int | Mapping[str, int] | None = None,
) -> dict[str, Any] | None:
    """The check for the verdict: rows, the largest |z|, and whether it holds; None without forks.

    Raises InputError as curves.split_tasks does.
    """
    only = runs[runs["task"] == task]
    rows = [
        r
        for d in split_tasks(only, forks, None, metric=metric, horizons=horizons)
        for r in identity_rows(d)
    ]
    if not rows:
        return None
    most = max(abs(row["z"]) for row in rows)
    return {"depths": rows, "largest_z": most, "holds": most < LIMIT}
