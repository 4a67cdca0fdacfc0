"""Stopping a run by what it has shown itself, with earlier finished runs as the prior.

A run's path m (metric at the depths c_1 < ... < c_D) and its outcome R are taken as
    (m, R) = mu + s_i u_i,   u_i ~ N(0, Sigma),   nu / s_i^2 ~ chi2(nu):
a common law of deviations, and a scale s_i of the run's own.  mu, Sigma and nu come from the finished
runs: R on the path by ridge regression, the path's correlations shrunk to none, each penalty by what
it leaves on runs left out.  Of a new run at depth c the posterior has, in closed form,
    forecast  f_i(c) = E[R | m_1..m_c],      scale  s_i^2(c) = (nu + d_i^2(c)) / (nu + j),
with d^2 the Mahalanobis distance of its j metrics (the multivariate t: Ding 2016, Am. Stat. 70, 293).

Its risk, now and at a deeper depth c', is the finished runs' squared error with themselves left out,
    log V_i(c' | c) = b_0 + b_1 log s_i^2(c) + b_2 (f_i(c) - mu_R),
a gamma regression whose slopes have a normal prior about 0; that prior's width is the one of highest
evidence (MAP and Laplace; spread.py).  All risks are then multiplied by what they were off on folds of
finished runs left out.  Where finished runs show no such slopes the rule is one depth for all, the prior's
own c*.  Else it stops at the first c, not before `least_depths` are seen, where
    V_i(c | c) <= min over c' > c of V_i(c' | c) + rate (c' - c).
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike, NDArray

from prehoc.errors import InputError
from prehoc.predictors.path_law import PathLaw, path_law

Array = NDArray[np.float64]
Index = NDArray[np.int64]
Flags = NDArray[np.bool_]

LEAST_DEPTHS = 4
UNLIKE = "its path is unlike the finished runs'"
CONSTANT = "R is the same in all finished runs: the price has no unit and a path that moves is unlike them"
_FEWEST = 5  # finished runs that anything is fitted to


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
    laws: dict[tuple[int, ...], PathLaw] = field(default_factory=dict, repr=False, compare=False)

    @property
    def var_r(self) -> float:
        """Var R over the finished runs, squared units."""
        return float(self.outcome.var(ddof=1)) if len(self.outcome) > 1 else 0.0

    @property
    def constant(self) -> bool:
        """Whether R is one number in all finished runs, of which there are two or more."""
        return len(self.outcome) > 1 and float(np.ptp(self.outcome)) == 0.0


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
                note[i] = f"by depth {steps[k]} {UNLIKE}"
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


def _law_of(prior: Prior, columns: Index) -> PathLaw:
    """The prior's law over some of its depths, made once."""
    key = tuple(int(c) for c in columns)
    if key not in prior.laws:
        prior.laws[key] = path_law(prior.metric[:, columns], prior.outcome, prior.least_depths)
    return prior.laws[key]


def _own_c_star(prior: Prior, columns: Index, rate: float) -> tuple[int, str]:
    """Index of the prior's c*, and why it cannot judge single runs ("" where it can)."""
    if not (np.isfinite(rate) and rate >= 0):
        raise InputError(f"online: rate {rate} is no cost of a step; give gamma lambda, 0 or more")
    n, last = len(prior.outcome), len(columns) - 1
    few = f"{n} finished runs; {prior.least_runs} are needed" if n < prior.least_runs else ""
    few = CONSTANT if prior.constant else few
    if n < _FEWEST:
        return last, few
    law = _law_of(prior, columns)
    steps = prior.depth[columns][prior.least_depths - 1 :]
    at = int(np.argmin(law.base + rate * steps))
    index = at + prior.least_depths - 1
    square = law.ridge.residual[:, at] ** 2
    if not few and square.std() > prior.uneven * np.sqrt(n) * square.mean():
        return index, "a few finished runs make most of the squared error: how far off is not known"
    return index, few


def _standing(prior: Prior, columns: Index, m: Array, rate: float) -> Standing:
    least, steps = prior.least_depths, prior.depth[columns].astype(float)
    shape = (len(m), len(steps))
    made = {k: np.full(shape, np.nan) for k in ("forecast", "now", "later", "chance")}
    deepen = np.full(shape, -1, np.int64)
    if len(prior.outcome) < _FEWEST:
        return Standing(deepen=deepen, **made)
    law = _law_of(prior, columns)
    m = np.where(np.isfinite(m), m, np.nan)
    forecast, squared = law.ridge.predict(m), law.far.of(m)
    at = steps[least - 1 :]
    made["forecast"][:, least - 1 :] = forecast
    made["chance"][:, least - 1 :] = law.far.chance(squared, least)
    for k, risk in enumerate(law.risks(forecast, squared)):
        total = risk + rate * (at[k:] - at[k])
        column = least - 1 + k
        made["now"][:, column] = risk[:, 0]
        made["later"][:, column] = total[:, 1:].min(axis=1) if k + 1 < len(at) else np.inf
        deepen[:, column] = column + (1 + total[:, 1:].argmin(axis=1) if k + 1 < len(at) else 0)
    return Standing(deepen=deepen, **made)
