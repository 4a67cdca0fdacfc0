"""Where to stop probing: c* in closed form, over the fitted curve, on the grid, and guarded.

The total risk is J(c) = L(c) + gamma lambda c; at "no probing" it is the measured Var R, as
c^-alpha has no value at 0.  The static cost gamma C_s is paid at every c and left out.
A price is w = gamma lambda T / Var R, without unit.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm

from prehoc.errors import InputError
from prehoc.risk.depth_interval import Drift, interval_of_depth
from prehoc.risk.envelope import MIN_DEPTHS, EnvelopeFit
from prehoc.risk.rivals import isotonic

Array = NDArray[np.float64]

GUARD_LEVEL = 0.01
_EXACT_GRID = 200_000


@dataclass(frozen=True)
class Decision:
    """Where to stop: `c_star` in steps with an interval, `corner`, and J there (squared units).

    `c_star`, `low`, `high` and `total_risk` are nan where the rule has no answer.
    """

    rule: str
    c_star: float
    low: float
    high: float
    corner: str
    total_risk: float


def price_to_rate(price: float, var_r: float, horizon: float) -> float:
    """The rate gamma lambda = w Var R / T, in squared units a step."""
    if not (price > 0 and np.isfinite(price)):
        raise InputError(f"a price must be a positive number, not {price}")
    return price * var_r / horizon


def _check_rate(rate: float) -> None:
    if not (rate > 0 and np.isfinite(rate)):
        raise InputError(f"gamma times lambda must be a positive number, not {rate}")


def corner_of(c: float, horizon: float) -> str:
    """Which corner c lies in: `zero`, `horizon` or `interior`."""
    return "zero" if c <= 0 else "horizon" if c >= horizon else "interior"


def optimal_depth(K: float, alpha: float, rate: float, shift: float = 0.0) -> float:
    """c* = (alpha K/(gamma lambda))^(1/(alpha + 1)) - shift, not below 0 (the paper's Thm 6.1)."""
    _check_rate(rate)
    if K <= 0:
        return 0.0
    return max(float((alpha * K / rate) ** (1 / (alpha + 1))) - shift, 0.0)


def closed_form(fit: EnvelopeFit, rate: float, drift: Drift | None = None) -> Decision:
    """The paper's c*, clipped to the horizon, with an interval.

    `rate` = gamma lambda in squared units a step, `drift` its error where it comes from a price.
    Not defined (nan) where the fit has K = 0.
    """
    c = min(optimal_depth(fit.K, fit.alpha, rate, fit.shift), fit.horizon)
    low, high = interval_of_depth(fit, rate, drift)
    if fit.K <= 0:
        return Decision("closed_form", 0.0, low, high, "zero", float("nan"))
    total = float(fit.mu(max(c, 1.0))) + rate * c
    return Decision("closed_form", c, low, high, corner_of(c, fit.horizon), total)


def _steps(fit: EnvelopeFit) -> Array:
    """All whole steps up to the horizon; of a very deep one a log grid, and the measured depths."""
    last = int(fit.horizon)
    if last <= _EXACT_GRID:
        return np.arange(1, last + 1, dtype=float)
    return np.union1d(np.round(np.geomspace(1, last, _EXACT_GRID)), fit.depth)


def argmin(
    fit: EnvelopeFit, rate: float, var_r: float, var_r_se: float = 0.0, drift: Drift | None = None
) -> Decision:
    """The whole step of {0..T} with the least J(c), Var R standing at 0.

    The interval is that of the closed form, widened to 0 where J(0) and the least J lie within
    their errors of each other.  Where the risk does not fall at all (K = 0), a first step that
    does no better than none, within the errors, is not recommended.
    """
    _check_rate(rate)
    c = optimal_depth(fit.K, fit.alpha, rate, fit.shift)
    tries = np.unique(np.clip([np.floor(c), np.ceil(c)], 1, int(fit.horizon)))
    totals = fit.mu(tries) + rate * tries
    best = int(np.argmin(totals))
    low, high = interval_of_depth(fit, rate, drift)
    se = _se_of_gain(fit, tries[best], var_r, var_r_se, drift)
    if fit.K <= 0 and _close(fit, totals[best], var_r, se):
        return Decision("argmin", 0.0, 0.0, high, "zero", float(var_r))
    return _against_zero("argmin", fit, tries[best], totals[best], low, high, var_r, se)


def _close(fit: EnvelopeFit, total: float, var_r: float, se: float) -> bool:
    """Whether J at the best depth and at 0 cannot be told apart."""
    return bool(abs(total - var_r) <= float(norm.ppf(0.5 + fit.confidence / 2)) * se)


def _se_of_gain(fit: EnvelopeFit, c: float, var_r: float, var_r_se: float, drift: Drift | None) -> float:
    """Standard error of Var R - mu(c): the two share runs, and so errors."""
    g = fit.gradient(c) if fit.K > 0 else np.array([1.0, 0.0, 0.0])
    reach = g @ fit.influence
    variance = float(reach @ fit.relative @ reach) + var_r_se**2
    if drift is not None:
        variance -= 2 * var_r * float(reach @ drift.cross)
    return float(np.sqrt(max(variance, 0.0)))


def _against_zero(
    rule: str, fit: EnvelopeFit, c: float, total: float, low: float, high: float, var_r: float,
    se: float,
) -> Decision:  # fmt: skip
    """Weigh "no probing" against the best depth of 1 or more; ties go to no probing."""
    close = _close(fit, total, var_r, se)
    if var_r <= total:
        return Decision(rule, 0.0, 0.0, high if close else 0.0, "zero", float(var_r))
    low, high = min(low, c), max(high, c)
    return Decision(rule, float(c), 0.0 if close else low, high, corner_of(c, fit.horizon), float(total))


def _by_points(
    rule: str, fit: EnvelopeFit, at: Array, curve: Array, error: Array, rate: float,
    var_r: float, var_r_se: float,
) -> Decision:  # fmt: skip
    """The least of J over points; the interval holds all that the errors cannot tell from it.

    `error` holds one row a point: its coefficients on the measured depths' relative errors.
    """
    totals = curve + rate * at
    best = int(np.argmin(totals))
    gap = error - error[best]
    spread = np.sqrt(np.maximum(np.einsum("ij,jk,ik->i", gap, fit.relative, gap), 0))
    z = float(norm.ppf(0.5 + fit.confidence / 2))
    near = at[totals - totals[best] <= z * spread]
    own = float(error[best] @ fit.relative @ error[best])
    se = np.sqrt(own + var_r_se**2)
    return _against_zero(rule, fit, at[best], totals[best], float(near.min()), float(near.max()), var_r, se)


def grid_argmin(fit: EnvelopeFit, rate: float, var_r: float, var_r_se: float = 0.0) -> Decision:
    """The measured depth (or 0) with the least J, no model in it."""
    _check_rate(rate)
    error = np.diag(fit.risk)
    return _by_points("grid", fit, fit.depth, fit.risk, error, rate, var_r, var_r_se)


def guarded(
    fit: EnvelopeFit,
    rate: float,
    var_r: float,
    var_r_se: float = 0.0,
    drift: Drift | None = None,
    *,
    level: float = GUARD_LEVEL,
) -> Decision:
    """The argmin rule where the envelope fits; else isotonic regression, linear in log c between.

    The envelope is dropped where its lack of fit has p < `level` or it has under four depths.
    `fit` is the one over all measured depths (not from the onset).  J is searched
    over the steps from the first measured depth to the last, and 0.
    """
    if not _needs_guard(fit, level):
        found = argmin(fit, rate, var_r, var_r_se, drift)
        return Decision("guarded", *list(vars(found).values())[1:])
    _check_rate(rate)
    steps = _steps(fit)
    steps = steps[(steps >= fit.depth[0]) & (steps <= fit.depth[-1])]
    curve = curve_isotonic(fit, steps)
    spot = np.searchsorted(np.log(fit.depth), np.log(steps), side="right") - 1
    spot = np.clip(spot, 0, len(fit.depth) - 2)
    left, right = np.log(fit.depth[spot]), np.log(fit.depth[spot + 1])
    share = (np.log(steps) - left) / (right - left)
    keep = _thin(curve + rate * steps)
    error = np.zeros((len(keep), len(fit.depth)))
    row = np.arange(len(keep))
    error[row, spot[keep]] = (1 - share[keep]) * fit.risk[spot[keep]]
    error[row, spot[keep] + 1] += share[keep] * fit.risk[spot[keep] + 1]
    return _by_points("guarded", fit, steps[keep], curve[keep], error, rate, var_r, var_r_se)


def _needs_guard(fit: EnvelopeFit, level: float) -> bool:
    return fit.lack_of_fit_p < level or len(fit.depth) < MIN_DEPTHS


def _thin(total: Array, most: int = 2000) -> NDArray[np.int64]:
    """Indices of at most `most` points, log-spaced, the least total always among them."""
    spaced = np.unique(np.geomspace(1, len(total), min(most, len(total))).astype(int)) - 1
    return np.union1d(spaced, [int(np.argmin(total))])


def curve_isotonic(fit: EnvelopeFit, steps: Array) -> Array:
    """Isotonic regression of the measured risks, linear in log c between them  [len(steps)]."""
    return np.interp(np.log(steps), np.log(fit.depth), isotonic(fit.risk, fit.nu))


def frontier(
    fit: EnvelopeFit, prices: Array, var_r: float, *, level: float = GUARD_LEVEL
) -> list[tuple[float, Decision]]:
    """(price, guarded decision) for each price w: the whole trade-off for one who has no gamma."""
    return [
        (float(w), guarded(fit, price_to_rate(float(w), var_r, fit.horizon), var_r, level=level))
        for w in prices
    ]


def depth_for_share(fit: EnvelopeFit, share: float, *, level: float = GUARD_LEVEL) -> float:
    """The least step at which `share` of the reducible risk L(c_1) - L(T) is gone.

    nan where the risk does not fall.  Isotonic where the envelope does not fit.
    Raises InputError for a share outside (0, 1].
    """
    if not 0 < share <= 1:
        raise InputError(f"a share must lie in (0, 1], not {share}")
    steps = _steps(fit)
    steps = steps[steps >= fit.depth[0]]
    curve = curve_isotonic(fit, steps) if _needs_guard(fit, level) else fit.mu(steps)
    top, bottom = curve[0], curve[-1]
    if not top > bottom:
        return float("nan")
    reached = curve <= top - share * (top - bottom) + 1e-12 * top
    return float(steps[int(np.argmax(reached))])


def break_even_runs(
    calibration_steps: float,
    decision: Decision,
    risk_at_horizon: float,
    rate: float,
    horizon: float,
) -> float:
    """How many future runs repay the calibration.

    Compared are two ways to treat a future run: train it to the horizon T and read it there,
    J(T) = L(T) + gamma lambda T; or stop at c*, J(c*).  The saving a run is their difference in
    steps, (J(T) - J(c*))/(gamma lambda); the cost is `calibration_steps`, all steps that the runs
    and forks of the calibration took.  nan where stopping at c* saves nothing.
    """
    saving = (risk_at_horizon + rate * horizon - decision.total_risk) / rate
    return calibration_steps / saving if saving > 1e-9 * horizon else float("nan")
