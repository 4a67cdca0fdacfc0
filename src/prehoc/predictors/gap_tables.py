"""The tables gap and gap_needed of one task: risks of held-out forecasts against forks, with intervals."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from prehoc import tables
from prehoc.predictors.gap import (
    LEAST_RUNS,
    Bank,
    Settings,
    beside,
    by_kernel,
    folds_of,
    held_out,
    measured,
    subset,
)
from prehoc.risk.forks import fork
from prehoc.risk.proxies import MIN_RUNS

Array = NDArray[np.float64]


def gap_table(bank: Bank, how: Settings) -> pd.DataFrame:
    """The table `gap` of one task: each depth at which it was forked, and the last.

    Intervals of risks and of shares closed are percentiles over resampled runs (forecasts as they are),
    the forks' over resampled trunks.  `closed` is nan where the gap itself is not told from 0.
    """
    rows: list[dict[str, Any]] = []
    for place, depth in enumerate(bank.depth):
        if int(depth) not in bank.forks and int(depth) != bank.horizon:
            continue
        ok, errors = held_out(bank, place, how)
        if errors:
            rows += _rows(bank, int(depth), errors, float(bank.outcome[ok].var(ddof=1)), how)
    made = pd.DataFrame(rows, columns=list(tables.SCHEMAS["gap"].columns))
    return tables.empty("gap") if made.empty else made


def _rows(
    bank: Bank, depth: int, errors: dict[tuple[str, str], Array], var_r: float, how: Settings
) -> list[dict[str, Any]]:
    keys = list(errors)
    stacked = np.column_stack([errors[key] for key in keys])
    rng = np.random.default_rng([how.seed, depth])
    drawn = resampled(stacked, how.resamples, rng)
    ends = np.array([(1 - how.confidence) / 2, (1 + how.confidence) / 2])
    risk, (low, high) = stacked.mean(axis=0), np.quantile(drawn, ends, axis=0)
    base = {"task": bank.task, "metric": bank.name, "depth": depth}
    first = keys.index(("metric", "ols"))
    forked, trunks = _forked(bank, depth, how, rng)
    closed = closing(risk, drawn, first, forked[0], trunks, ends)
    rows = []
    for k, (features, predictor) in enumerate(keys):
        numbers = {"risk": risk[k], "ci_low": low[k], "ci_high": high[k], "share": risk[k] / var_r}
        share = dict(zip(("closed", "closed_low", "closed_high"), closed[:, k], strict=True))
        rows.append({**base, "features": features, "predictor": predictor, **numbers, **share,
                     "n": len(stacked)})  # fmt: skip
    if np.isfinite(forked[0]):
        numbers = {"risk": forked[0], "ci_low": forked[1], "ci_high": forked[2], "share": forked[0] / var_r}
        whole = dict.fromkeys(("closed", "closed_low", "closed_high"), 1.0)
        rows.append({**base, "features": "fork", "predictor": "forks", **numbers, **whole,
                     "n": len(bank.forks[depth])})  # fmt: skip
    return rows


def resampled(values: Array, resamples: int, rng: np.random.Generator) -> Array:
    """Means [B, K] of `values` [n, K] over runs drawn with replacement."""
    count = len(values)
    weight = rng.multinomial(count, np.full(count, 1 / count), size=resamples)
    return np.asarray(weight @ values / count)


def _forked(
    bank: Bank, depth: int, how: Settings, rng: np.random.Generator
) -> tuple[tuple[float, float, float], Array]:
    """The forks' risk with its interval, and its resamples [B] over trunks; nan without forks before T."""
    none = (np.nan, np.nan, np.nan), np.full(how.resamples, np.nan)
    values = bank.forks.get(depth)
    if values is None or depth >= bank.horizon:
        return none
    count = np.isfinite(values).sum(axis=1)
    if (count >= 2).sum() < MIN_RUNS:
        return none
    found = fork([values], how.confidence)
    used = values[count >= 2]
    free = np.isfinite(used).sum(axis=1) - 1.0
    within = np.nanvar(used, axis=1, ddof=1) * free
    sums = resampled(np.column_stack([within, free]), how.resamples, rng)
    ends = float(found.risk[0]), float(found.ci_low[0]), float(found.ci_high[0])
    return ends, np.asarray(sums[:, 0] / sums[:, 1])


def closing(risk: Array, drawn: Array, first: int, forked: float, trunks: Array, ends: Array) -> Array:
    """Shares of the gap that are closed, and their ends  [3, K]; nan where the gap is not told from 0.

    `risk` [K], and over resamples `drawn` [B, K]; number `first` is the metric's.  `forked` and `trunks`
    [B] are the forks', drawn apart: trunks are few of the runs, and their forks are fresh.
    """
    width = drawn[:, first] - trunks
    if not np.isfinite(forked) or np.quantile(width, ends[0]) <= 0:
        return np.full((3, len(risk)), np.nan)
    value = (risk[first] - risk) / (risk[first] - forked)
    low, high = np.quantile((drawn[:, first, None] - drawn) / width[:, None], ends, axis=0)
    return np.stack([value, low, high])


def needed_table(
    bank: Bank, how: Settings, *, runs: list[int], examples: list[int], share: float
) -> pd.DataFrame:
    """The table `gap_needed`: what the kernel leaves by how many runs it learns from, and probe examples.

    At the deepest fork depth up to `share` of the horizon.  Every run is judged, by a kernel that learned
    from `runs` of the other folds (all of them in the last rows).  Empty without such a depth.
    """
    blank = tables.empty("gap_needed")
    depths = [d for d in bank.forks if d <= share * bank.horizon and d in set(bank.depth.tolist())]
    if not depths:
        return blank
    depth = max(depths)
    place = int(np.flatnonzero(bank.depth == depth)[0])
    ok = measured(bank, place)
    if ok.sum() < LEAST_RUNS or np.ptp(bank.outcome[ok]) == 0:
        return blank
    kept = subset(bank, ok)
    y, rng = kept.outcome, np.random.default_rng([how.seed, 1])
    fold = folds_of(len(y), how.folds, how.seed)
    most = int(min((fold != k).sum() for k in range(how.folds)))
    least, forked = np.full(len(y), np.nan), _forked(bank, depth, how, rng)
    sizes = sorted({n for n in runs if LEAST_RUNS <= n < most} | {most})
    shown = sorted({e for e in examples if e < bank.outputs.shape[2]} | {bank.outputs.shape[2]})
    errors = {(n, e): np.full(len(y), np.nan) for n in sizes for e in shown}
    metric = kept.metric[:, place]
    for k in range(how.folds):
        test, others = np.flatnonzero(fold == k), rng.permutation(np.flatnonzero(fold != k))
        least[test] = (beside(metric, y[others], others)[0][test] - y[test]) ** 2
        for n, e in errors:
            z = kept.outputs[:, place, :e]
            told = by_kernel(z, [[]], metric, y, kept.auxiliary, others[:n], test, how.rows)[0][1]
            errors[n, e][test] = (told - y[test]) ** 2
    stacked = np.column_stack([least, *errors.values()])
    drawn = resampled(stacked, how.resamples, rng)
    ends = np.array([(1 - how.confidence) / 2, (1 + how.confidence) / 2])
    closed = closing(stacked.mean(axis=0), drawn, 0, forked[0][0], forked[1], ends)
    rows = [
        (bank.task, bank.name, depth, n, e, value, value / y.var(ddof=1), *closed[:, column])
        for column, ((n, e), value) in enumerate(zip(errors, stacked[:, 1:].mean(axis=0), strict=True), 1)
    ]
    return pd.DataFrame(rows, columns=list(tables.SCHEMAS["gap_needed"].columns))
