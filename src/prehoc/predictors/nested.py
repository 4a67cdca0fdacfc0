"""Cross-validated forecasts of R by several predictors, and by the best of them, chosen without a look.

Runs fall into K folds.  Each model is learned without one fold, and again without each pair of folds.  A
forecast for fold k comes from the model without k.  `best` is, for fold k, the predictor with the least
error on the other folds j, by the models without j and k: nested cross-validation, at K + K (K - 1)/2 fits
in place of K^2, as the pair (j, k) serves both.  Ridge's penalty is found within its training runs by
generalised cross-validation (Golub, Heath and Wahba, 1979).
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from prehoc.errors import InputError
from prehoc.predictors.battery import boosting, extrapolate
from prehoc.predictors.features import Design, Seen, design

Array = NDArray[np.float64]
Index = NDArray[np.int64]
Left = tuple[int, ...]  # folds that a model was learned without

LEARNERS = ("linear", "ridge", "boosting", "extrapolation")
MIN_TRAIN = 10  # runs; with fewer a learner forecasts their mean
_PENALTIES = 10.0 ** np.linspace(-5, 5, 41)  # of ridge, in runs, features of variance 1
_MOST_FREEDOM = 0.8  # of the training runs: GCV says nothing where a fit is nearly exact
_RANK = 1e-10


@dataclass(frozen=True)
class Boosting:
    """Boosted trees: how many, shrinkage, depth of each, and the seed of their subsamples."""

    trees: int = 100
    rate: float = 0.05
    depth: int = 2
    seed: int = 0


def folds_of(runs: int, folds: int, rng: np.random.Generator) -> Index:
    """The fold of each run [N], sizes even to one; as many folds as runs where these are fewer."""
    if runs < 2 or folds < 2:
        raise InputError(f"cross-validation needs 2 runs and 2 folds: {runs} runs, {folds} folds")
    made = np.empty(runs, np.int64)
    made[rng.permutation(runs)] = np.arange(runs) % min(folds, runs)
    return made


def forecasts(
    seen: Seen,
    information: str,
    at: int | None,
    fold: Index,
    names: Sequence[str],
    trees: Boosting,
) -> dict[str, Array]:
    """Held-out forecasts of R [N] by predictor: `mean`, those of `names` that apply, and `best`.

    `extrapolation` reads a run's own metric alone, so it stands under `trajectory` only, but may be
    the best under `static+trajectory` too.  `names` are of LEARNERS.
    """
    learners = () if information == "none" else names
    made = models(design(seen, information, at), seen.outcome, fold, learners, trees)
    if "extrapolation" in names and at is not None and "trajectory" in information:
        ahead = extrapolate(seen.depth[: at + 1].astype(float), seen.curves[:, 0, : at + 1], seen.horizon)
        made["extrapolation"] = {
            left: np.where(np.isfinite(ahead), ahead, mean) for left, mean in made["mean"].items()
        }
    out = judged(made, seen.outcome, fold)
    if information != "trajectory":
        out.pop("extrapolation", None)
    return out


def models(
    columns: Design, outcome: Array, fold: Index, names: Sequence[str], trees: Boosting
) -> dict[str, dict[Left, Array]]:
    """Forecasts [N] for all runs by predictor and by the folds left out; `mean` is always there.

    A learner without a column that varies, or with under 10 training runs, forecasts their mean.
    """
    unknown = [name for name in names if name not in LEARNERS]
    if unknown:
        raise InputError(f"predictor {unknown[0]!r} is unknown; one of {list(LEARNERS)}")
    every = range(int(fold.max()) + 1)
    lefts: list[Left] = [(k,) for k in every]
    lefts += list(itertools.combinations(every, 2))
    sums = _Sums(columns.x, outcome, fold)
    made: dict[str, dict[Left, Array]] = {"mean": {left: sums.mean(left) for left in lefts}}
    if "linear" in names:
        made["linear"] = {left: sums.linear(left, np.flatnonzero(columns.plain)) for left in lefts}
    if "ridge" in names:
        made["ridge"] = {left: sums.ridge(left) for left in lefts}
    if "boosting" in names and not columns.short.any():
        made["boosting"] = made["mean"]
    elif "boosting" in names:
        grow = boosting(trees.seed, trees.trees, trees.rate, trees.depth, columns="sqrt")
        x = np.asarray(columns.x[:, columns.short], np.float32)
        made["boosting"] = {}
        for left in lefts:
            test = np.isin(fold, left)
            told = sums.mean(left).copy()
            if (~test).sum() >= MIN_TRAIN:
                grown = grow(int((~test).sum()), x.shape[1]).fit(x[~test], outcome[~test])
                told[test] = grown.predict(x[test])
            made["boosting"][left] = told
    return made


def judged(made: dict[str, dict[Left, Array]], outcome: Array, fold: Index) -> dict[str, Array]:
    """Each predictor's held-out forecasts [N], and those of `best`: chosen on the other folds alone.

    `made` holds, by predictor, forecasts by the folds left out: each fold, and each pair of folds.
    """
    out = {name: np.empty(len(outcome)) for name in made}
    best = np.empty(len(outcome))
    count = int(fold.max()) + 1
    for k in range(count):
        here = fold == k
        for name in made:
            out[name][here] = made[name][(k,)][here]
        chosen = min(made, key=lambda name: _inner(made[name], outcome, fold, k, count))
        best[here] = out[chosen][here]
    out["best"] = best
    return out


def _inner(told: dict[Left, Array], outcome: Array, fold: Index, k: int, count: int) -> float:
    """Mean squared error on the folds but k, of models that saw neither that fold nor k."""
    total = 0.0
    for j in range(count):
        if j != k:
            here = fold == j
            total += float(((outcome[here] - told[(min(j, k), max(j, k))][here]) ** 2).sum())
    return total


class _Sums:
    """Moments of the features and R by fold: those of any set of training folds are their sums."""

    def __init__(self, x: Array, outcome: Array, fold: Index) -> None:
        count = int(fold.max()) + 1
        self.x, self.fold = x, fold
        self.level = float(outcome.mean())
        joined = np.column_stack([x, outcome - self.level])
        parts = [joined[fold == k] for k in range(count)]
        self.size = np.array([len(p) for p in parts])
        self.sum = np.stack([p.sum(axis=0) for p in parts])
        self.cross = np.stack([p.T @ p for p in parts])

    def _train(self, left: Left) -> tuple[int, Array, Array]:
        """Training runs, means [P + 1] and centred cross products [P + 1, P + 1]."""
        out = list(left)
        n = int(self.size.sum() - self.size[out].sum())
        mean = (self.sum.sum(axis=0) - self.sum[out].sum(axis=0)) / max(n, 1)
        cross = self.cross.sum(axis=0) - self.cross[out].sum(axis=0)
        return n, mean, cross - n * np.outer(mean, mean)

    def mean(self, left: Left) -> Array:
        """The training runs' mean of R, for every run  [N]."""
        out = list(left)
        n = self.size.sum() - self.size[out].sum()
        mean = (self.sum[:, -1].sum() - self.sum[out, -1].sum()) / max(int(n), 1)
        return np.full(len(self.x), self.level + mean)

    def _told(self, mean: Array, pick: Index, slopes: Array) -> Array:
        return np.asarray(self.level + mean[-1] + (self.x[:, pick] - mean[pick]) @ slopes)

    def linear(self, left: Left, pick: Index) -> Array:
        """Least squares on the columns `pick`, without directions of no variance  [N]."""
        n, mean, cross = self._train(left)
        if n < MIN_TRAIN or not len(pick):
            return self.mean(left)
        values, vectors = np.linalg.eigh(cross[np.ix_(pick, pick)])
        good = values > _RANK * values[-1]
        turned = vectors[:, good].T @ cross[pick, -1]
        return self._told(mean, pick, vectors[:, good] @ (turned / values[good]))

    def ridge(self, left: Left) -> Array:
        """Ridge regression on all columns, its penalty by generalised cross-validation  [N]."""
        n, mean, cross = self._train(left)
        if n < MIN_TRAIN or self.x.shape[1] == 0:
            return self.mean(left)
        values, vectors = np.linalg.eigh(cross[:-1, :-1])
        values = np.maximum(values, 0.0)
        turned = vectors.T @ cross[:-1, -1]
        penalty = n * _PENALTIES[:, None]
        slopes = turned / (values + penalty)
        left_over = cross[-1, -1] - 2 * slopes @ turned + (slopes**2) @ values
        freedom = 1 + (values / (values + penalty)).sum(axis=1)
        score = np.maximum(left_over, 0.0) / np.maximum(1 - freedom / n, 1e-9) ** 2
        score = np.where(freedom <= max(_MOST_FREEDOM * n, freedom[-1]), score, np.inf)
        best = int(np.argmin(score))
        return self._told(mean, np.arange(len(values)), vectors @ slopes[best])
