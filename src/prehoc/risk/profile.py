"""Gamma-likelihood fits of mu(c) = b + k x(c; shape) by variable projection, a whole batch at once.

For a given shape (alpha, or an exponential's time constant) the model is linear in (b, k) >= 0 and
Fisher scoring is an iteratively re-weighted non-negative least squares in two unknowns, solved in
closed form.  The shape is found on a coarse grid and then refined to ~1e-6 relative.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from prehoc.errors import InputError

Array = NDArray[np.float64]
Basis = Callable[[Array], Array]

ALPHA_BOUNDS = (0.02, 4.0)
_GRID = 24
_ZOOMS = 5
_ITERATIONS = 30
_TOLERANCE = 1e-9


def power_basis(depth: Array, horizon: float, shift: float) -> Basis:
    """x(c; alpha) = (c^-alpha - T^-alpha) / (c_1^-alpha - T^-alpha), depths shifted by `shift`.

    Takes alpha of any shape [...] and gives [D, ...]; 1 at the first depth, 0 at the horizon.
    """
    log_left = np.log(horizon + shift) - np.log(depth + shift)

    def basis(alpha: Array) -> Array:
        a = np.asarray(alpha, float)
        left = log_left.reshape((-1,) + (1,) * a.ndim)
        return np.expm1(a * left) / np.expm1(a * log_left[0])

    return basis


def power_scale(depth: Array, horizon: float, shift: float, alpha: Array) -> Array:
    """c_1^-alpha - T^-alpha, shifted: K = k / power_scale."""
    last = np.log(horizon + shift)
    return np.exp(-alpha * last) * np.expm1(alpha * (last - np.log(depth[0] + shift)))


def exponential_basis(depth: Array, horizon: float) -> Basis:
    """x(c; tau) = (exp(-c/tau) - exp(-T/tau)) / (exp(-c_1/tau) - exp(-T/tau))."""
    gone, whole = depth - depth[0], horizon - depth[0]

    def basis(tau: Array) -> Array:
        t = np.asarray(tau, float)
        near = gone.reshape((-1,) + (1,) * t.ndim)
        return (np.exp(-near / t) - np.exp(-whole / t)) / -np.expm1(-whole / t)

    return basis


@dataclass(frozen=True)
class Points:
    """Point estimates of a batch of B fits: `shape`, `b`, `k` and log-likelihood, each [B]."""

    shape: Array
    b: Array
    k: Array
    loglik: Array


def project(x: Array, risk: Array, nu: Array) -> tuple[Array, Array, Array]:
    """Maximise sum -nu/2 (log mu + U/mu) over b, k >= 0 for given x.

    x, risk and nu broadcast to [D, ...]; returns (b, k, log-likelihood), each [...].
    """
    mu = np.broadcast_to(risk, np.broadcast_shapes(x.shape, risk.shape, nu.shape))
    b = k = np.zeros(mu.shape[1:])
    floor = 1e-12 * mu.max(axis=0)
    for _ in range(_ITERATIONS):
        w = nu / (mu * mu)
        wx = w * x
        s0, s1, s2 = w.sum(0), wx.sum(0), (wx * x).sum(0)
        t0, t1 = (w * risk).sum(0), (wx * risk).sum(0)
        det = s0 * s2 - s1 * s1
        safe = np.where(det > 1e-14 * s0 * s2, det, np.inf)
        b = (t0 * s2 - t1 * s1) / safe
        k = (t1 * s0 - t0 * s1) / safe
        flat = (k <= 0) | ~np.isfinite(safe)
        bare = (b < 0) & ~flat
        b = np.where(flat, t0 / s0, np.where(bare, 0.0, b))
        k = np.where(flat, 0.0, np.where(bare, t1 / np.where(s2 > 0, s2, 1.0), k))
        new = np.maximum(b + k * x, floor)
        moved = np.max(np.abs(new - mu) / new)
        mu = new
        if moved < _TOLERANCE:
            break
    return b, k, -0.5 * (nu * (np.log(mu) + risk / mu)).sum(0)


def as_batch(depth: Array, risk: Array, nu: Array) -> tuple[Array, Array]:
    """Checked `risk` and `nu` as [D, B] arrays; raises InputError naming what is wrong."""
    if depth.ndim != 1 or depth.size < 1 or np.any(np.diff(depth) <= 0):
        raise InputError("depths must increase, each given once")
    if depth[0] <= 0:
        raise InputError("the envelope has no value at depth 0; give depths of 1 or more")
    u = np.atleast_2d(np.asarray(risk, float))
    if u.shape[1] != depth.size:
        raise InputError(f"{u.shape[1]} risks for {depth.size} depths")
    if np.shape(nu) not in ((), (depth.size,), u.shape):
        raise InputError(f"nu of shape {np.shape(nu)} for risks of shape {u.shape}")
    v = np.broadcast_to(np.asarray(nu, float), u.shape)
    if not (np.all(np.isfinite(u)) and np.all(u > 0)):
        raise InputError("every risk must be a positive number; drop depths at which it is zero")
    if not (np.all(np.isfinite(v)) and np.all(v > 0)):
        raise InputError("every nu must be a positive number of degrees of freedom")
    return u.T, v.T


def maximise(basis: Basis, grid: Array, risk: Array, nu: Array) -> Points:
    """Fit (shape, b, k) to every column of `risk` [D, B] with weights `nu` [D, B].

    `grid` [G] holds log shapes, increasing; the best of them is refined within its neighbours.
    """
    x = basis(np.exp(grid))[:, None, :]
    _, _, value = project(x, risk[:, :, None], nu[:, :, None])
    best = np.argmax(value, axis=1)
    left, right = grid[np.maximum(best - 1, 0)], grid[np.minimum(best + 1, len(grid) - 1)]
    share = np.linspace(0, 1, 9)
    for _ in range(_ZOOMS):
        points = left[:, None] + (right - left)[:, None] * share
        _, _, value = project(basis(np.exp(points)), risk[:, :, None], nu[:, :, None])
        best = np.argmax(value, axis=1)
        row = np.arange(len(best))
        left, right = points[row, np.maximum(best - 1, 0)], points[row, np.minimum(best + 1, 8)]
    middle = points[row, best]
    inner = np.clip(best, 1, 7)
    low, mid, high = (value[row, inner + j] for j in (-1, 0, 1))
    bend = low - 2 * mid + high
    step = points[:, 1] - points[:, 0]
    turn = np.where(bend < 0, 0.5 * (low - high) / np.where(bend < 0, bend, -1.0), 0.0)
    vertex = points[row, inner] + np.clip(turn, -1, 1) * step
    log_shape = np.where((best == inner) & (bend < 0), vertex, middle)
    # where b reaches 0 the profile has a kink, and the parabola's vertex may miss it
    shape = np.exp(np.stack([log_shape, middle], axis=1))
    b, k, loglik = project(basis(shape), risk[:, :, None], nu[:, :, None])
    spot = row, np.argmax(loglik, axis=1)
    return Points(shape[spot], b[spot], k[spot], loglik[spot])


def alpha_grid(bounds: tuple[float, float] = ALPHA_BOUNDS, size: int = _GRID) -> Array:
    """Log alpha from bound to bound  [size]."""
    return np.linspace(np.log(bounds[0]), np.log(bounds[1]), size)


def check_horizon(depth: Array, horizon: float) -> None:
    """Raise InputError unless every depth lies within the horizon and one lies before it."""
    if not np.isfinite(horizon) or horizon < 1:
        raise InputError(f"horizon must be a number of steps of 1 or more, not {horizon}")
    if depth[-1] > horizon:
        raise InputError(f"depth {depth[-1]:g} lies beyond the horizon {horizon:g}")
    if depth[0] >= horizon:
        raise InputError("at least one depth must lie before the horizon")
