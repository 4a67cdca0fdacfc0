"""What further measuring would halve alpha's interval: more seeds, more depths, or both.

At a design (depths, N' runs) the Fisher information on (b, log K, alpha) is g' W g, g = d log mu/d
parameter [D, 3], W^-1 the fit's working covariance (risk/gls.py); its interval is the sandwich
(g'Wg)^-1 g'W C W g (g'Wg)^-1 with C the relative covariance of U across depths, which falls as N/N'.
The generalised information g' C^-1 g is the bound that no estimator beats (Rao, Linear Statistical
Inference, 1973, 4a); depths of the same runs are correlated, so one between two others adds little.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm

from prehoc.risk.envelope import MIN_DEPTHS, EnvelopeFit, influence_of
from prehoc.risk.gls import shrunk
from prehoc.risk.profile import ALPHA_BOUNDS, power_basis, power_scale, project

Array = NDArray[np.float64]

_EDGE = 1.001
_NEARLY = 0.95  # of the width: a bound this near says nothing
_MOST = 100  # times the runs there are, beyond which no number is named


@dataclass(frozen=True)
class Present:
    """What was measured: `runs` (trunks, where `per_trunk` forks were made of each) at the fit's depths.

    `available` runs exist that could become trunks; `ends` says whether T itself can be measured.
    """

    runs: int
    per_trunk: int = 0
    available: int = 0
    ends: bool = True

    @property
    def forked(self) -> bool:
        """Whether U is the forks': then depths are nearly independent, and trunks are what counts."""
        return self.per_trunk > 0


@dataclass(frozen=True)
class Advice:
    """One option: measure at `depths`, on `further_runs` more.

    `steps` that it takes, and the width of alpha's interval now and then.  nan where the option does
    not lead there; `note` says why.
    """

    option: str
    depths: tuple[int, ...]
    further_runs: float
    steps: float
    width_now: float
    width_then: float
    recommended: bool
    note: str


def extend(fit: EnvelopeFit, depths: Array, independent: bool) -> tuple[Array, Array]:
    """Degrees of freedom nu [D'] and relative covariance [D', D'] at other depths in [first depth, T].

    nu is linear in log c.  Between two measured depths with correlation r, the relative error of U is
    taken for an Ornstein-Uhlenbeck bridge in log c (correlation r^t a share t of the way), which keeps
    the matrix positive; beyond the last one it decays as r of the last two does.
    `independent`: depths that were not measured are correlated with none (forks).
    """
    at, x = np.log(np.asarray(depths, float)), np.log(fit.depth)
    nu = np.interp(at, x, fit.nu)
    scale = np.sqrt(np.diag(fit.relative))
    r = fit.relative / np.outer(scale, scale)
    if at[-1] > x[-1] + 1e-12:
        last = 0.0
        if len(x) > 1 and not independent:
            last = float(np.clip(r[-1, -2], 0.0, 1.0) ** ((at[-1] - x[-1]) / (x[-1] - x[-2])))
        row = last * r[-1]
        r = np.block([[r, row[:, None]], [row[None, :], np.ones((1, 1))]])
        x = np.append(x, at[-1])
    left = np.clip(np.searchsorted(x, at, "right") - 1, 0, max(len(x) - 2, 0))
    right = np.minimum(left + 1, len(x) - 1)
    span = x[right] - x[left]
    t = np.divide(at - x[left], span, out=np.zeros_like(at), where=span > 0)
    t = np.where(np.minimum(np.abs(t), np.abs(1 - t)) < 1e-9, np.round(t), t)
    gap = np.clip(r[left, right], 1e-6, 1 - 1e-9) if len(x) > 1 else np.full(len(at), 0.5)
    to_left, to_right = gap**t, gap ** (1 - t)
    weight = np.zeros((len(at), len(x)))
    np.add.at(weight, (np.arange(len(at)), right), (to_right - gap * to_left) / (1 - gap**2))
    np.add.at(weight, (np.arange(len(at)), left), (to_left - gap * to_right) / (1 - gap**2))
    if independent:
        new = (t != 0) & (t != 1)
        weight[new] = 0.0
        made = weight @ r @ weight.T + np.diag(new.astype(float))
    else:
        near = gap[:, None] ** np.abs(t[:, None] - t[None, :])
        ends = np.outer(to_left, to_left) + np.outer(to_right, to_right)
        cross = gap[:, None] * (np.outer(to_left, to_right) + np.outer(to_right, to_left))
        bridge = near - (ends - cross) / (1 - gap[:, None] ** 2)
        made = weight @ r @ weight.T + np.where(left[:, None] == left[None, :], bridge, 0.0)
        size = np.sqrt(np.diag(made))
        made = made / np.outer(size, size)
    return nu, made * np.sqrt(np.outer(2 / nu, 2 / nu))


def alpha_sd(fit: EnvelopeFit, depths: Sequence[float], independent: bool, bound: bool = False) -> float:
    """The sd of alpha from the runs there are, at these depths; inf under three depths or where K = 0.

    By the estimator's sandwich, or (`bound`) by the generalised information.  b is taken as free.
    """
    at = np.asarray(depths, float)
    at = at[fit.mu(at) > 0]
    if len(at) < 3 or fit.K <= 0:
        return float("inf")
    nu, relative = extend(fit, at, independent)
    g = fit.gradient(at) / fit.mu(at)[:, None]
    reach = influence_of(g, relative if bound else shrunk(relative, nu), [0, 1, 2])
    return float(np.sqrt((reach @ relative @ reach.T)[2, 2]))


def at_alpha(fit: EnvelopeFit) -> EnvelopeFit:
    """The fit at an alpha off its bounds: its own, or where that lies on one, the interval's middle."""
    if ALPHA_BOUNDS[0] * _EDGE < fit.alpha < ALPHA_BOUNDS[1] / _EDGE:
        return fit
    alpha = float(np.sqrt(fit.alpha_low * fit.alpha_high))
    point = np.array([alpha])
    basis = power_basis(fit.depth, fit.horizon, fit.shift)
    b, k, _ = project(basis(point), fit.risk[:, None], fit.nu[:, None])
    K = float(np.ravel(k)[0] / power_scale(fit.depth, fit.horizon, fit.shift, point)[0])
    return replace(fit, b=float(np.ravel(b)[0]), K=K, alpha=alpha)


def unseen_fall(fit: EnvelopeFit) -> float:
    """The fall from the first to the last depth, as a share of the risk, that noise alone would hide.

    z times the sd of log U(c_1) - log U(c_D), from the relative covariance, as a share; at most 1.
    """
    r = fit.relative
    spread = np.sqrt(max(r[0, 0] + r[-1, -1] - 2 * r[0, -1], 0.0))
    return float(-np.expm1(-norm.ppf(0.5 + fit.confidence / 2) * spread))


def best_depths(fit: EnvelopeFit, present: Present, new: int, grid: int) -> list[float]:
    """The measured depths and up to `new` more, each the best next one of `grid` on a log scale."""
    chosen = list(fit.depth)
    most = max(new, MIN_DEPTHS - len(chosen))
    last = fit.horizon if present.ends else fit.horizon - 1
    places = np.unique(np.round(np.geomspace(fit.depth[0], max(last, fit.depth[0]), grid)))
    for _ in range(most):
        free = [c for c in places if c not in chosen and fit.mu(c) > 0]
        if not free:
            break
        if len(chosen) < 2:
            best = max(free, key=lambda c: min(abs(np.log(c / d)) for d in chosen))
        else:
            now = alpha_sd(fit, sorted(chosen), present.forked)
            best = min(free, key=lambda c: alpha_sd(fit, sorted([*chosen, c]), present.forked))
            then = alpha_sd(fit, sorted([*chosen, best]), present.forked)
            if len(chosen) >= MIN_DEPTHS and not then < 0.99 * now:
                break
        chosen.append(best)
    return sorted(chosen)


def steps_for(fit: EnvelopeFit, present: Present, depths: Sequence[float], further: float) -> float:
    """Optimiser steps that the design takes beyond what was run.

    A further run goes to T; a new depth is reached, on the runs there are, from their checkpoint at the
    depth before.  Forks at c take `per_trunk` (T - c) steps a trunk; trunks that exist are not run again.
    """
    new = [c for c in depths if c not in fit.depth]
    before = [max((d for d in depths if d < c), default=0.0) for c in new]
    steps = present.runs * sum(c - b for c, b in zip(new, before, strict=True))
    if not present.forked:
        return float(steps + further * fit.horizon)
    steps += present.runs * present.per_trunk * sum(fit.horizon - c for c in new)
    steps += further * present.per_trunk * sum(fit.horizon - c for c in depths)
    return float(steps + max(further - present.available, 0) * fit.horizon)


def advise(fit: EnvelopeFit, present: Present, *, new_depths: int = 2, grid: int = 40) -> list[Advice]:
    """The options `seeds`, `depths` and `seeds_and_depths`; at most one is recommended: the cheapest.

    Wanted is half the width of alpha's interval; where alpha is not identified, an interval within
    [alpha/2, 3 alpha/2] and clear of its bounds, at the fitted alpha (the interval's middle, where that
    lies on a bound).  A width is predicted as the present one times the ratio of alpha's sds.
    """
    nan = float("nan")
    now = fit.alpha_high - fit.alpha_low
    here = tuple(int(c) for c in fit.depth)
    if fit.K <= 0:
        what = "trunks" if present.forked else "runs"
        note = (
            "the risk does not fall over the measured depths (K = 0); if that holds, no number of seeds "
            f"finds an alpha, but {present.runs} {what} would not show a fall of under "
            f"{unseen_fall(fit):.0%} of it"
        )
        return [Advice("seeds", here, nan, nan, now, nan, False, note)]
    if fit.alpha_low <= ALPHA_BOUNDS[0] and fit.alpha_high >= ALPHA_BOUNDS[1] and at_alpha(fit) is not fit:
        what = "trunks" if present.forked else "runs"
        note = (
            f"alpha is not identified ({fit.reason}), nor is there one to aim at; {present.runs} "
            f"{what} would not show a fall of under {unseen_fall(fit):.0%} of the risk: measure where it "
            f"falls, or double the {what}"
        )
        return [Advice("seeds", here, nan, nan, now, nan, False, note)]
    law = at_alpha(fit)
    z = 2 * float(norm.ppf(0.5 + fit.confidence / 2))
    present_sd = alpha_sd(law, list(fit.depth), present.forked)
    if fit.identified:
        wanted, unit, aim = now / 2, now / present_sd, ""
    else:
        wanted, unit = min(law.alpha, ALPHA_BOUNDS[1] - law.alpha), z
        aim = f"alpha is not identified ({fit.reason}); this would identify an alpha of {law.alpha:.3g}"
    more = best_depths(law, present, new_depths, grid)
    options: list[Advice] = []
    for option, depths in (("seeds", list(fit.depth)), ("depths", more), ("seeds_and_depths", more)):
        sd = alpha_sd(law, depths, present.forked)
        if option != "seeds" and len(depths) == len(fit.depth):
            continue
        if not np.isfinite(sd) or len(depths) < MIN_DEPTHS:
            few = (
                f"{len(depths)} depths do not identify a law of three parameters, with any number of seeds"
            )
            options.append(Advice(option, here, nan, nan, now, nan, False, few))
            continue
        share = (unit * sd / wanted) ** 2
        further = 0.0
        if option != "depths":
            further = float(max(np.ceil((share - 1) * present.runs - 1e-9), 0))
            if further == 0 and option == "seeds_and_depths":
                continue
        if further > _MOST * present.runs:
            what = "trunks" if present.forked else "runs"
            far = f"over {_MOST} times the {present.runs} {what} there are: out of reach"
            note = "; ".join([*([aim] if aim else []), far])
            options.append(Advice(option, here, nan, nan, now, nan, False, note))
            continue
        then = unit * sd * float(np.sqrt(present.runs / (present.runs + further)))
        notes = [aim] if aim else []
        new = [f"{c:g}" for c in depths if c not in fit.depth]
        if new:
            notes.append(_where(new, present))
        loss = alpha_sd(law, depths, present.forked, bound=True) / sd
        if loss < _NEARLY:
            notes.append(f"the best estimator there could be would have {loss:.0%} of this width")
        steps = steps_for(fit, present, depths, further)
        listed = tuple(int(c) for c in depths)
        options.append(Advice(option, listed, further, steps, now, then, False, "; ".join(notes)))
    reaching = [o for o in options if o.width_then <= wanted * 1.001]
    best = min(reaching, key=lambda o: (o.steps, o.further_runs), default=None)
    return [replace(o, recommended=o is best) for o in options]


def _where(new: list[str], present: Present) -> str:
    if present.forked:
        return f"forks of the {present.runs} trunks at {', '.join(new)} too"
    return (
        f"the {present.runs} runs are measured at {', '.join(new)} too: trained again from the checkpoint "
        "before, or no step at all where the metric was logged there"
    )
