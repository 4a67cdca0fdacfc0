"""The bootstrap over runs and trunks: the proxies' risks of many resamples at once.

A resample is kept as counts (how often it holds each run), so that most risks of a whole bootstrap
are a few matrix products.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from prehoc.errors import InputError
from prehoc.risk.curves import Curve
from prehoc.risk.data import TaskData
from prehoc.risk.outputs import outputs_risks
from prehoc.risk.proxies import about_means, regress

Array = NDArray[np.float64]
Index = NDArray[np.int64]


def resampled_counts(size: int, count: int, seed: int) -> Array:
    """How often each of rows 0..size-1 is drawn in each of `count` bootstrap resamples  [count, size].

    One counter-based stream from `seed`: the same arguments give the same numbers.
    """
    if size < 1 or count < 1:
        raise InputError(f"a bootstrap needs runs and resamples, not {size} and {count}")
    rng = np.random.Generator(np.random.Philox(np.random.SeedSequence([seed, size])))
    drawn = rng.integers(0, size, (count, size)) + size * np.arange(count)[:, None]
    return np.bincount(drawn.ravel(), minlength=count * size).reshape(count, size).astype(float)


def run_risks(metric: Array, group: Index | None) -> Array:
    """The variances [D] of proxies.run_to_run without their intervals."""
    left, freedom = about_means(metric, group)
    return np.asarray(np.nansum(left**2, axis=0) / np.where(freedom > 0, freedom, np.nan))


def quick_risks(
    metric: Array, outcome: Array, information: str, static: Array, group: Index | None = None
) -> Array:
    """The risks [D] of proxies.residual without their intervals, fast enough for a bootstrap."""
    n = len(metric)
    many = information in ("prefix", "static+prefix") and metric.shape[1] + static.shape[1] >= n
    if many or group is not None or not np.isfinite(metric).all() or not np.isfinite(static).all():
        left, freedom, _ = regress(metric, outcome, information, static, group)
        return np.nansum(left**2, axis=0) / np.where(freedom > 0, freedom, np.nan)
    r = outcome - outcome.mean()
    total = float(r @ r)
    x = metric - metric.mean(axis=0)
    if information == "last":
        size = (x**2).sum(0)
        live = size > 1e-20 * n * (metric**2).max(axis=0, initial=1e-300)
        gain = np.where(live, (x.T @ r) ** 2 / np.where(live, size, 1.0), 0.0)
        return np.maximum(total - gain, 0) / (n - 1 - live)
    base = static if "static" in information else static[:, :0]
    x = np.column_stack([base - base.mean(axis=0), x])
    norm = np.sqrt((x**2).sum(0))
    vectors, upper = np.linalg.qr(x / np.where(norm > 0, norm, 1.0))
    kept = np.abs(np.diag(upper)) > 1e-7
    gain = np.cumsum(np.where(kept, (vectors.T @ r) ** 2, 0.0))
    used = np.cumsum(kept).astype(float)
    first = base.shape[1]
    if information == "static":
        rss, p = total - (gain[first - 1] if first else 0.0), used[first - 1] if first else 0.0
        return np.array([max(rss, 0.0) / (n - 1 - p)])
    freedom = n - 1 - used[first:]
    return np.maximum(total - gain[first:], 0) / np.where(freedom > 0, freedom, np.nan)


def masked_risks(
    metric: Array, outcome: Array, counts: Array, group: Index | None, settled: NDArray[np.bool_] | None
) -> Array:
    """counted_risks where metrics are missing, groups have means of their own, or R is settled  [B, D].

    `metric` [N, D] (nan: not measured), `group` [N] and `settled` [N, D] as in proxies.residual.
    """
    member = np.ones((len(outcome), 1))
    if group is not None:
        member = (np.asarray(group)[:, None] == np.unique(group)).astype(float)
    made = np.empty((len(counts), metric.shape[1]))
    for j, column in enumerate(metric.T):
        ok = np.isfinite(column)
        if not ok.any():
            made[:, j] = np.nan
            continue
        r, x = outcome[ok] - outcome[ok].mean(), column[ok] - column[ok].mean()
        held, of = counts[:, ok], member[ok]
        n = held @ of
        size = np.maximum(n, 1)
        sum_r, sum_x = held @ (of * r[:, None]), held @ (of * x[:, None])
        total = held @ (r * r) - (sum_r**2 / size).sum(1)
        cross = held @ (x * r) - (sum_x * sum_r / size).sum(1)
        spread = held @ (x * x) - (sum_x**2 / size).sum(1)
        live = spread > 1e-20 * held.sum(1) * (column[ok] ** 2).max(initial=1e-300)
        gain = np.where(live, cross**2 / np.where(live, spread, 1.0), 0.0)
        freedom = n.sum(1) - (n > 0).sum(1) - live
        share = 1.0
        if settled is not None:
            known = counts @ settled[:, j]
            share = n.sum(1) / np.maximum(n.sum(1) + known, 1)
        with np.errstate(divide="ignore", invalid="ignore"):
            made[:, j] = np.where(freedom > 0, share * np.maximum(total - gain, 0) / freedom, np.nan)
    return made


def counted_risks(metric: Array, outcome: Array, counts: Array) -> Array:
    """quick_risks of the last metric for a whole bootstrap: B resamples at once  [B, D].

    `counts` [B, N] says how often a resample holds each run; `metric` [N, D] and `outcome` [N]
    must be finite.
    """
    n = counts.sum(axis=1, keepdims=True)
    r, x = outcome - outcome.mean(), metric - metric.mean(axis=0)
    mean_r, mean_x = counts @ r[:, None] / n, counts @ x / n
    total = counts @ (r * r)[:, None] - n * mean_r**2
    cross = counts @ (x * r[:, None]) - n * mean_x * mean_r
    size = counts @ (x * x) - n * mean_x**2
    live = size > 1e-20 * n * (metric**2).max(axis=0, initial=1e-300)
    gain = np.where(live, cross**2 / np.where(live, size, 1.0), 0.0)
    return np.maximum(total - gain, 0) / (n - 1 - live)


def counted_variances(values: Array, counts: Array, group: Index | None = None) -> Array:
    """Variances of the columns of finite `values` [N, D] in B resamples, within groups [N]  [B, D]."""
    if group is not None:
        none = np.zeros_like(values[:, :1])
        return np.column_stack([masked_risks(none, column, counts, group, None) for column in values.T])
    n = counts.sum(axis=1, keepdims=True)
    x = values - values.mean(axis=0)
    return np.maximum(counts @ (x * x) - (counts @ x) ** 2 / n, 0) / (n - 1)


def fork_risks(forks: tuple[Array, ...], counts: Array) -> Array:
    """Mean within-trunk variances of forks [trunks, M], trunks weighted by M - 1  [B, D].

    `counts` [B, trunks] says how often a resample holds each trunk.
    """
    risks = []
    for values in forks:
        ok = np.isfinite(values)
        size = ok.sum(1)
        mean = np.where(ok, values, 0).sum(1) / np.maximum(size, 1)
        squares = (np.where(ok, values - mean[:, None], 0) ** 2).sum(1) * (size >= 2)
        freedom = counts @ np.maximum(size - 1, 0)
        with np.errstate(divide="ignore", invalid="ignore"):
            risks.append(np.where(freedom > 0, counts @ squares / freedom, np.nan))
    return np.stack(risks, axis=1)


def resampled(data: TaskData, curve: Curve, counts: Array) -> Array:
    """U of B resamples at the depths of the measured curve  [B, D]; `counts` [B, runs or trunks]."""
    if curve.proxy == "fork":
        kept = np.isin(data.fork_depth, curve.depth)
        return fork_risks(tuple(f for f, k in zip(data.forks, kept, strict=True) if k), counts)
    held = np.isin(data.depth, curve.depth)
    metric = data.metric[:, held]
    if curve.information == "outputs" and data.outputs is not None:
        said, most = data.outputs[:, held], data.components  # reduced anew in each resample
        parts = [outputs_risks(metric[i], said[i], data.outcome[i], most) for i in _rows(counts)]
        return np.stack(parts)
    settled = None if data.settled is None else data.settled[:, held]
    plain = np.isfinite(metric).all() and data.group is None and settled is None
    if not plain and curve.proxy == "residual" and curve.information == "last":
        return masked_risks(metric, data.outcome, counts, data.group, settled)
    if data.group is not None and curve.proxy == "run_to_run" and np.isfinite(metric).all():
        return counted_variances(metric, counts, data.group)
    if plain:
        if curve.proxy == "run_to_run":
            return counted_variances(metric, counts)
        if curve.information == "last":
            return counted_risks(metric, data.outcome, counts)

    def one(rows: Index) -> Array:
        group = None if data.group is None else data.group[rows]
        if curve.proxy == "run_to_run":
            return run_risks(metric[rows], group)
        risks = quick_risks(metric[rows], data.outcome[rows], curve.information, data.static[rows], group)
        return risks if settled is None else risks * (1 - settled[rows].mean(axis=0))

    return np.stack([one(rows) for rows in _rows(counts)])


def _rows(counts: Array) -> Iterator[Index]:
    """The rows that each resample holds, from how often it holds them."""
    for held in counts.astype(np.int64):
        yield np.repeat(np.arange(len(held)), held)


def resampled_base(data: TaskData, counts: Array) -> Array:
    """(Var R, risk left by static information, least risk at T with it) of B resamples  [B, 3].

    The last two are nan without visible factors.
    """
    made = np.full((len(counts), 3), np.nan)
    made[:, 0] = counted_variances(data.outcome[:, None], counts, data.group)[:, 0]
    if data.static.shape[1] == 0:
        return made
    metric = data.metric if data.target else data.metric[:, data.depth < data.horizon]
    for i, rows in enumerate(_rows(counts)):
        r, static = data.outcome[rows], data.static[rows]
        group = None if data.group is None else data.group[rows]
        left = best = float(quick_risks(metric[rows], r, "static", static, group)[0])
        if metric.shape[1]:
            best = float(np.nanmin(quick_risks(metric[rows], r, "static+prefix", static, group)))
        made[i, 1:] = left, best
    return made
