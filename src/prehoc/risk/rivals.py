"""What else may explain a decay: exponential, flat, late-revealing, and the paper's own regression.

All are compared on one scale: AIC = generalised least-squares lack of fit + 2 p, which takes the
correlation between depths into account and is the Gamma likelihood's where there is none.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import least_squares
from scipy.stats import chi2

from prehoc.risk.envelope import EnvelopeFit, gls_lack_of_fit
from prehoc.risk.profile import ALPHA_BOUNDS, alpha_grid, exponential_basis, maximise

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Rival:
    """One model's fit: `L_int`, `K` (squared units), `alpha`, nan where the model has none.

    `scale` is the exponential's time constant in steps, or the step at which a late-revealing
    curve has made half of its fall.  `lack_of_fit_p` is nan without spare degrees of freedom.
    """

    model: str
    L_int: float
    K: float
    alpha: float
    scale: float
    aic: float
    lack_of_fit_p: float
    mu: Array


def isotonic(risk: Array, weight: Array) -> Array:
    """The non-increasing curve nearest to `risk` [D] (pool adjacent violators, weights [D]).

    It is also the Gamma maximum-likelihood fit under the order restriction, with weights nu.
    """
    level: list[float] = []
    mass: list[float] = []
    size: list[int] = []
    for u, w in zip(risk, weight, strict=True):
        level.append(float(u))
        mass.append(float(w))
        size.append(1)
        while len(level) > 1 and level[-1] >= level[-2]:
            total = mass[-2] + mass[-1]
            level[-2] = (level[-2] * mass[-2] + level[-1] * mass[-1]) / total
            mass[-2], size[-2] = total, size[-2] + size[-1]
            level.pop()
            mass.pop()
            size.pop()
    return np.repeat(np.array(level), size)


def _finish(
    model: str, fit: EnvelopeFit, mu: Array, tangent: Array, values: tuple[float, ...], size: int
) -> Rival:
    """`size` is the model's parameter count; one that lies on its bound still counts."""
    stat, freedom = gls_lack_of_fit(fit.risk, mu, fit.nu, fit.relative, tangent)
    p = float(chi2.sf(stat, freedom)) if freedom > 0 else float("nan")
    L_int, K, alpha, scale = values
    return Rival(model, L_int, K, alpha, scale, stat + 2 * size, p, mu)


def exponential(fit: EnvelopeFit) -> Rival:
    """The model mu = b + K (exp(-c/tau) - exp(-T/tau)), by the envelope's likelihood."""
    depth, horizon = fit.depth, fit.horizon
    basis = exponential_basis(depth, horizon)
    grid = np.linspace(np.log(depth[0] / 3), np.log(10 * horizon), 40)
    points = maximise(basis, grid, fit.risk[:, None], fit.nu[:, None])
    b, k, tau = float(points.b[0]), float(points.k[0]), float(points.shape[0])
    x = basis(points.shape)[:, 0]
    mu = b + k * x
    near = basis(points.shape * np.exp(np.array([-1e-4])))[:, 0]
    far = basis(points.shape * np.exp(np.array([1e-4])))[:, 0]
    columns = [np.ones_like(x)] if b > 0 else []
    columns += [x, k * (far - near) / 2e-4] if k > 0 else []
    tangent = np.stack(columns, 1) / mu[:, None]
    scale = np.exp(-depth[0] / tau) - np.exp(-horizon / tau)
    return _finish("exponential", fit, mu, tangent, (b, k / scale, np.nan, tau), 3)


def flat(fit: EnvelopeFit) -> Rival:
    """The model mu = b: probing teaches nothing."""
    b = float(np.average(fit.risk, weights=fit.nu))
    mu = np.full(len(fit.risk), b)
    return _finish("flat", fit, mu, np.ones((len(mu), 1)), (b, 0.0, np.nan, np.nan), 1)


def late(fit: EnvelopeFit) -> Rival:
    """A falling step curve (isotonic regression), one parameter a level; K is its whole fall."""
    mu = np.maximum(isotonic(fit.risk, fit.nu), 1e-12 * fit.risk.max())
    levels = np.unique(mu)
    tangent = (mu[:, None] == levels[None, :]).astype(float)
    half = (mu[0] + mu[-1]) / 2
    knee = float(fit.depth[int(np.argmax(mu <= half))])
    fall = float(mu[0] - mu[-1])
    values = (float(mu[-1]), fall, np.nan, knee)
    return _finish("late", fit, mu, tangent, values, len(levels))


def log_regression(fit: EnvelopeFit) -> Rival:
    """The paper's Algorithm 1: least squares of log U on log(L_int + K c^-alpha), L_int >= 0.

    Unweighted and without the finite-horizon term, as the paper writes it.
    """
    log_u, log_c = np.log(fit.risk), np.log(fit.depth)
    top = fit.risk.max()

    def model(theta: Array) -> Array:
        return np.log(top * (theta[0] + np.exp(theta[1] - theta[2] * log_c)))

    def slopes(theta: Array) -> Array:
        falls = np.exp(theta[1] - theta[2] * log_c)
        return np.stack([np.ones_like(falls), falls, -log_c * falls], 1) / (theta[0] + falls)[:, None]

    lower = [0.0, -40.0, ALPHA_BOUNDS[0]]
    upper = [10.0, 40.0, ALPHA_BOUNDS[1]]
    start = np.clip(_start(fit.risk / top, log_c), lower, upper)
    best = least_squares(lambda t: model(t) - log_u, start, slopes, (lower, upper), x_scale=[0.1, 1.0, 0.3])
    mu = np.exp(model(best.x))
    x = fit.depth ** -best.x[2]
    K = top * np.exp(best.x[1])
    columns = [np.ones_like(x)] if best.x[0] > 1e-9 else []
    tangent = np.stack([*columns, K * x, -K * x * log_c], 1) / mu[:, None]
    L_int = top * best.x[0] if columns else 0.0
    values = (float(L_int), float(K), float(best.x[2]), np.nan)
    return _finish("loglog", fit, mu, tangent, values, 3)


def _start(risk: Array, log_c: Array) -> Array:
    """Where to start (L_int, log K, alpha): the best alpha of a grid, by relative errors."""
    alpha = np.exp(alpha_grid())
    x = np.exp(-log_c[:, None] * alpha)
    one, wide, each = 1 / risk, x / risk[:, None], np.arange(len(alpha))
    s0, s1, s2 = one @ one, one @ wide, (wide * wide).sum(0)
    t0, t1 = one.sum(), wide.sum(0)
    det = np.maximum(s0 * s2 - s1 * s1, 1e-300)
    b, k = np.maximum((t0 * s2 - t1 * s1) / det, 1e-6), np.maximum((t1 * s0 - t0 * s1) / det, 1e-12)
    loss = (np.log((b + k * x) / risk[:, None]) ** 2).sum(0)
    best = each[int(np.argmin(loss))]
    return np.array([b[best], np.log(k[best]), alpha[best]])


def power(fit: EnvelopeFit) -> Rival:
    """The envelope itself on the rivals' scale."""
    values = (fit.b, fit.K, fit.alpha, np.nan)
    return Rival("power", *values, fit.aic, fit.lack_of_fit_p, fit.mu(fit.depth))


def compare(fit: EnvelopeFit) -> list[Rival]:
    """The envelope and its rivals, in the order power, loglog, exponential, flat, late."""
    return [power(fit), log_regression(fit), exponential(fit), flat(fit), late(fit)]


def akaike(aic: Array) -> Array:
    """Akaike weights exp(-delta/2), summing to 1, of AICs (or their differences) [M]."""
    weight = np.exp(-(aic - aic.min()) / 2)
    return np.asarray(weight / weight.sum())


def aic_weights(rivals: list[Rival]) -> dict[str, float]:
    """Akaike weights exp(-delta/2), summing to 1, over the models that compete.

    The paper's regression is left out: it is another estimator of the power law, not a rival.
    """
    competing = [r for r in rivals if r.model != "loglog"]
    weight = akaike(np.array([r.aic for r in competing]))
    return {r.model: float(w) for r, w in zip(competing, weight, strict=True)}
