"""The interval of c*, by the profile of the fit's loss over the optimal depth itself.

alpha and K are known together, along a curved valley that a linearisation misses where alpha is hardly
identified.  So c* takes K's place as a parameter: K = rate (c* + s)^(alpha + 1)/alpha (the paper's
Thm 6.1), and for each c* the loss is minimised over alpha and b (and over Var R, where the rate was
made from a price).  Everything with a loss within the chi-square quantile is in the interval.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import chi2

from prehoc.risk.envelope import EnvelopeFit
from prehoc.risk.gls import shrunk
from prehoc.risk.proxies import positive

Array = NDArray[np.float64]

_ALPHAS = 61
_DEPTHS = 60
_HALVINGS = 14
_LEAST, _MOST = 0.02, 30.0  # of c + s in steps, of (c + s)/(T + s): beyond the corners


@dataclass(frozen=True)
class Drift:
    """The error of a rate that was made from a price: of log Var R, to which the rate is in proportion.

    `variance` of log Var R; `cross` [D] its covariance with U/E[U] at the fit's depths.  A rate from
    an absolute gamma has none.
    """

    variance: float
    cross: Array


def drift_of(proxy: str, risk: Array, nu: Array, var_r: float, var_r_se: float) -> Drift:
    """The drift of a price's rate beside the risks U [D] of `proxy` with `nu` [D].

    Of least squares (and of a change that R's forecast explains) the residual's squared correlation
    with R is U/Var R exactly, and with it goes the covariance of the two variances; forks have
    fresh randomness, and run-to-run variance at c is taken for independent of Var R.
    """
    own = (var_r_se / var_r) ** 2 if var_r > 0 else 0.0
    shared = np.clip(risk / var_r, 0, 1) if proxy in ("residual", "change") else np.zeros(len(risk))
    return Drift(own, shared * np.sqrt(own * 2 / nu))


@dataclass(frozen=True)
class _Problem:
    """Relative risks (and Var R) made independent by `root`; `spread` is their covariance."""

    fit: EnvelopeFit
    rate: float
    drift: Drift | None
    mu: Array
    root: Array
    working: Array
    spread: Array
    alphas: Array

    def loss(self, depth: Array) -> Array:
        """The least loss at each c + s [G], over alpha, b >= 0 and (with a drift) Var R  [G]."""
        fit, size = self.fit, len(self.mu)
        at, last = fit.depth + fit.shift, fit.horizon + fit.shift
        x = at[:, None] ** -self.alphas - last**-self.alphas
        steep = np.exp((self.alphas[:, None] + 1) * np.log(depth)) * self.rate / self.alphas[:, None]
        fall = (self.root[:, :size] @ (x / self.mu[:, None]))[:, :, None] * steep
        level = (self.root[:, :size] @ (1 / self.mu))[:, None, None]
        risk = (self.root[:, :size] @ (fit.risk / self.mu))[:, None, None]
        if self.drift is None:
            left = risk - fall
            b = np.maximum((level * left).sum(0) / (level**2).sum(0), 0.0)
            return np.asarray(((left - level * b) ** 2).sum(0).min(axis=0))
        fall = fall + self.root[:, size:][:, :, None]
        risk = risk + self.root[:, size:][:, :, None]
        s0, s1, s2 = (level**2).sum(0), (level * fall).sum(0), (fall**2).sum(0)
        t0, t1 = (level * risk).sum(0), (fall * risk).sum(0)
        det = s0 * s2 - s1 * s1
        b = (t0 * s2 - t1 * s1) / np.where(det > 1e-14 * s0 * s2, det, np.inf)
        b = np.maximum(b, 0.0)
        v = np.maximum((t1 - b * s1) / s2, 0.0)
        return np.asarray(((risk - level * b - fall * v) ** 2).sum(0).min(axis=0))

    def ratio(self) -> float:
        """The sandwich variance of log c* over the one that the loss takes for granted."""
        fit, size = self.fit, len(self.mu)
        if fit.K <= 0:
            return 1.0
        free = [i for i, on in enumerate((fit.b > 0, True, True)) if on]
        g = (fit.gradient(fit.depth) / self.mu[:, None])[:, free]
        log_c = np.log(fit.alpha * fit.K / self.rate) / (fit.alpha + 1)
        slope = np.array([0.0, 1.0, 1 / fit.alpha - log_c])[free]
        if self.drift is not None:
            g = np.block([[g, np.zeros((size, 1))], [np.zeros((1, g.shape[1])), np.ones((1, 1))]])
            slope = np.append(slope, -1.0)
        scale = np.abs(g).max(axis=0)
        weighted = np.linalg.solve(self.working, g / scale)
        bread = np.linalg.pinv((g / scale).T @ weighted, rcond=1e-13, hermitian=True)
        reach = weighted @ bread @ (slope / scale)
        naive = float(reach @ self.working @ reach)
        return float(reach @ self.spread @ reach) / naive if naive > 0 else 1.0


def _problem(fit: EnvelopeFit, rate: float, drift: Drift | None) -> _Problem:
    spread, nu = fit.relative, fit.nu
    if drift is not None and drift.variance > 0:
        edge = drift.cross[:, None]
        spread = np.block([[spread, edge], [edge.T, np.array([[drift.variance]])]])
        nu = np.append(nu, 2 / drift.variance)
        sd = np.sqrt(np.diag(spread))
        spread = positive(spread / np.outer(sd, sd)) * np.outer(sd, sd)
    else:
        drift = None
    working = shrunk(spread, nu)
    root = np.linalg.inv(np.linalg.cholesky(working))
    alphas = np.geomspace(*fit.reach, _ALPHAS)
    return _Problem(fit, rate, drift, fit.mu(fit.depth), root, working, spread, alphas)


def interval_of_depth(fit: EnvelopeFit, rate: float, drift: Drift | None = None) -> tuple[float, float]:
    """The interval of c* in steps, within [0, T].

    `rate` = gamma lambda in squared units a step; `drift` its error where it comes from a price.
    Where the fitted risk does not fall (K = 0) it reaches up to the deepest c* that the risks allow.
    """
    problem, last = _problem(fit, rate, drift), fit.horizon + fit.shift
    ends = np.log(np.array([_LEAST, _MOST * last]))
    point = float(ends[0])
    if fit.K > 0:
        point = float(np.clip(np.log(fit.alpha * fit.K / rate) / (fit.alpha + 1), *ends))
    grid = np.linspace(float(ends[0]), float(ends[1]), _DEPTHS)
    loss = problem.loss(np.exp(np.append(grid, point)))
    most = loss.min() + float(chi2.ppf(fit.confidence, 1)) * problem.ratio()
    inside = np.append(grid, point)[loss <= most]
    if inside.size == 0:  # the fit's own point lies outside of a joint loss that Var R has moved
        inside = np.array([np.append(grid, point)[int(np.argmin(loss))]])
    inner = np.array([inside.min(), inside.max()])
    step = grid[1] - grid[0]
    outer = np.clip(inner + np.array([-step, step]), *ends)
    for _ in range(_HALVINGS):
        middle = (inner + outer) / 2
        within = problem.loss(np.exp(middle)) <= most
        inner, outer = np.where(within, middle, inner), np.where(within, outer, middle)
    low, high = np.clip(np.exp(inner) - fit.shift, 0, fit.horizon)
    return (float(low) if inner[0] > ends[0] else 0.0), float(high)
