"""How much of the gap between a run's metric and its state features close, without forking.

Each set of features predicts R of runs that it did not learn from, by folds over runs.  The gap is
U_metric - U_fork, and a set closes the share (U_metric - U)/(U_metric - U_fork) of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from prehoc import tables
from prehoc.predictors import agreement
from prehoc.predictors.shrinkage import LEARNERS
from prehoc.risk.forks import fork
from prehoc.risk.proxies import MIN_RUNS

Array = NDArray[np.float64]
Index = NDArray[np.int64]

LEAST_RUNS = 20  # under which nothing is held out to any purpose
_SPREADS = 0.5  # of a probability transform: its width in standard deviations of the log-odds


@dataclass(frozen=True)
class Bank:
    """What N runs show at D depths, and where they end.

    `depth` [D] steps; `metric` [N, D]; `outputs` [N, D, E] log-odds of the right answers of the probe
    examples; `outcome` R [N]; `auxiliary` [N] another outcome of the same runs on the same target set, or
    None, and its name; `signals`: features by name, each a list over depths of [N, p];
    `forks`: by depth R of forks [trunks, M].
    """

    task: str
    name: str
    horizon: int
    depth: Index
    metric: Array
    outputs: Array
    outcome: Array
    auxiliary: Array | None
    auxiliary_name: str
    signals: Mapping[str, list[Array]]
    forks: Mapping[int, Array]


@dataclass(frozen=True)
class Settings:
    """Folds over runs, runs on which a kernel is chosen, resamples and level of the intervals, a seed."""

    folds: int
    rows: int
    resamples: int
    confidence: float
    seed: int


def ensemble(log_odds: Array, train: Index) -> Array:
    """How each run agrees with the mean outputs of the runs `train`  [N, 5].

    Columns: share of examples with the ensemble's sign; the same weighted by the ensemble's margins; the
    mean deviation and its root mean square, in nats; the mean probability of the right answer.
    """
    mean = log_odds[train].mean(axis=0)
    same = np.sign(log_odds) * np.sign(mean)
    off = log_odds - mean
    weight = np.abs(mean) / max(float(np.abs(mean).sum()), 1e-300)
    likely = 1 / (1 + np.exp(-np.clip(log_odds, -500, 500)))
    columns = (same.mean(1), same @ weight, off.mean(1), np.sqrt((off**2).mean(1)), likely.mean(1))
    return np.column_stack(columns)


def scaled(features: Array, train: Index) -> Array:
    """Features [N, p] in standard deviations over the runs `train`; without those that do not vary."""
    mean, sd = features[train].mean(axis=0), features[train].std(axis=0)
    kept = np.isfinite(sd) & (sd > 1e-12 * np.abs(mean)) & np.isfinite(features).all(axis=0)
    return np.asarray((features[:, kept] - mean[kept]) / sd[kept])


def beside(metric: Array, outcome: Array, train: Index) -> tuple[Array, Array]:
    """Least squares of `outcome` [n] on the metric [N] of the runs `train`: forecasts [N], rest [n]."""
    told = LEARNERS["ols"](metric[train][:, None], outcome, metric[:, None])
    return told, outcome - told[train]


def _linear(name: str, features: Array, metric: Array, outcome: Array, train: Index, test: Index) -> Array:
    told, rest = beside(metric, outcome[train], train)
    return told[test] + LEARNERS[name](features[train], rest, features[test])


def by_kernel(
    log_odds: Array,
    blocks: list[Array],
    metric: Array,
    outcome: Array,
    auxiliary: Array | None,
    train: Index,
    test: Index,
    rows: int,
) -> tuple[Array, Array]:
    """R [m] of the runs `test` by the agreement kernel: without the auxiliary outcome, and with it.

    With it, R is split into what is linear in the auxiliary outcome and the rest, and each is predicted
    with a penalty of its own: a loss is told by the outputs with less noise than an accuracy.
    """
    told, rest = beside(metric, outcome[train], train)
    examples = agreement.Examples.of(log_odds, train)
    some = np.arange(min(rows, len(train)))
    choice = agreement.choose(examples, blocks, rest[some], train[some])
    targets = [rest]
    slope = 0.0
    if auxiliary is not None:
        a = auxiliary[train] - auxiliary[train].mean()
        slope = float(a @ rest) / max(float(a @ a), 1e-300)
        targets += [rest - slope * a, a]
    found = agreement.predict(choice, examples, blocks, np.column_stack(targets), train, test, 2 * rows)
    alone = told[test] + found[:, 0]
    return alone, alone if auxiliary is None else told[test] + found[:, 1] + slope * found[:, 2]


def predictions(
    bank: Bank, place: int, train: Index, test: Index, rows: int
) -> dict[tuple[str, str], Array]:
    """R [m] of the runs `test` by (features, predictor) at depth number `place`, learned on `train`."""
    y, metric, z = bank.outcome, bank.metric[:, place], bank.outputs[:, place]
    prefix = scaled(bank.metric[:, : place + 1], train)
    seen = scaled(ensemble(z, train), train)
    width = _SPREADS * float(z[train].std())
    sets = {
        ("prefix", "ridge"): prefix,
        ("agreement", "ridge"): seen,
        ("outputs", "ridge"): z,
        ("outputs", "pcr"): z,
        ("outputs", "pls"): z,
        ("outputs", "ridge_sign"): np.sign(z),
        ("outputs", "ridge_probability"): np.tanh(z / max(width, 1e-300)),
    }
    others = {name: scaled(features[place], train) for name, features in bank.signals.items()}
    sets |= {(name, "ridge"): features for name, features in others.items() if features.shape[1]}
    made = {("metric", "ols"): beside(metric, y[train], train)[0][test]}
    for (name, predictor), features in sets.items():
        made[name, predictor] = _linear(predictor.split("_")[0], features, metric, y, train, test)
    names = ("kernel", f"kernel+{bank.auxiliary_name}")
    found = by_kernel(z, [], metric, y, bank.auxiliary, train, test, rows)
    blocks = [prefix, seen, *(features for features in others.values() if features.shape[1])]
    best = by_kernel(z, blocks, metric, y, bank.auxiliary, train, test, rows)
    made["outputs", names[0]] = found[0]
    if bank.auxiliary is not None:
        made["outputs", names[1]] = found[1]
    made["best", names[bank.auxiliary is not None]] = best[1]
    return made


def folds_of(count: int, folds: int, seed: int) -> Index:
    """A fold for each of `count` runs, of even size, at random."""
    return np.random.default_rng([seed, count, folds]).permutation(count) % folds


def measured(bank: Bank, place: int) -> NDArray[np.bool_]:
    """Runs with a metric at every depth so far, outputs at this one, and the auxiliary outcome  [N]."""
    seen = [bank.metric[:, : place + 1], bank.outputs[:, place]]
    if bank.auxiliary is not None:
        seen.append(bank.auxiliary[:, None])
    return np.asarray(np.isfinite(np.column_stack(seen)).all(axis=1))


def held_out(
    bank: Bank, place: int, how: Settings
) -> tuple[NDArray[np.bool_], dict[tuple[str, str], Array]]:
    """Runs used [N], and squared errors of their held-out forecasts by (features, predictor)  [n]."""
    ok = measured(bank, place)
    if ok.sum() < LEAST_RUNS or np.ptp(bank.outcome[ok]) == 0:
        return ok, {}
    kept = subset(bank, ok)
    fold = folds_of(int(ok.sum()), how.folds, how.seed)
    errors: dict[tuple[str, str], Array] = {}
    for k in range(how.folds):
        train, test = np.flatnonzero(fold != k), np.flatnonzero(fold == k)
        for key, told in predictions(kept, place, train, test, how.rows).items():
            row = errors.setdefault(key, np.full(len(fold), np.nan))
            row[test] = (told - kept.outcome[test]) ** 2
    return ok, errors


def subset(bank: Bank, ok: NDArray[np.bool_], examples: int | None = None) -> Bank:
    """The bank of the runs `ok`, and of the first so many probe examples."""
    return Bank(
        bank.task,
        bank.name,
        bank.horizon,
        bank.depth,
        bank.metric[ok],
        bank.outputs[ok][:, :, :examples],
        bank.outcome[ok],
        None if bank.auxiliary is None else bank.auxiliary[ok],
        bank.auxiliary_name,
        {name: [f[ok] for f in features] for name, features in bank.signals.items()},
        bank.forks,
    )


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
            told = by_kernel(z, [], metric, y, kept.auxiliary, others[:n], test, how.rows)[1]
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
