"""Leave one task out: R of a task's runs, told by what was learned on the runs of all other tasks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import spearmanr

from prehoc import tables
from prehoc.predictors.battery import extrapolate
from prehoc.predictors.features import Seen, shared_design
from prehoc.predictors.held_out import RESAMPLES, TREES, stream
from prehoc.predictors.nested import Boosting, judged, models
from prehoc.predictors.pooled import interval, run_weights, shares

Array = NDArray[np.float64]

LEAST_TASKS = 3  # of one metric: one to judge on and two to learn from


def transfer_table(
    tasks: Mapping[str, Seen],
    features: Mapping[str, Mapping[str, float]],
    regime: Mapping[str, str],
    depth_shares: Sequence[float],
    *,
    names: Sequence[str],
    trees: tuple[int, float, int],
    resamples: int,
    seed: int,
    confidence: float,
) -> tuple[pd.DataFrame, list[str]]:
    """The table `transfer`, and for each metric of under three tasks a line that says so.

    `tasks` by name, as features.see makes them (as many runs each as shall weigh); `features` from their
    static tables; `trees` are number, shrinkage and depth.  `best` is chosen by leaving a further task
    out.  Intervals are over the runs of the task that was left out: what other tasks to learn from
    would change is not in them.
    """
    rows: list[dict[str, Any]] = []
    said: list[str] = []
    grow = Boosting(*trees, seed=int(stream(seed, "transfer", TREES).integers(2**31)))
    vary = {t: s for t, s in tasks.items() if s.var_r > (1e-12 * np.abs(s.outcome).max()) ** 2}
    for metric in dict.fromkeys(s.metric for s in tasks.values()):
        pool = {t: s for t, s in vary.items() if s.metric == metric}
        if len(pool) < LEAST_TASKS:
            said.append(
                f"{metric}: {len(pool)} tasks, and {LEAST_TASKS} are needed to leave one out: no rows"
            )
            continue
        outcome = np.concatenate([s.outcome for s in pool.values()])
        fold = np.repeat(np.arange(len(pool)), [len(s.seed) for s in pool.values()])
        weights = {
            t: run_weights(len(s.seed), resamples, stream(seed, t, RESAMPLES)) for t, s in pool.items()
        }
        asked = [(0.0, "none"), (0.0, "static")]
        asked += [(float(s), i) for s in depth_shares for i in ("trajectory", "static+trajectory")]
        for share, information in asked:
            columns = shared_design(pool, features, information, share)
            if information != "none" and not columns.names:
                continue
            made = models(columns, outcome, fold, () if information == "none" else names, grow)
            if "extrapolation" in names and "trajectory" in information:
                ahead = np.concatenate([_ahead(s, share) for s in pool.values()])
                made["extrapolation"] = {
                    left: np.where(np.isfinite(ahead), ahead, mean) for left, mean in made["mean"].items()
                }
            for name, told in judged(made, outcome, fold).items():
                if (name == "mean") != (information == "none") and name in ("mean", "best"):
                    continue
                if name == "extrapolation" and information != "trajectory":
                    continue
                for k, (task, one) in enumerate(pool.items()):
                    here = fold == k
                    row = _judge(one, told[here], weights[task], confidence)
                    at = {"task": task, "regime": regime.get(task, "undecided"), "depth_share": share}
                    at |= {"information": information, "predictor": name, "tasks": len(pool) - 1}
                    rows.append(at | row)
    if not rows:
        return tables.empty("transfer"), said
    frame = pd.DataFrame(rows, columns=list(tables.SCHEMAS["transfer"].columns))
    frame = frame.sort_values(["task", "depth_share", "information", "predictor"], kind="stable")
    return tables.check("transfer", frame), said


def _ahead(one: Seen, share: float) -> Array:
    """Extrapolation of each run's own metric from the measured depths up to `share` of the horizon  [N]."""
    count = int((one.depth <= share * one.horizon * (1 + 1e-9)).sum())
    if count == 0:
        return np.full(len(one.seed), np.nan)
    return extrapolate(one.depth[:count].astype(float), one.curves[:, 0, :count], one.horizon)


def _judge(one: Seen, told: Array, weights: Array, confidence: float) -> dict[str, Any]:
    square = (one.outcome - told) ** 2
    share = shares(square[:, None], one.outcome, weights)
    low, high = interval(share, confidence)
    rank = float("nan")
    if np.ptp(told) > 0:
        rank = float(spearmanr(told, one.outcome).statistic)
    return {
        "risk": float(square.mean()),
        "share": share[0, 0],
        "low": low[0],
        "high": high[0],
        "rank": rank,
        "n": len(square),
    }
