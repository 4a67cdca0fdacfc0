"""The joint law of a run's path and outcome, from finished runs: forecast, own scale, own risk.

The model stands in online.py.  Nothing here knows of stopping.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import isotonic_regression
from scipy.stats import f as f_law

from prehoc.predictors.spread import Spread, fit_spread

Array = NDArray[np.float64]

_RIDGE = 10.0 ** np.arange(-3, 3.1, 0.5)  # penalties, in numbers of runs
_SHRINK = (0.003, 0.01, 0.03, 0.1, 0.3)  # of the path's correlations
_NU = (2.0, 3.0, 5.0, 8.0, 12.0, 20.0, 40.0, 100.0, 1e3)
_FARTHEST = 3.0  # standard deviations: forecasts and scales beyond count as that far
_LEVERAGE = 0.999
_FOLDS = 5
_RATIO = (0.5, 4.0)  # risks told are corrected within


@dataclass(frozen=True)
class Ridge:
    """R on the first j metrics, for j = least..D: held-out residuals [N, J] and what predicts."""

    residual: Array
    fitted: Array
    terms: tuple[tuple[Array, Array, Array], ...]
    level: float

    def predict(self, metric: Array) -> Array:
        """Forecasts [M, J] from metrics [M, D]; what is missing only enters forecasts from there on."""
        made = [self.level + ((metric[:, : len(w)] - mean) / sd) @ w for mean, sd, w in self.terms]
        return np.stack(made, axis=1)


def _scaled(x: Array) -> tuple[Array, Array]:
    mean, sd = x.mean(axis=0), x.std(axis=0)
    return mean, np.where(sd > 1e-9 * np.maximum(1.0, np.abs(mean)), sd, np.inf)


def _ridge(x: Array, y: Array, least: int) -> Ridge:
    """One penalty for all depths: that of the least sum of log mean squared errors, runs left out."""
    n, d = x.shape
    level, r = float(y.mean()), y - y.mean()
    mean, sd = _scaled(x)
    z = (x - mean) / sd
    left, weights = [], []
    for j in range(least, d + 1):
        u, s, vt = np.linalg.svd(z[:, :j], full_matrices=False)
        shrink = s**2 / (s**2 + n * _RIDGE[:, None])
        leverage = shrink @ (u**2).T + 1 / n
        fitted = (shrink * (u.T @ r)) @ u.T
        left.append((r - fitted) / (1 - np.minimum(leverage, _LEVERAGE)))
        weights.append((s / (s**2 + n * _RIDGE[:, None]) * (u.T @ r)) @ vt)
    loss = sum(np.log(np.maximum((e**2).mean(axis=1), 1e-300)) for e in left)
    k = int(np.argmin(loss))
    residual = np.stack([e[k] for e in left], axis=1)
    terms = tuple((mean[: least + i], sd[: least + i], w[k]) for i, w in enumerate(weights))
    return Ridge(residual, y[:, None] - residual, terms, level)


@dataclass(frozen=True)
class Distances:
    """Squared Mahalanobis distances of paths' first j metrics, j = least..D; and nu of their scales."""

    inverse: tuple[Array, ...]
    mean: Array
    sd: Array
    nu: float
    held_out: Array

    def of(self, metric: Array) -> Array:
        """d^2 [M, J] of new runs' metrics [M, D]."""
        z = (metric - self.mean) / self.sd
        made = [np.einsum("ij,jk,ik->i", z[:, : len(g)], g, z[:, : len(g)]) for g in self.inverse]
        return np.stack(made, axis=1)

    def scale(self, squared: Array, least: int) -> Array:
        """Log s^2 [., J], the posterior of a run's own scale."""
        j = np.arange(least, least + squared.shape[1])
        return np.asarray(np.log((self.nu + squared) / (self.nu + j)))

    def chance(self, squared: Array, least: int) -> Array:
        """Probability [., J] of a distance as large: d^2 / j ~ F(j, nu)."""
        j = np.arange(least, least + squared.shape[1])
        return np.asarray(f_law.sf(squared / j, j, self.nu))


def _distances(x: Array, least: int) -> Distances:
    n, d = x.shape
    mean, sd = _scaled(x)
    z = (x - mean) / sd
    gram = z.T @ z

    def held_out(share: float, j: int) -> tuple[Array, Array, float]:
        g = gram[:j, :j] + share * n * np.eye(j)
        inverse = np.linalg.inv(g)
        h = np.minimum(np.einsum("ij,jk,ik->i", z[:, :j], inverse, z[:, :j]), _LEVERAGE)
        return n * inverse, n * h / (1 - h), float(np.linalg.slogdet(g / n)[1])

    def badness(share: float) -> float:
        _, q, size = held_out(share, d)
        return float(q.mean() + size)

    share = min(_SHRINK, key=badness)
    each = [held_out(share, j) for j in range(least, d + 1)]
    away = np.stack([q for _, q, _ in each], axis=1)
    nu = max(_NU, key=lambda v: float(f_law.logpdf(away[:, -1] / d, d, v).sum()))
    return Distances(tuple(g for g, _, _ in each), mean, sd, nu, away)


def _risk_by_depth(residual: Array) -> Array:
    """The finished runs' mean squared error by depth [J], which more metrics do not raise."""
    return np.asarray(isotonic_regression((residual**2).mean(axis=0), increasing=False).x)


@dataclass(frozen=True)
class PathLaw:
    """What finished runs with metrics [N, D] and outcomes [N] tell of a new one.

    `base` [J] is their mean squared error by depth; `ratio` what their squared errors, each run's fold left
    out of everything, come to as a multiple of the risk that was told of them.
    """

    ridge: Ridge
    far: Distances
    spread: Spread
    base: Array
    least: int
    ratio: float = 1.0

    def risks(self, forecast: Array, squared: Array) -> list[Array]:
        """V_i(c' | c) for each c from the first judged depth on [M, J - k]."""
        scale, level = self.far.scale(squared, self.least), forecast - self.ridge.level
        each = range(len(self.base))
        return [
            self.ratio * self.spread.factor(k, (scale[:, k], level[:, k]), _FARTHEST) * self.base[k:]
            for k in each
        ]


def path_law(x: Array, y: Array, least: int, folds: int = _FOLDS) -> PathLaw:
    """The law of N finished runs' metrics [N, D] and outcomes [N], judged from `least` metrics on."""
    ridge, far = _ridge(x, y, least), _distances(x, least)
    known = (far.scale(far.held_out, least), ridge.fitted - ridge.level)
    base = _risk_by_depth(ridge.residual)
    law = PathLaw(ridge, far, fit_spread(known, ridge.residual**2), base, least)
    if not folds or len(y) < 2 * folds:
        return law
    told, met = np.empty(ridge.residual.shape), np.empty(ridge.residual.shape)
    for k in range(folds):
        out = np.arange(len(y)) % folds == k
        other = path_law(x[~out], y[~out], least, 0)
        forecast = other.ridge.predict(x[out])
        told[out] = np.stack([v[:, 0] for v in other.risks(forecast, other.far.of(x[out]))], axis=1)
        met[out] = (y[out, None] - forecast) ** 2
    ratio = float(np.mean(met.mean(axis=0) / np.maximum(told.mean(axis=0), 1e-300)))
    return replace(law, ratio=float(np.clip(ratio, *_RATIO)))
