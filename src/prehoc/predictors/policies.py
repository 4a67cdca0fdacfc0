"""Where each policy stops: 0 for no probing, j for the j-th measured depth, D for the last.

A policy sees what it has paid for: a run's own metrics up to its stop, and finished earlier runs.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm

from prehoc.errors import InputError
from prehoc.predictors.pooled import shallow_limit
from prehoc.risk import stopping
from prehoc.risk.envelope import MIN_DEPTHS, EnvelopeFit, fit_envelope
from prehoc.risk.proxies import Estimate, from_residuals

Array = NDArray[np.float64]
Index = NDArray[np.int64]

FREE = ("no_probing", "shallow", "deep", "full", "sha", "asha")  # need no calibration of where to stop
BASELINES = ("no_probing", "shallow", "deep", "full")  # what break-even is counted against
CALIBRATED = ("median_stop", "extrapolation_stop", "c_star", "c_star_guarded", "online")
POLICIES = (*FREE, *CALIBRATED, "oracle")
_BY_DEPTH = ("risk", "se", "nu", "ci_low", "ci_high", "n", "robust", "failure_rate")
FEWEST_POINTS = 3  # a run's own power law needs them


def upto(depth: Index, steps: float) -> int:
    """The stop at the deepest measured depth that is no deeper than `steps`, the first one at least."""
    return max(1, int(np.searchsorted(depth, steps * (1 + 1e-9), side="right")))


def shallow(depth: Index, horizon: int, steps: float, share: float) -> int:
    """A fixed shallow probe of `steps`; of `share` of T where that is half of T or more."""
    return upto(depth, shallow_limit(horizon, steps, share))


def _first(hit: NDArray[np.bool_]) -> Index:
    """The stop [m] at the first True of each row of [m, D]; D where there is none."""
    return np.where(hit.any(axis=1), np.argmax(hit, axis=1), hit.shape[1] - 1) + 1


def median_stop(known: Array, score: Array, first: int) -> Index:
    """Vizier's median rule (Golovin et al., 2017): stops [m] of runs with scores [m, D], more is better.

    A run stops at a depth where its best score so far is below the median of the running averages of
    the finished runs `known` [n, D] there; the first `first` depths stop nobody.
    """
    average = np.cumsum(known, axis=1) / np.arange(1, known.shape[1] + 1)
    below = np.maximum.accumulate(score, axis=1) < np.median(average, axis=0)
    below[:, :first] = False
    return _first(below)


def extrapolation_stop(
    known: Array, outcome: Array, said: Array, threshold: float, first: int, level: float
) -> tuple[Index, Array]:
    """Stops [m] and forecasts [m, D], after Domhan et al. (2015).

    `said` [m, D] are the runs' own extrapolations to T, `known` [n, D] those of finished runs with R
    `outcome` [n].  The line of R on the extrapolation at a depth, from the finished runs, turns it into
    a forecast, whose error they give too, taken as normal.  A run stops once the chance that R exceeds
    `threshold` is under `level` or over 1 - `level`.
    """
    centre, mean = known.mean(axis=0), float(outcome.mean())
    off, above = known - centre, outcome - mean
    size = (off**2).sum(axis=0)
    slope = np.where(size > 0, above @ off / np.where(size > 0, size, 1.0), 0.0)
    forecast = mean + slope * (said - centre)
    error = above[:, None] - slope * off
    spread = np.maximum(np.sqrt((error**2).sum(axis=0) / max(len(outcome) - 2, 1)), 1e-300)
    chance = norm.sf((threshold - forecast) / spread)
    sure = (chance < level) | (chance > 1 - level)
    sure[:, : max(first, FEWEST_POINTS - 1)] = False
    return _first(sure), forecast


@dataclass(frozen=True)
class Calibration:
    """The risk over depth as calibration runs show it, and its fitted envelope.

    `none` is the risk of no probing with its standard error; `estimate` that at the depths [D];
    `fit` is None where no envelope can be fitted.
    """

    depth: Index
    none: float
    none_se: float
    estimate: Estimate
    fit: EnvelopeFit | None


def calibrate(
    depth: Index, loo: Array, horizon: int, *, shift: float = 0.0, confidence: float = 0.95
) -> Calibration:
    """From leave-one-out errors [n, D + 1] of the forecasts of the calibration runs.

    Their mean square is what forecasts learned from n runs cost, which is what a policy pays: the risk
    to be stopped on, with its interval and correlation between depths as in risk.proxies.
    """
    n = len(loo)
    scale = float(np.abs(loo).max(initial=0.0))
    full = np.full(loo.shape[1], n)
    found = from_residuals(loo, full, confidence, np.zeros(loo.shape[1]), scale)
    estimate = replace(
        found,
        **{name: getattr(found, name)[1:] for name in _BY_DEPTH},
        covariance=found.covariance[1:, 1:],
    )
    none = float(np.mean(loo[:, 0] ** 2))
    fit: EnvelopeFit | None = None
    usable = (estimate.risk > 0) & np.isfinite(estimate.nu)
    if usable.all() and len(depth) >= 2 and depth[0] < horizon and np.isfinite(estimate.covariance).all():
        try:
            fit = fit_envelope(
                depth.astype(float), estimate.risk, estimate.nu, horizon, estimate.covariance,
                shift=shift, confidence=confidence,
            )  # fmt: skip
        except (InputError, np.linalg.LinAlgError):
            fit = None
    return Calibration(depth, none, float(np.nan_to_num(found.se[0])), estimate, fit)


def refused(fit: EnvelopeFit) -> bool:
    """Whether the guarded rule drops the envelope: it does not fit, or has too few depths."""
    return fit.lack_of_fit_p < stopping.GUARD_LEVEL or len(fit.depth) < MIN_DEPTHS


def c_star(known: Calibration, rate: float, *, guarded: bool) -> int:
    """The budget-optimal stop at `rate` = gamma lambda, squared units a step.

    The argmin over all steps of risk.stopping, or its guarded rule; of the two measured depths
    beside it, the one with the lesser total by the same curve.  Without an envelope, or where c*
    is no number, the measured depth with the least total.
    """
    steps = known.depth.astype(float)
    fit = known.fit
    if fit is not None:
        rule = stopping.guarded if guarded else stopping.argmin
        where = rule(fit, rate, known.none, known.none_se).c_star
        if where == 0:
            return 0
        if np.isfinite(where):
            isotone = guarded and refused(fit)
            curve = stopping.curve_isotonic(fit, steps) if isotone else fit.mu(steps)
            right = min(int(np.searchsorted(steps, where * (1 - 1e-12))), len(steps) - 1)
            near = [j for j in (right - 1, right) if j >= 0]
            return min(near, key=lambda j: float(curve[j] + rate * steps[j])) + 1
    totals = np.concatenate([[known.none], known.estimate.risk + rate * steps])
    return int(np.nanargmin(totals))
