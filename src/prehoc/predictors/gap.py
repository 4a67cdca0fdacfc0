"""How much of the gap between a run's metric and its state features close, without forking.

Each set of features predicts R of runs that it did not learn from, by folds over runs.  The gap is
U_metric - U_fork, and a set closes the share (U_metric - U)/(U_metric - U_fork) of it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import nnls

from prehoc.predictors import agreement
from prehoc.predictors.shrinkage import LEARNERS

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
    sets: Sequence[list[Array]],
    metric: Array,
    outcome: Array,
    auxiliary: Array | None,
    train: Index,
    test: Index,
    rows: int,
) -> list[tuple[Array, Array]]:
    """R [m] of the runs `test` by the agreement kernel: without the auxiliary outcome, and with it.

    One pair for each of `sets`, blocks of features that join the outputs in the kernel; the first sets the
    examples' part for all.  With the auxiliary outcome R is split into what is linear in it and the rest,
    each with a penalty of its own: a loss is told by the outputs with less noise than an accuracy.  Each
    part counts as much, from 0 to 1, as it helps runs of `train` that are left out (Breiman, 1996).
    """
    told, rest = beside(metric, outcome[train], train)
    examples = agreement.Examples.of(log_odds, train)
    some = np.arange(min(rows, len(train)))
    targets = [rest]
    slope = 0.0
    if auxiliary is not None:
        a = auxiliary[train] - auxiliary[train].mean()
        slope = float(a @ rest) / max(float(a @ a), 1e-300)
        targets += [rest - slope * a, slope * a]
    made: list[tuple[Array, Array]] = []
    first: agreement.Choice | None = None
    for blocks in sets:
        choice = agreement.choose(examples, blocks, rest[some], train[some], first)
        if first is not None and not any(choice.weights):
            made.append(made[0])
            continue
        first = first or choice
        found, left = agreement.predict(
            choice, examples, blocks, np.column_stack(targets), train, test, 2 * rows
        )
        parts = [
            _stacked(left[:, k], found[:, k], rest[: len(left)]) for k in ([0], [1, 2])[: len(targets)]
        ]
        made.append((told[test] + parts[0], told[test] + parts[-1]))
    return made


def _stacked(left: Array, found: Array, outcome: Array) -> Array:
    """Forecasts `found` [m, k] summed with the weights that suit those of runs left out, `left` [n, k]."""
    centre = left - left.mean(axis=0)
    size = max(float(np.abs(outcome).max(initial=0.0)), 1e-300)
    weight, _ = nnls(centre / size, (outcome - outcome.mean()) / size)
    return np.asarray(found @ np.minimum(weight, 1.0))


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
    blocks = [prefix, seen, *(features for features in others.values() if features.shape[1])]
    found, best = by_kernel(z, [[], blocks], metric, y, bank.auxiliary, train, test, rows)
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
