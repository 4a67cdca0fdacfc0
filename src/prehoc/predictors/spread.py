"""How a run's expected squared error depends on what it has shown: a gamma regression by MAP."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

WIDTHS = (0.0, 0.1, 0.25, 0.6, 1.5)  # prior sd of a slope, a standard deviation of its feature
_ROUNDS, _STEP, _DONE, _ROUGHLY = 40, 1.0, 1e-7, 1e-3


@dataclass(frozen=True)
class Spread:
    """Slopes of log squared error: at depth k `slope[k]` [F, J - k], of features less `mean` over `sd`.

    `level[k]` [J - k] makes the factors of the finished runs average 1; `width` [F] is the prior sd.
    """

    mean: Array
    sd: Array
    slope: tuple[Array, ...]
    level: tuple[Array, ...]
    width: tuple[float, ...]

    def factor(self, k: int, features: tuple[Array, ...], farthest: float) -> Array:
        """What multiplies the mean risk at depths k.. [M, J - k], of runs with `features` [M] at k."""
        x = np.stack([(f - self.mean[i, k]) / self.sd[i, k] for i, f in enumerate(features)], axis=1)
        return np.asarray(np.exp(np.clip(x, -farthest, farthest) @ self.slope[k]) / self.level[k])


def fit_spread(features: tuple[Array, ...], square: Array) -> Spread:
    """Fit to N finished runs: `features` F x [N, J] at each depth, `square` [N, J] held-out squared errors.

    Squared errors about V are V chi2(1): log likelihood -1/2 sum(eta + e^2 exp(-eta)), eta = log V.  The
    slopes' prior N(0, width^2) has the widths of the highest Laplace evidence, summed over depths.
    """
    x = np.stack(features)
    mean, sd = x.mean(axis=1), x.std(axis=1)
    sd = np.where(sd > 1e-12, sd, np.inf)
    z = np.moveaxis((x - mean[:, None]) / sd[:, None], 0, -1).swapaxes(0, 1)  # [J, N, F]
    depths, count = square.shape[1], len(features)
    y = np.maximum(square, 1e-12 * max(float(square.mean()), 1e-300)).T  # [J, N]
    width = max(
        itertools.product(WIDTHS, repeat=count), key=lambda w: float(_fit(z, y, w, _ROUGHLY)[1].sum())
    )
    pairs = np.array([(k, later) for k in range(depths) for later in range(k, depths)])
    beta = _fit(z[pairs[:, 0]], y[pairs[:, 1]], width, _DONE)[0]
    slope = tuple(beta[pairs[:, 0] == k].T for k in range(depths))
    level = tuple(np.exp(np.clip(z[k], -3, 3) @ b).mean(axis=0) for k, b in enumerate(slope))
    return Spread(mean, sd, slope, level, width)


def _fit(z: Array, y: Array, width: tuple[float, ...], done: float) -> tuple[Array, Array]:
    """Slopes [B, F] and Laplace evidence [B] of B regressions of y [B, N] on z [B, N, F]."""
    used = np.flatnonzero(np.asarray(width) > 0)
    each, n = y.shape
    x = np.concatenate([np.ones((each, n, 1)), z[:, :, used]], axis=2)
    precision = np.diag([0.0, *(1 / np.asarray(width)[used] ** 2)])
    floor = precision + 1e-9 * n * np.eye(len(precision))
    beta = np.zeros((each, len(precision)))
    beta[:, 0] = np.log(y.mean(axis=1))
    for _ in range(_ROUNDS if len(used) else 0):  # with a level alone, that is the answer
        ratio = y * np.exp(-np.clip((x @ beta[..., None])[..., 0], -700, 700))
        gradient = 0.5 * ((1 - ratio)[:, None] @ x)[:, 0] + beta @ precision
        curve = x.swapaxes(1, 2) @ (x * (0.25 * (1 + ratio))[..., None]) + floor
        step = np.clip(np.linalg.solve(curve, gradient[..., None])[..., 0], -_STEP, _STEP)
        beta -= step
        if np.abs(step).max() < done:
            break
    eta = (x @ beta[..., None])[..., 0]
    ratio = y * np.exp(-np.clip(eta, -700, 700))
    hessian = 0.5 * x.swapaxes(1, 2) @ (x * ratio[..., None]) + floor
    fit = -0.5 * (eta + ratio).sum(axis=1) - 0.5 * np.einsum("bp,pq,bq->b", beta, precision, beta)
    fit -= np.log(np.asarray(width)[used]).sum() + 0.5 * np.linalg.slogdet(hessian)[1]
    slope = np.zeros((each, z.shape[2]))
    slope[:, used] = beta[:, 1:]
    return slope, fit
