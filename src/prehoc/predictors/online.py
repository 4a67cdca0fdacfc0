"""Stopping a run by what it has shown itself, with earlier finished runs as the prior.

A run's path m (metric at the depths c_1 < ... < c_D) and its outcome R are taken as
    (m, R) = mu + s_i u_i,   u_i ~ N(0, Sigma),   nu / s_i^2 ~ chi2(nu):
a common law of deviations, and a scale s_i of the run's own.  mu, Sigma and nu come from the finished
runs: R on the path by ridge regression, the path's correlations shrunk to none, each penalty by what
it leaves on runs left out.  Of a new run at depth c the posterior has, in closed form,
    forecast  f_i(c) = E[R | m_1..m_c],      scale  s_i^2(c) = (nu + d_i^2(c)) / (nu + j),
with d^2 the Mahalanobis distance of its j metrics (the multivariate t: Kotz and Nadarajah 2004, 1.10).

Its risk, now and at a deeper depth c', is the finished runs' squared error with themselves left out,
    log V_i(c' | c) = b_0 + b_1 log s_i^2(c) + b_2 (f_i(c) - mu_R),
a gamma regression whose slopes have a normal prior about 0; that prior's width is the one of highest
evidence (MAP and Laplace; spread.py).  Where the finished runs show no such slopes the rule is that
of one depth for all: the prior's own c*.  Else it stops at the first c, not before `least_depths`
are seen, where  V_i(c | c) <= min over c' > c of V_i(c' | c) + rate (c' - c).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import isotonic_regression
from scipy.stats import f as f_law

from prehoc.errors import InputError
from prehoc.predictors.spread import fit_spread

Array = NDArray[np.float64]
Index = NDArray[np.int64]
Flags = NDArray[np.bool_]

LEAST_DEPTHS = 4
_RIDGE = 10.0 ** np.arange(-3, 3.1, 0.5)  # penalties, in numbers of runs
_SHRINK = (0.003, 0.01, 0.03, 0.1, 0.3)  # of the path's correlations
_NU = (2.0, 3.0, 5.0, 8.0, 12.0, 20.0, 40.0, 100.0, 1e3)
_FARTHEST = 3.0  # standard deviations: forecasts and scales beyond count as that far
_LEVERAGE = 0.999


@dataclass(frozen=True)
class Prior:
    """What finished runs tell: `depth` [D], `metric` [N, D], `outcome` [N], T, and the rule's numbers.

    `least_depths`: metrics that must be seen before a stop; `least_runs`: finished runs below which the
    rule does not judge; `unlike`: probability under the prior below which a path is unlike it;
    `uneven`: largest relative standard error of the finished runs' mean squared error.
    """

    depth: Index
    metric: Array
    outcome: Array
    horizon: int
    least_depths: int = LEAST_DEPTHS
    least_runs: int = 10
    unlike: float = 1e-3
    uneven: float = 0.5

    @property
    def var_r(self) -> float:
        """Var R over the finished runs, squared units."""
        return float(self.outcome.var(ddof=1)) if len(self.outcome) > 1 else 0.0


@dataclass(frozen=True)
class Stops:
    """Where each of M runs is stopped, and what is known there; all [M].

    `index` into depth, -1 for never; `forecast` of R and its expected squared error `risk` (nan where
    never); `told` False where the rule could not judge the run and took the prior's own c*, and `note`
    says why.
    """

    index: Index
    forecast: Array
    risk: Array
    told: Flags
    note: tuple[str, ...]


@dataclass(frozen=True)
class Standing:
    """Where runs stand at each depth, all [M, D], nan before the first judged depth.

    `now`: V_i(c | c); `later` the least of V_i(c' | c) + rate (c' - c) over deeper c' (inf at the last);
    `deepen` [M, D] the index of that c'; `chance` of a path as far from the prior's as this one.
    """

    forecast: Array
    now: Array
    later: Array
    deepen: Index
    chance: Array


def fit_prior(
    depth: ArrayLike,
    metric: ArrayLike,
    outcome: ArrayLike,
    horizon: int,
    *,
    least_depths: int = LEAST_DEPTHS,
    least_runs: int = 10,
    unlike: float = 1e-3,
    uneven: float = 0.5,
) -> Prior:
    """The prior of N finished runs: `depth` [D] in steps, `metric` [N, D], `outcome` R [N].

    Runs with a missing or infinite number are left out.  Raises InputError for shapes that do not
    agree, depths that do not increase or lie beyond `horizon`, and `least_depths` under 4.
    """
    steps = np.asarray(depth)
    m, r = np.asarray(metric, float), np.asarray(outcome, float)
    if m.ndim != 2 or steps.ndim != 1 or m.shape != (len(r), len(steps)) or r.ndim != 1:
        raise InputError(f"online: metric {m.shape} must be runs x depths, of {len(r)} and {len(steps)}")
    if len(steps) == 0 or np.any(np.diff(steps) <= 0) or steps[0] < 0 or steps[-1] > horizon:
        raise InputError(
            f"online: depths must increase and end by the horizon {horizon}; see the runs table"
        )
    if least_depths < LEAST_DEPTHS:
        raise InputError(
            f"online: least_depths is {least_depths}; a run shows nothing before {LEAST_DEPTHS}"
        )
    whole = np.isfinite(m).all(axis=1) & np.isfinite(r)
    return Prior(
        steps.astype(np.int64), m[whole], r[whole], int(horizon), least_depths, least_runs, unlike, uneven
    )


def stop_depths(prior: Prior, depth: ArrayLike, metric: ArrayLike, *, rate: float) -> Stops:
    """Where each of M runs with metrics [M, D] at `depth` [D] is stopped, at `rate` = gamma lambda.

    `rate`: what a step costs, in squared units of R.  A run's own numbers are used up to its stop and not
    beyond.  A metric that is missing or infinite ends what can be said: index -1 if no stop came before.
    Raises InputError for a depth that the prior lacks, fewer than `least_depths`, and a bad rate.
    """
    columns, m = _columns(prior, depth, metric)
    steps = prior.depth[columns]
    least, count = prior.least_depths, len(m)
    fallback, why = _own_c_star(prior, columns, rate)
    index = np.full(count, -1, np.int64)
    forecast, risk = np.full(count, np.nan), np.full(count, np.nan)
    told, note = np.ones(count, bool), [""] * count
    judged = _standing(prior, columns, m, rate)
    seen = np.isfinite(m).cumsum(axis=1)
    whole = seen == np.arange(1, len(steps) + 1)
    lost = np.zeros(count, bool)  # runs that the rule has given up judging
    for k in range(least - 1, len(steps)):
        alive = (index < 0) & whole[:, k]
        if why:
            lost |= alive
        else:
            strange = alive & ~lost & (judged.chance[:, k] < prior.unlike)
            for i in np.flatnonzero(strange):
                note[i] = f"by depth {steps[k]} its path is unlike the finished runs'"
            lost |= strange
        stop = alive & np.where(lost, k >= fallback, judged.now[:, k] <= judged.later[:, k])
        index[stop] = k
        forecast[stop], risk[stop] = judged.forecast[stop, k], judged.now[stop, k]
    for i in np.flatnonzero(lost):
        told[i], note[i] = False, note[i] or why
    for i in np.flatnonzero(index < 0):
        told[i] = False
        note[i] = note[i] or f"no metric at depth {steps[int(np.argmin(whole[i]))]}"
    return Stops(index, forecast, risk, told, tuple(note))


def standing(prior: Prior, depth: ArrayLike, metric: ArrayLike, *, rate: float) -> tuple[Standing, str]:
    """Where each run stands at each of its depths, and why the prior cannot judge ("" where it can)."""
    columns, m = _columns(prior, depth, metric)
    return _standing(prior, columns, m, rate), _own_c_star(prior, columns, rate)[1]


def own_c_star(prior: Prior, depth: ArrayLike, *, rate: float) -> int:
    """The prior's own c*, as an index into `depth`: one depth for all runs, what cannot be judged gets."""
    columns, _ = _columns(prior, depth, np.empty((0, len(np.asarray(depth)))))
    return _own_c_star(prior, columns, rate)[0]


def _columns(prior: Prior, depth: ArrayLike, metric: ArrayLike) -> tuple[Index, Array]:
    steps, m = np.asarray(depth), np.asarray(metric, float)
    if m.ndim != 2 or m.shape[1] != len(steps):
        raise InputError(f"online: metric {m.shape} must be runs x {len(steps)} depths")
    foreign = [int(d) for d in steps if d not in prior.depth]
    if foreign:
        there = ", ".join(map(str, prior.depth))
        raise InputError(f"online: no finished run was measured at depth {foreign[0]}; there are {there}")
    if len(steps) < prior.least_depths or np.any(np.diff(steps) <= 0):
        raise InputError(
            f"online: {len(steps)} depths; give {prior.least_depths} or more of the finished runs', rising"
        )
    return np.searchsorted(prior.depth, steps), m


@dataclass(frozen=True)
class _Ridge:
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


def _ridge(x: Array, y: Array, least: int) -> _Ridge:
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
    return _Ridge(residual, y[:, None] - residual, terms, level)


@dataclass(frozen=True)
class _Distances:
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
        """log s^2 [., J], the posterior of a run's own scale."""
        j = np.arange(least, least + squared.shape[1])
        return np.asarray(np.log((self.nu + squared) / (self.nu + j)))

    def chance(self, squared: Array, least: int) -> Array:
        """Probability [., J] of a distance as large: d^2 / j ~ F(j, nu)."""
        j = np.arange(least, least + squared.shape[1])
        return np.asarray(f_law.sf(squared / j, j, self.nu))


def _distances(x: Array, least: int) -> _Distances:
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
    return _Distances(tuple(g for g, _, _ in each), mean, sd, nu, away)


def _risk_by_depth(residual: Array) -> Array:
    """The finished runs' mean squared error by depth [J], which more metrics do not raise."""
    return np.asarray(isotonic_regression((residual**2).mean(axis=0), increasing=False).x)


def _own_c_star(prior: Prior, columns: Index, rate: float) -> tuple[int, str]:
    """Index of the prior's c*, and why it cannot judge single runs ("" where it can)."""
    if not (np.isfinite(rate) and rate >= 0):
        raise InputError(f"online: rate {rate} is no cost of a step; give gamma lambda, 0 or more")
    n, last = len(prior.outcome), len(columns) - 1
    if n < 3:
        return last, f"{n} finished runs; {prior.least_runs} are needed"
    error = _ridge(prior.metric[:, columns], prior.outcome, prior.least_depths).residual
    risk = _risk_by_depth(error)
    steps = prior.depth[columns][prior.least_depths - 1 :]
    at = int(np.argmin(risk + rate * steps))
    index = at + prior.least_depths - 1
    if n < prior.least_runs:
        return index, f"{n} finished runs; {prior.least_runs} are needed"
    square = error[:, at] ** 2
    if square.std() > prior.uneven * np.sqrt(n) * square.mean():
        return index, "a few finished runs make most of the squared error: how far off is not known"
    return index, ""


def _standing(prior: Prior, columns: Index, m: Array, rate: float) -> Standing:
    least, steps = prior.least_depths, prior.depth[columns].astype(float)
    shape = (len(m), len(steps))
    made: dict[str, Any] = {k: np.full(shape, np.nan) for k in ("forecast", "now", "later", "chance")}
    deepen = np.full(shape, -1, np.int64)
    if len(prior.outcome) < 3:
        return Standing(deepen=deepen, **made)
    x, y = prior.metric[:, columns], prior.outcome
    ridge, far = _ridge(x, y, least), _distances(x, least)
    m = np.where(np.isfinite(m), m, np.nan)
    forecast, squared = ridge.predict(m), far.of(m)
    known = (far.scale(far.held_out, least), ridge.fitted - ridge.level)
    new = (far.scale(squared, least), forecast - ridge.level)
    spread = fit_spread(known, ridge.residual**2)
    base = _risk_by_depth(ridge.residual)
    at = steps[least - 1 :]
    made["forecast"][:, least - 1 :] = forecast
    made["chance"][:, least - 1 :] = far.chance(squared, least)
    for k in range(len(at)):
        risk = spread.factor(k, (new[0][:, k], new[1][:, k]), _FARTHEST) * base[k:]
        total = risk + rate * (at[k:] - at[k])
        column = least - 1 + k
        made["now"][:, column] = risk[:, 0]
        made["later"][:, column] = total[:, 1:].min(axis=1) if k + 1 < len(at) else np.inf
        deepen[:, column] = column + (1 + total[:, 1:].argmin(axis=1) if k + 1 < len(at) else 0)
    return Standing(deepen=deepen, **made)
