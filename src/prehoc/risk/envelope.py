"""The envelope mu(c) = b + K (c^-alpha - T^-alpha): its fit, intervals and identification.

b = L(T) is the intrinsic risk when the information at T is all there is; finite-horizon form of
the paper's L_int + K c^-alpha (its Prop. 5.1).  Two stages: Gamma likelihood with depths weighed as
independent, then generalised least squares with their measured correlation (risk/gls.py).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import chi2, norm

from prehoc.errors import InputError
from prehoc.risk.gls import Whitened, collapsed, shrunk
from prehoc.risk.profile import (
    ALPHA_BOUNDS,
    Basis,
    alpha_grid,
    as_batch,
    check_horizon,
    maximise,
    power_basis,
    power_scale,
    project,
)
from prehoc.risk.proxies import interval

Array = NDArray[np.float64]

MIN_DEPTHS = 4
_ROUNDING = 1e-9


@dataclass(frozen=True)
class EnvelopeFit:
    """A fitted envelope.  `b` and `K` in squared units of the metric, `alpha` without unit.

    `covariance` [3, 3] is the sandwich covariance of (b, log K, alpha), nan where K = 0, and
    `influence` [3, D] what a relative error of each risk does to them.  `reach` is alpha's profile
    interval at four times the loss: all that is worth a look.
    `identified` is False where alpha's interval reaches its bounds, K = 0 or there are under four
    depths; `reason` then says which.  `lack_of_fit_p` is nan without spare degrees of freedom.
    """

    b: float
    K: float
    alpha: float
    b_low: float
    b_high: float
    K_low: float
    K_high: float
    alpha_low: float
    alpha_high: float
    identified: bool
    reason: str
    lack_of_fit_p: float
    freedom: int
    aic: float
    covariance: Array
    influence: Array
    reach: tuple[float, float]
    depth: Array
    risk: Array
    nu: Array
    relative: Array
    horizon: float
    shift: float
    confidence: float

    def mu(self, c: Array | float) -> Array:
        """The fitted risk at depths of 1 or more, any shape, squared units of the metric."""
        at = np.asarray(c, float) + self.shift
        return self.b + self.K * (at**-self.alpha - (self.horizon + self.shift) ** -self.alpha)

    def gradient(self, c: Array | float) -> Array:
        """Derivatives of mu(c) by (b, log K, alpha)  [..., 3]."""
        at = np.asarray(c, float) + self.shift
        return _gradient(at, self.horizon + self.shift, self.K, self.alpha)

    def band(self, c: Array | float) -> tuple[Array, Array]:
        """Pointwise interval of mu(c) by the delta method on log mu; nan where K = 0."""
        g, mu = self.gradient(c), self.mu(c)
        spread = np.einsum("...i,ij,...j->...", g, self.covariance, g)
        width = norm.ppf(0.5 + self.confidence / 2) * np.sqrt(np.maximum(spread, 0)) / mu
        return mu * np.exp(-width), mu * np.exp(width)


def _gradient(at: Array, last: float, K: float, alpha: float) -> Array:
    x = at**-alpha - last**-alpha
    slope = -np.log(at) * at**-alpha + np.log(last) * last**-alpha
    return np.stack([np.ones_like(x), K * x, K * slope], axis=-1)


def relative_covariance(covariance: Array | None, nu: Array) -> Array:
    """The covariance of U/E[U] across depths [D, D]; independent depths where none is given."""
    if covariance is None:
        return np.diag(2 / nu)
    c = np.asarray(covariance, float)
    if c.shape != (len(nu), len(nu)) or not np.all(np.isfinite(c)):
        raise InputError(f"covariance must be finite and [{len(nu)}, {len(nu)}]")
    return c


def gls_lack_of_fit(
    risk: Array, mu: Array, nu: Array, relative: Array, tangent: Array
) -> tuple[float, int]:
    """Generalised least-squares lack of fit: (chi-square, degrees of freedom).

    Residuals are the cube-root normalised U/mu (Wilson and Hilferty, 1931) with covariance
    `relative` [D, D]; the directions `tangent` = d log mu / d parameter [D, p] are projected out,
    so the value is that of the best nearby parameters.
    """
    residual = 3 * (np.cbrt(risk / mu) - (1 - 2 / (9 * nu)))
    factor = np.linalg.cholesky(relative + 1e-12 * np.diag(np.diag(relative)))
    white = np.linalg.solve(factor, residual)
    spans = np.linalg.solve(factor, tangent)
    vectors, values, _ = np.linalg.svd(spans, full_matrices=False)
    vectors = vectors[:, values > 1e-9 * values.max(initial=0.0)]
    white = white - vectors @ (vectors.T @ white)
    return float(white @ white), len(risk) - vectors.shape[1]


def fit_envelope(
    depth: Array,
    risk: Array,
    nu: Array,
    horizon: float,
    covariance: Array | None = None,
    *,
    shift: float = 0.0,
    confidence: float = 0.95,
) -> EnvelopeFit:
    """Fit the envelope to U(c) and say how well each parameter is known.

    `depth` [D] steps (1 or more, increasing), `risk` [D] squared units, `nu` [D] degrees of
    freedom, `horizon` T, `covariance` [D, D] of U/E[U] across depths (see proxies.Estimate;
    independent if None), `shift` 0.5 for step-size schedules.
    alpha: profile of the fit's loss scaled by the sandwich/naive variance ratio.  b: chi-square of U(T)
    where T was measured, else the sandwich.  K: sandwich on log K.
    Raises InputError for a risk that is not positive, depth 0, depths beyond T, or under two.
    """
    at = np.asarray(depth, float)
    u, v = as_batch(at, risk, nu)
    check_horizon(at, horizon)
    if u.shape[1] != 1:
        raise InputError("fit_envelope takes one curve; use fit_many for a batch")
    relative = relative_covariance(covariance, v[:, 0])
    basis = power_basis(at, horizon, shift)
    stage = _first_stage(u, v, basis)
    if np.any(relative - np.diag(np.diag(relative))):
        stage = _second_stage(u[:, 0], v[:, 0], basis, relative, stage)
    alpha, b, k = stage.alpha, stage.b, stage.k
    if k < _ROUNDING * b:  # a fall within rounding error is none
        k = 0.0
    K = k / float(power_scale(at, horizon, shift, np.array([alpha]))[0])
    mu = b + k * basis(np.array([alpha]))[:, 0]
    grad = _gradient(at + shift, horizon + shift, K, alpha)
    tangent = grad / mu[:, None]
    free = [i for i, on in enumerate((b > 0, k > 0, k > 0)) if on]
    inside = ALPHA_BOUNDS[0] * (1 + 1e-6) < alpha < ALPHA_BOUNDS[1] * (1 - 1e-6)
    moving = free if inside else [i for i in free if i != 2]
    stat, freedom = gls_lack_of_fit(u[:, 0], mu, v[:, 0], relative, tangent[:, moving])
    p = float(chi2.sf(stat, freedom)) if freedom > 0 else float("nan")
    influence = influence_of(tangent, stage.working, free)
    cov = influence @ relative @ influence.T
    naive = (influence @ stage.working @ influence.T)[2, 2]
    ratio = float(cov[2, 2] / naive) if naive > 0 else 1.0
    if k <= 0:
        cov[1:, :] = cov[:, 1:] = np.nan
    if k > 0 and len(at) >= MIN_DEPTHS:
        drop = float(chi2.ppf(confidence, 1)) * ratio
        low, high = _profile_interval(stage, drop)
        reach = _profile_interval(stage, 4 * drop)
    else:
        reach = low, high = ALPHA_BOUNDS
    b_low, b_high = _limit_interval(at, u[:, 0], v[:, 0], b, cov, horizon, confidence)
    z = float(norm.ppf(0.5 + confidence / 2))
    spread = np.sqrt(max(cov[1, 1], 0.0)) if k > 0 else np.nan
    with np.errstate(over="ignore"):
        K_low, K_high = K * np.exp(-z * spread), K * np.exp(z * spread)
    reason = _why_not(len(at), k, low, high)
    return EnvelopeFit(
        b, K, alpha, b_low, b_high, float(K_low), float(K_high), low, high,
        not reason, reason, p, freedom, stat + 2 * 3, cov, influence, reach,
        at, u[:, 0], v[:, 0], relative, float(horizon), shift, confidence,
    )  # fmt: skip


def _why_not(depths: int, k: float, low: float, high: float) -> str:
    if depths < MIN_DEPTHS:
        return f"{depths} depths were measured and at least {MIN_DEPTHS} are needed"
    if k <= 0:
        return "the risk does not fall with depth"
    open_below, open_above = low <= ALPHA_BOUNDS[0], high >= ALPHA_BOUNDS[1]
    if open_below and open_above:
        low, high = ALPHA_BOUNDS
        return f"any alpha from {low:g} to {high:g}, the range tried, agrees with the runs"
    if open_below:
        return f"alphas down to {ALPHA_BOUNDS[0]:g}, the lowest tried, agree with the runs"
    if open_above:
        return f"alphas up to {ALPHA_BOUNDS[1]:g}, the highest tried, agree with the runs"
    return ""


@dataclass(frozen=True)
class _Stage:
    """A stage's point, its working relative covariance, and its deviance over alpha.

    `deviance` takes log alpha [G] and gives twice the loss of fit against the point  [G].
    """

    alpha: float
    b: float
    k: float
    working: Array
    deviance: Callable[[Array], Array]


def _first_stage(u: Array, v: Array, basis: Basis) -> _Stage:
    """The Gamma fit, depths weighed as independent; u and v [D, 1]."""
    points = maximise(basis, alpha_grid(), u, v)
    best = float(points.loglik[0])

    def deviance(log_alpha: Array) -> Array:
        return 2 * (best - project(basis(np.exp(log_alpha)), u, v)[2])

    point = float(points.shape[0]), float(points.b[0]), float(points.k[0])
    working = np.diag(2 / v[:, 0])
    return _Stage(*point, working, deviance)


def _second_stage(u: Array, nu: Array, basis: Basis, relative: Array, pilot: _Stage) -> _Stage:
    """Generalised least squares around the pilot, with the shrunk correlation; u and nu [D]."""
    mu = pilot.b + pilot.k * basis(np.array([pilot.alpha]))[:, 0]
    working = shrunk(relative, nu)
    white = Whitened.of(u[None, :], mu[None, :], working[None])
    alpha, b, k, least = (float(v[0]) for v in white.minimise(basis, alpha_grid()))
    if collapsed((b + k * basis(np.array([alpha])))[:, 0][None, :], mu[None, :])[0]:
        return pilot

    def deviance(points: Array) -> Array:
        return np.asarray(white.project(basis(np.exp(points))[:, None, :])[2][0] - least)

    return _Stage(alpha, b, k, working, deviance)


def influence_of(tangent: Array, working: Array, free: list[int]) -> Array:
    """What a relative error of each risk does to (b, log K, alpha), to first order  [3, D].

    (G' W^-1 G)^-1 G' W^-1 for the free parameters, rows of zeros for the others; G = `tangent`
    [D, 3], W = `working` [D, D].  The sandwich covariance is influence C influence'.
    """
    made = np.zeros((3, len(working)))
    if not free or len(working) < len(free):
        return made
    g = tangent[:, free]
    size = np.abs(g).max(axis=0)
    weighted = np.linalg.solve(working, g / size)
    bread = np.linalg.pinv((g / size).T @ weighted, rcond=1e-13, hermitian=True)
    made[free] = (bread @ weighted.T) / size[:, None]
    return made


def _profile_interval(stage: _Stage, drop: float) -> tuple[float, float]:
    """Where the deviance comes to `drop`, by bisection in log alpha."""
    ends = np.log(np.array(ALPHA_BOUNDS))
    outer, inner = ends.copy(), np.full(2, np.log(stage.alpha))
    open_end = stage.deviance(ends) < drop
    for _ in range(22):
        middle = (outer + inner) / 2
        inside = stage.deviance(middle) < drop
        inner, outer = np.where(inside, middle, inner), np.where(inside, outer, middle)
    low, high = np.exp(np.where(open_end, ends, (outer + inner) / 2))
    return float(low), float(high)


def _limit_interval(
    depth: Array, u: Array, nu: Array, b: float, cov: Array, horizon: float, confidence: float
) -> tuple[float, float]:
    """Interval of b = L(T): chi-square of U(T) if measured, else b +- z se, not below 0."""
    if depth[-1] == horizon:
        low, high = interval(u[-1:], nu[-1:], confidence)
        return float(low[0]), float(high[0])
    half = float(norm.ppf(0.5 + confidence / 2) * np.sqrt(max(cov[0, 0], 0.0)))
    if b <= 0:
        return 0.0, float("nan")
    return max(b - half, 0.0), b + half
